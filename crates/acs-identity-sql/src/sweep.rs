//! Tombstones and changes whose time is over are deleted, a few with each write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use acs_identity_core::Timestamp;

use crate::dialect::{Dialect, Value};
use crate::error::Failure;
use crate::record;
use crate::store::SqlStore;

/// How many are deleted beyond as many as the writes may have made, so that they become fewer in time.
const BEYOND: usize = 32;

/// How many rows are written to a remote database between two sweeps.
const EVERY: usize = 64;

/// What has been written since the last sweep began, and whether one is under way.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    written: AtomicUsize,
    sweeps: AtomicBool,
}

/// The one sweep of a store, until it is dropped.
struct Sweep<D: Dialect>(SqlStore<D>);

impl<D: Dialect> Sweep<D> {
    fn begin(store: &SqlStore<D>) -> Option<Self> {
        let swept = store.shared().sweeper.sweeps.swap(true, Ordering::AcqRel);
        (!swept).then(|| Self(store.clone()))
    }
}

impl<D: Dialect> Drop for Sweep<D> {
    fn drop(&mut self) {
        self.0.shared().sweeper.sweeps.store(false, Ordering::Release);
    }
}

/// Sweeps a little in a transaction that has written so many rows, where that is in nobody's way.
pub(crate) async fn within<D: Dialect>(
    connection: &mut D::Connection,
    now: Timestamp,
    written: usize,
) -> Result<(), Failure> {
    if !D::REMOTE {
        forget::<D>(connection, now, written + BEYOND).await?;
    }
    Ok(())
}

/// Sweeps in the background after so many rows were written, where it would have been in the way of others before. A store
/// has one sweep at a time: if that has to wait for somebody, no more connections do.
pub(crate) fn after_a_write<D: Dialect>(store: &SqlStore<D>, written: usize) {
    let due = &store.shared().sweeper.written;
    if !D::REMOTE || due.fetch_add(written, Ordering::Relaxed) + written < EVERY {
        return;
    }
    let Some(one) = Sweep::begin(store) else { return };
    let limit = due.swap(0, Ordering::Relaxed) + BEYOND;
    tokio::spawn(async move {
        let sweep = move |store: SqlStore<D>, state| async move {
            // Each in a transaction of its own, so that nobody waits long.
            let mut transaction = D::begin(store.writer(&state).await?).await?;
            let now = store.now(&mut transaction).await?;
            forget::<D>(&mut transaction, now, limit).await?;
            D::commit(transaction).await?;
            let mut transaction = D::begin(store.writer(&state).await?).await?;
            D::trim(&mut transaction, limit).await?;
            D::commit(transaction).await
        };
        // What could not be done now is done with the next one.
        let _ = one.0.run(sweep).await;
    });
}

/// Deletes tombstones whose time is over, at most so many. Answers with how many there were.
pub(crate) async fn forget<D: Dialect>(
    connection: &mut D::Connection,
    now: Timestamp,
    limit: usize,
) -> Result<u64, Failure> {
    let values = [Value::Integer(record::micros(now)), Value::Integer(limit as i64)];
    D::execute(connection, D::statements().forget, &values).await
}
