//! The log of changes in PostgreSQL, and the notifications that tell of it.

use std::pin::pin;
use std::time::Duration;

use acs_identity_core::Change;
use futures::future::{Either, select};
use sqlx::postgres::{PgListener, PgPoolOptions};

use super::Postgres;
use crate::dialect::{Dialect, Row, Value};
use crate::error::Failure;
use crate::feed::{Reading, changes};
use crate::remote::{self, Held};
use crate::store::SqlStore;

/// The channel of the notifications.
const CHANNEL: &str = "acs_identity";

/// How often the log is looked at where notifications tell of what is new, in case one is lost on its way.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// About as many changes as the log keeps; a subscriber who finds more is behind.
const MOST: usize = 10_000;

/// Deletes what is over an hour old, and of what is left all but about the last 10,000; looks only at as many as it may delete.
pub(super) const TRIM: &str = "DELETE FROM acs_identity_changes WHERE seq = ANY (ARRAY(\
        SELECT seq FROM acs_identity_changes \
        WHERE seq <= (SELECT max(seq) FROM (SELECT seq FROM acs_identity_changes ORDER BY seq LIMIT $1) AS oldest) \
            AND (seq <= (SELECT max(seq) FROM acs_identity_changes) - 10000 \
                OR at <= clock_timestamp() - interval '1 hour') \
        FOR UPDATE SKIP LOCKED))";

/// Which run of the server it is: since when it is up, and since when it counts, which begins anew when it recovers from a crash
/// of one of its processes. Numbers of transactions that were not on the disk yet are given out again after that. Written as numbers:
/// how a session writes a time depends on its `TimeZone` and `DateStyle`, and each look may be with another one.
macro_rules! run {
    () => {
        "concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), \
            (SELECT extract(epoch FROM stats_reset) FROM pg_catalog.pg_stat_bgwriter))"
    };
}

/// Where the log ends: the transactions that are over now.
pub(super) const END: &str =
    concat!("SELECT pg_current_snapshot()::text, times, ", run!(), " FROM acs_identity_trimmed");

/// What has been committed since a snapshot, whatever its number is; with where the log ends, how often something was
/// deleted from it, and whether that may have been of a transaction that the snapshot had not seen: one that came later,
/// or one that was under way then and is over now.
pub(super) const AFTER: &str = concat!(
    "SELECT pg_current_snapshot()::text, times, ",
    run!(),
    ", CASE WHEN times <> $2 AND (\
            trimmed.transaction_id >= pg_snapshot_xmax($1::text::pg_snapshot) \
            OR EXISTS (SELECT FROM pg_snapshot_xip($1::text::pg_snapshot) AS running \
                WHERE running <= trimmed.transaction_id AND pg_visible_in_snapshot(running, pg_current_snapshot()))\
        ) THEN 1::bigint END, seq, acs_id, revision, customer_before, customer_after \
    FROM acs_identity_trimmed AS trimmed LEFT JOIN LATERAL (\
        SELECT * FROM acs_identity_changes \
        WHERE transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot) \
            AND transaction_id < pg_snapshot_xmax(pg_current_snapshot()) \
            AND NOT pg_visible_in_snapshot(transaction_id, $1::text::pg_snapshot) \
            AND (namespace = $3 OR namespace IS NULL) \
        ORDER BY seq LIMIT $4) AS change ON true"
);

/// How far a subscriber has read.
#[derive(Debug, Clone)]
pub struct LogPosition {
    /// The transactions that it has seen the changes of. A number in the log would not do, since lower ones may still come.
    snapshot: String,
    /// How often something had been deleted from the log.
    trimmed: i64,
    /// Which run of the server it was.
    run: String,
}

pub(super) async fn read(
    connection: &mut Held<sqlx::Postgres>,
    namespace: &str,
    position: Option<&LogPosition>,
) -> Result<Reading<LogPosition>, Failure> {
    let rows = match position {
        None => Postgres::fetch_all(connection, END, &[]).await?,
        Some(position) => {
            let values = [
                Value::Text(&position.snapshot),
                Value::Integer(position.trimmed),
                Value::Text(namespace),
                Value::Integer(MOST as i64 + 1),
            ];
            Postgres::fetch_all(connection, AFTER, &values).await?
        }
    };
    let end = rows.first().and_then(|row| {
        let (snapshot, trimmed, run) = (row.text(0).ok()??, row.integer(1).ok()??, row.text(2).ok()??);
        Some(LogPosition { snapshot: snapshot.to_owned(), trimmed, run: run.to_owned() })
    });
    let end = end.ok_or(Failure::Unreadable("transaction_id"))?;
    let Some(position) = position else {
        return Ok(Reading { position: end, changes: Vec::new(), gap: false, more: false });
    };
    let gap = rows.len() > MOST || end.run != position.run;
    let mut reading = Reading { position: end, changes: Vec::new(), gap, more: false };
    for row in &rows {
        reading.gap |= !matches!(row.integer(3), Ok(None));
        match (row.integer(4), row.text(5)) {
            // A row that only tells where the log ends.
            (Ok(None), _) => {}
            // Of no ID, so of all.
            (_, Ok(None)) => reading.changes.push(Change::All),
            _ => reading.changes.extend(changes(row, 5)),
        }
    }
    Ok(reading)
}

/// What wakes a subscriber when there is something new; `None` if nothing does, and the log is polled.
#[derive(Debug)]
pub struct Wakeup(Option<PgListener>);

/// Listens on a connection of its own, as the pool's are few, and one that listens is never free.
pub(super) async fn wakeup(store: &SqlStore<Postgres>) -> Result<Wakeup, Failure> {
    let shared = store.shared();
    if !shared.notifications {
        return Ok(Wakeup(None));
    }
    let connect = (*shared.reader.connect_options()).clone();
    let only = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(shared.deadline)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(connect);
    let listen = async {
        let mut listener = PgListener::connect_with(&only).await?;
        listener.listen(CHANNEL).await?;
        Ok(Wakeup(Some(listener)))
    };
    tokio::time::timeout(shared.deadline, listen)
        .await
        .map_err(|_| Failure::Deadline { deadline: shared.deadline, source: None })?
        .map_err(remote::failure::<Postgres>)
}

pub(super) async fn woken(wakeup: &mut Wakeup, store: &SqlStore<Postgres>) -> Result<(), Failure> {
    let poll_interval = store.shared().poll_interval;
    let Some(listener) = &mut wakeup.0 else {
        tokio::time::sleep(poll_interval).await;
        return Ok(());
    };
    let woken = {
        let woken = pin!(listener.try_recv());
        match select(woken, pin!(tokio::time::sleep(HEARTBEAT.max(poll_interval)))).await {
            Either::Left((woken, _)) => woken.map_err(remote::failure::<Postgres>)?,
            Either::Right(_) => return Ok(()),
        }
    };
    // Those that came with it tell of what is read now, too.
    while listener.next_buffered().is_some() {}
    woken.map(drop).ok_or(Failure::Cut { source: None })
}
