//! The log of changes in SQLite: its numbers have no gaps and rise in the order of the commits, since there is one writer
//! at a time.

use super::Sqlite;
use crate::dialect::{Dialect, Row, Value};
use crate::error::Failure;
use crate::feed::{Reading, changes};

/// How many entries are read at once.
const BATCH: i64 = 512;

// SQLite remembers the last number of an AUTOINCREMENT, also when its row is gone. The log itself is asked, too, so that
// its loss is noticed.
pub(super) const NEWEST: &str = "SELECT max(seq) FROM (SELECT max(seq) AS seq FROM acs_identity_changes \
    UNION ALL SELECT seq FROM sqlite_sequence WHERE name = 'acs_identity_changes')";

pub(super) const AFTER: &str = "SELECT seq, iif(namespace = ?2, acs_id, NULL), iif(namespace = ?2, revision, NULL), \
        iif(namespace = ?2, customer_before, NULL), iif(namespace = ?2, customer_after, NULL) \
    FROM acs_identity_changes WHERE seq > ?1 ORDER BY seq LIMIT ?3";

/// What is in the log after a position, which is the number of an entry.
pub(super) async fn read(
    connection: &mut <Sqlite as Dialect>::Connection,
    namespace: &str,
    after: Option<i64>,
) -> Result<Reading<i64>, Failure> {
    let row = Sqlite::fetch_optional(connection, NEWEST, &[]).await?;
    let newest = row.and_then(|row| row.integer(0).transpose()).transpose();
    let newest = newest.map_err(|_| Failure::Unreadable("seq"))?.unwrap_or(0);
    let mut reading = Reading { position: newest, changes: Vec::new(), gap: false, more: false };
    let Some(after) = after.filter(|after| *after != newest) else { return Ok(reading) };
    let values = [Value::Integer(after), Value::Text(namespace), Value::Integer(BATCH)];
    let rows = Sqlite::fetch_all(connection, AFTER, &values).await?;
    reading.position = after;
    for row in &rows {
        let position = row.integer(0).ok().flatten().ok_or(Failure::Unreadable("seq"))?;
        // Where the next number is missing, so is what it told.
        reading.gap |= position != reading.position + 1;
        reading.position = position;
        reading.changes.extend(changes(row, 1));
    }
    reading.gap |= rows.is_empty();
    reading.more = rows.len() as i64 == BATCH;
    Ok(reading)
}
