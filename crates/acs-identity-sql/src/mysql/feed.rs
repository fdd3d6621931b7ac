//! The log of changes in MySQL and MariaDB.
//!
//! Numbers are given before the commit: a lower one can appear after a higher one was read, and those of transactions that
//! were rolled back never do. So numbers that are missing are watched for a while.

use std::sync::LazyLock;
use std::time::Instant;

use super::MySql;
use super::holes::Holes;
use super::statements::now;
use crate::batch::Batch;
use crate::dialect::{Dialect, Row, Value};
use crate::error::Failure;
use crate::feed::{Reading, changes};
use crate::remote::Held;

/// About as many changes as the log keeps; a subscriber who finds more is behind.
const MOST: i64 = 10_000;

/// limit: holds what is over an hour old, and of what is left all but about the last 10,000; the oldest first. Answers with the first
/// and the last number. It fails if somebody holds any of it.
pub(super) const DUE: &str = concat!(
    "SELECT min(seq), max(seq) FROM (SELECT seq FROM acs_identity_changes WHERE seq <= GREATEST(\
        COALESCE((SELECT max(seq) FROM acs_identity_changes), 0) - 10000, \
        COALESCE((SELECT seq FROM acs_identity_changes WHERE at <= ",
    now!(),
    " - 3600000000 ORDER BY at DESC LIMIT 1), 0)) ORDER BY seq LIMIT ? FOR UPDATE NOWAIT) AS due"
);

/// Waits for whoever else trims the log.
const HOLD_TRIMMED: &str = "SELECT seq FROM acs_identity_trimmed WHERE id = 1 FOR UPDATE";

/// number: notes that entries up to this one are being deleted.
const NOTE_TRIMMED: &str = "UPDATE acs_identity_trimmed SET seq = GREATEST(seq, ?) WHERE id = 1";

/// number: tells the trigger what has been noted, so that it does not note each entry again.
const TELL_TRIMMED: &str = "SET @acs_identity_trimmed = ?";

/// the first and the last number: deletes entries of the log. All that were there are held by then; one that comes in between is
/// waited for and noted as deleted with them, so that nobody misses it unsaid.
pub(super) const DELETE: &str = "DELETE FROM acs_identity_changes WHERE seq BETWEEN ? AND ?";

/// The highest number in the log, and the highest that was deleted from it.
const END: &str = "SELECT COALESCE((SELECT max(seq) FROM acs_identity_changes), 0), seq FROM acs_identity_trimmed";

/// position, limit: the numbers after a position.
pub(super) const NUMBERS: &str = "SELECT seq FROM acs_identity_changes WHERE seq > ? ORDER BY seq LIMIT ?";

/// namespace four times, position, limit: the entries after a position; of another namespace's only the number.
pub(super) const AFTER: &str = "SELECT seq, IF(namespace = ?, acs_id, NULL), IF(namespace = ?, revision, NULL), \
        IF(namespace = ?, customer_before, NULL), IF(namespace = ?, customer_after, NULL) \
    FROM acs_identity_changes WHERE seq > ? ORDER BY seq LIMIT ?";

/// namespace four times, the first and the last number of ranges, limit: the entries in them.
pub(super) static AMONG: LazyLock<Batch> = LazyLock::new(|| {
    Batch::sized(RANGES, |size| {
        let ranges = ranges(size);
        format!(
            "SELECT seq, IF(namespace = ?, acs_id, NULL), IF(namespace = ?, revision, NULL), \
                IF(namespace = ?, customer_before, NULL), IF(namespace = ?, customer_after, NULL) \
            FROM acs_identity_changes WHERE {ranges} ORDER BY seq LIMIT ?"
        )
    })
});

/// The first and the last number of ranges, limit: the numbers in them.
static NUMBERS_AMONG: LazyLock<Batch> = LazyLock::new(|| {
    Batch::sized(RANGES, |size| {
        format!("SELECT seq FROM acs_identity_changes WHERE {} ORDER BY seq LIMIT ?", ranges(size))
    })
});

/// Sizes of a statement about several numbers or ranges of them. A list is filled up by repeating its last one.
const RANGES: &[usize] = &[1, 8, 64, 512];

fn ranges(size: usize) -> String {
    vec!["seq BETWEEN ? AND ?"; size].join(" OR ")
}

const DIRTY: &str = "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
const CLEAN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// How far a subscriber has read.
#[derive(Debug, Clone)]
pub struct LogPosition {
    /// The highest number that it has seen.
    head: i64,
    /// The highest number that had been deleted.
    trimmed: i64,
    /// Numbers below the head that it has not seen.
    holes: Holes,
}

type Connection = Held<sqlx::MySql>;

pub(super) async fn read(
    connection: &mut Connection,
    namespace: &str,
    position: Option<&LogPosition>,
) -> Result<Reading<LogPosition>, Failure> {
    match position {
        None => Ok(Reading { position: end(connection).await?, changes: Vec::new(), gap: false, more: false }),
        Some(position) => follow(connection, namespace, position.clone()).await,
    }
}

/// Deletes entries whose time is over, at most so many. None beyond one that is not committed yet: who subscribes later would
/// not know of that.
pub(super) async fn trim(connection: &mut Connection, limit: usize) -> Result<u64, Failure> {
    MySql::fetch_optional(connection, HOLD_TRIMMED, &[]).await?;
    let due = match MySql::fetch_optional(connection, DUE, &[Value::Integer(limit as i64)]).await {
        Err(Failure::Locked { .. }) => return Ok(0),
        due => due?.ok_or(Failure::Unreadable("seq"))?,
    };
    let number = |column| due.integer(column).map_err(|_| Failure::Unreadable("seq"));
    let (Some(first), Some(last)) = (number(0)?, number(1)?) else { return Ok(0) };
    let (first, last) = (Value::Integer(first), Value::Integer(last));
    MySql::execute(connection, NOTE_TRIMMED, &[last]).await?;
    MySql::execute(connection, TELL_TRIMMED, &[last]).await?;
    let deleted = MySql::execute(connection, DELETE, &[first, last]).await;
    let untold = MySql::execute(connection, TELL_TRIMMED, &[Value::Null]).await;
    if untold.is_err() || deleted.is_err() {
        // What is rolled back has not been noted, and must not be taken for that.
        connection.condemn();
    }
    untold.and(deleted)
}

/// Where the log ends: what is missing in it may be somebody's transaction that is under way.
async fn end(connection: &mut Connection) -> Result<LogPosition, Failure> {
    let (newest, trimmed) = ends(connection).await?;
    let from = trimmed.min(newest).max(newest - MOST);
    let rows = MySql::fetch_all(connection, NUMBERS, &[Value::Integer(from), Value::Integer(2 * MOST)]).await?;
    let mut position = LogPosition { head: from, trimmed, holes: Holes::default() };
    for row in &rows {
        position.pass(number(row)?);
    }
    Ok(position)
}

async fn follow(
    connection: &mut Connection,
    namespace: &str,
    mut position: LogPosition,
) -> Result<Reading<LogPosition>, Failure> {
    let text = Value::Text(namespace);
    let values = [text, text, text, text, Value::Integer(position.head), Value::Integer(MOST + 1)];
    let rows = fetch_at(CLEAN, connection, AFTER, &values).await?;
    for row in &rows {
        position.pass(number(row)?);
    }
    // First whether there is anything at all in the holes, which there rarely is.
    let holes = position.holes.ranges();
    let mut there = Vec::new();
    for row in fetch_among(DIRTY, connection, &NUMBERS_AMONG, &[], &holes).await? {
        there.push(number(&row)?);
    }
    let late =
        if there.is_empty() { Vec::new() } else { fetch_among(CLEAN, connection, &AMONG, &[text; 4], &holes).await? };
    for row in &late {
        position.holes.fill(number(row)?);
    }
    let (newest, trimmed) = ends(connection).await?;

    let mut gap = [rows.len(), there.len(), late.len()].into_iter().any(|read| read as i64 > MOST);
    if trimmed > position.trimmed {
        // What was deleted before it was seen: a number that is missing, or one that came after the last one seen.
        gap |= position.holes.trim(trimmed) || trimmed > position.head;
        position.trimmed = trimmed;
    }
    // The log was emptied in a way that no trigger sees.
    gap |= newest.max(trimmed) < position.head;
    gap |= position.holes.count() as i64 > MOST;
    position.holes.look(&there, Instant::now());
    let changes = late.iter().chain(&rows).flat_map(|row| changes(row, 1)).collect();
    Ok(Reading { position, changes, gap, more: false })
}

impl LogPosition {
    /// Notes that a number above all others was seen, and that those before it were not.
    fn pass(&mut self, number: i64) {
        // What was deleted before this subscription is missing for good.
        let from = (self.head + 1).max(if number > self.trimmed { self.trimmed + 1 } else { 0 });
        self.holes.add(from, number - 1, Instant::now());
        self.head = number;
    }
}

/// Reads what is in ranges, but of each of a few parts no more than the log is to keep.
async fn fetch_among(
    level: &'static str,
    connection: &mut Connection,
    batch: &'static Batch,
    first: &[Value<'_>],
    ranges: &[(i64, i64)],
) -> Result<Vec<<MySql as Dialect>::Row>, Failure> {
    let mut rows = Vec::new();
    for part in ranges.chunks(batch.largest().max(1)) {
        let Some((size, sql)) = batch.covering(part.len()) else { break };
        let mut values = first.to_vec();
        for (first, last) in part.iter().chain(std::iter::repeat_n(&part[part.len() - 1], size - part.len())) {
            values.extend([Value::Integer(*first), Value::Integer(*last)]);
        }
        values.push(Value::Integer(MOST + 1));
        rows.extend(fetch_at(level, connection, sql, &values).await?);
    }
    Ok(rows)
}

/// Reads at an isolation level, whatever the server's default is.
async fn fetch_at(
    level: &'static str,
    connection: &mut Connection,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<<MySql as Dialect>::Row>, Failure> {
    MySql::execute(connection, level, &[]).await?;
    // The level holds for the next statement that the server carries out. That must be no one else's.
    MySql::fetch_all(connection, sql, values).await.inspect_err(|_| connection.condemn())
}

async fn ends(connection: &mut Connection) -> Result<(i64, i64), Failure> {
    let row = MySql::fetch_optional(connection, END, &[]).await?;
    let ends = row.and_then(|row| Some((row.integer(0).ok()??, row.integer(1).ok()??)));
    ends.ok_or(Failure::Unreadable("seq"))
}

fn number(row: &impl Row) -> Result<i64, Failure> {
    row.integer(0).ok().flatten().ok_or(Failure::Unreadable("seq"))
}
