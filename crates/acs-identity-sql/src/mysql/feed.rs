//! The log of changes in MySQL and MariaDB.
//!
//! Numbers are given before the commit: a lower one can appear after a higher one was read, and those of transactions that
//! were rolled back never do. So a number that is missing is watched for a while.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::MySql;
use super::statements::now;
use crate::batch::Batch;
use crate::dialect::{Dialect, Row, Value};
use crate::error::Failure;
use crate::feed::{Reading, changes};
use crate::remote::Held;

/// About as many changes as the log keeps; a subscriber who finds more is behind.
const MOST: i64 = 10_000;

/// How long a number may be missing, and not be in the log even uncommitted, before it is taken for one that was rolled
/// back. Between the giving of a number and the writing of its row the server does nothing else.
const GRACE: Duration = Duration::from_secs(10);

/// Deletes what is over an hour old, and of what is left all but about the last 10,000.
pub(super) const TRIM: &str = concat!(
    "DELETE FROM acs_identity_changes WHERE seq <= (SELECT until FROM (SELECT GREATEST(\
        COALESCE((SELECT max(seq) FROM acs_identity_changes), 0) - 10000, \
        COALESCE((SELECT seq FROM acs_identity_changes WHERE at <= ",
    now!(),
    " - 3600000000 ORDER BY at DESC LIMIT 1), 0)) AS until) AS due) ORDER BY seq LIMIT ?"
);

/// The highest number in the log, and the highest that was deleted from it.
const END: &str = "SELECT COALESCE((SELECT max(seq) FROM acs_identity_changes), 0), seq FROM acs_identity_trimmed";

/// place, limit: the numbers after a place.
const NUMBERS: &str = "SELECT seq FROM acs_identity_changes WHERE seq > ? ORDER BY seq LIMIT ?";

/// namespace four times, place, limit: the entries after a place; of another namespace's only the number.
const AFTER: &str = "SELECT seq, IF(namespace = ?, acs_id, NULL), IF(namespace = ?, revision, NULL), \
        IF(namespace = ?, customer_before, NULL), IF(namespace = ?, customer_after, NULL) \
    FROM acs_identity_changes WHERE seq > ? ORDER BY seq LIMIT ?";

/// namespace four times, numbers: the entries with these numbers.
static AMONG: LazyLock<Batch> = LazyLock::new(|| {
    Batch::sized(&[1, 8, 64, 512], |size| {
        let numbers = vec!["?"; size].join(", ");
        format!(
            "SELECT seq, IF(namespace = ?, acs_id, NULL), IF(namespace = ?, revision, NULL), \
                IF(namespace = ?, customer_before, NULL), IF(namespace = ?, customer_after, NULL) \
            FROM acs_identity_changes WHERE seq IN ({numbers}) ORDER BY seq"
        )
    })
});

const DIRTY: &str = "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
const CLEAN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// How far a subscriber has read.
#[derive(Debug, Clone)]
pub struct Place {
    /// The highest number that it has seen.
    head: i64,
    /// The highest number that had been deleted.
    trimmed: i64,
    /// Numbers below the head that it has not seen, and since when they are missing.
    watched: BTreeMap<i64, Instant>,
}

type Connection = Held<sqlx::MySql>;

pub(super) async fn read(
    connection: &mut Connection,
    namespace: &str,
    place: Option<&Place>,
) -> Result<Reading<Place>, Failure> {
    match place {
        None => Ok(Reading { place: end(connection).await?, changes: Vec::new(), gap: false, more: false }),
        Some(place) => follow(connection, namespace, place.clone()).await,
    }
}

/// Where the log ends: what is missing in it may be somebody's transaction that is under way.
async fn end(connection: &mut Connection) -> Result<Place, Failure> {
    let (newest, trimmed) = ends(connection).await?;
    let from = trimmed.min(newest).max(newest - MOST);
    let rows = MySql::fetch_all(connection, NUMBERS, &[Value::Integer(from), Value::Integer(2 * MOST)]).await?;
    let mut place = Place { head: from, trimmed, watched: BTreeMap::new() };
    for row in &rows {
        place.pass(number(row)?);
    }
    Ok(place)
}

async fn follow(connection: &mut Connection, namespace: &str, place: Place) -> Result<Reading<Place>, Failure> {
    let text = Value::Text(namespace);
    let mut found = Vec::new();
    let watched: Vec<i64> = place.watched.keys().copied().collect();
    for numbers in watched.chunks(AMONG.largest()) {
        let Some((size, sql)) = AMONG.covering(numbers.len()) else { break };
        let mut values = vec![text; 4];
        values.extend(numbers.iter().copied().map(Value::Integer));
        values.resize(4 + size, numbers.last().map_or(Value::Null, |number| Value::Integer(*number)));
        found.extend(fetch_clean(connection, sql, &values).await?);
    }
    let values = [text, text, text, text, Value::Integer(place.head), Value::Integer(MOST + 1)];
    let rows = fetch_clean(connection, AFTER, &values).await?;
    let (newest, trimmed) = ends(connection).await?;

    let mut reading = Reading { gap: rows.len() as i64 > MOST, place, changes: Vec::new(), more: false };
    for row in found.iter().chain(&rows) {
        reading.place.pass(number(row)?);
        reading.changes.extend(changes(row, 1));
    }
    let place = &mut reading.place;
    if trimmed > place.trimmed {
        // What was deleted before it was seen: a number that is missing, or one that came after the last one seen.
        reading.gap |= trimmed > place.head || place.watched.keys().next().is_some_and(|number| *number <= trimmed);
        place.trimmed = trimmed;
    }
    // The log was emptied in a way that no trigger sees.
    reading.gap |= newest.max(trimmed) < place.head;
    reading.gap |= place.watched.len() as i64 > MOST;
    if !reading.gap {
        give_up(connection, place).await?;
    }
    Ok(reading)
}

impl Place {
    /// Notes that a number was seen, and those before it that were not.
    fn pass(&mut self, number: i64) {
        if number <= self.head {
            self.watched.remove(&number);
            return;
        }
        let now = Instant::now();
        // What was deleted before this subscription is missing for good.
        let from = (self.head + 1).max(if number > self.trimmed { self.trimmed + 1 } else { 0 });
        // Beyond the limit nobody counts them any more.
        self.watched.extend((from..number).take(MOST as usize + 1).map(|missing| (missing, now)));
        self.head = number;
    }
}

/// Stops watching the numbers that have been missing long enough, but for those that are in the log uncommitted.
async fn give_up(connection: &mut Connection, place: &mut Place) -> Result<(), Failure> {
    let old: Vec<i64> =
        place.watched.iter().filter(|(_, since)| since.elapsed() >= GRACE).map(|(number, _)| *number).collect();
    let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(()) };
    MySql::execute(connection, DIRTY, &[]).await?;
    let values = [Value::Integer(first - 1), Value::Integer(last - first + 1)];
    let rows = MySql::fetch_all(connection, NUMBERS, &values).await?;
    let uncommitted = rows.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    for number in old {
        if uncommitted.binary_search(&number).is_ok() {
            place.watched.insert(number, Instant::now());
        } else {
            place.watched.remove(&number);
        }
    }
    Ok(())
}

/// Reads what is committed now, whatever the server's default is.
async fn fetch_clean(
    connection: &mut Connection,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<<MySql as Dialect>::Row>, Failure> {
    MySql::execute(connection, CLEAN, &[]).await?;
    MySql::fetch_all(connection, sql, values).await
}

async fn ends(connection: &mut Connection) -> Result<(i64, i64), Failure> {
    let row = MySql::fetch_optional(connection, END, &[]).await?;
    let ends = row.and_then(|row| Some((row.integer(0).ok()??, row.integer(1).ok()??)));
    ends.ok_or(Failure::Unreadable("seq"))
}

fn number(row: &impl Row) -> Result<i64, Failure> {
    row.integer(0).ok().flatten().ok_or(Failure::Unreadable("seq"))
}
