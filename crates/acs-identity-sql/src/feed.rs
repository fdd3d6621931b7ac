//! The change feed: a log in the database, which each subscriber reads at its own pace.

use std::collections::VecDeque;
use std::pin::pin;

use acs_identity_core::{AcsId, Change, CustomerId, LostReason, Revision};
use futures::StreamExt;
use futures::future::select;
use futures::stream::{self, BoxStream};

use crate::dialect::{Dialect, Row, Value};
use crate::error::Failure;
use crate::store::SqlStore;

/// How many changes are read at once.
const BATCH: i64 = 512;

pub(crate) fn subscribe<D: Dialect>(store: SqlStore<D>) -> BoxStream<'static, Change> {
    let subscription = Subscription { store, place: None, due: true, ready: VecDeque::new() };
    let changes = stream::unfold(subscription, |mut subscription| async move {
        subscription.next().await.map(|change| (change, subscription))
    });
    // An application may poll once too often.
    Box::pin(changes.fuse())
}

/// One subscriber. Nothing runs for it but while it is asked, and what it has not asked for yet waits in the log.
struct Subscription<D: Dialect> {
    store: SqlStore<D>,
    /// Where the last change that was read is in the log; `None` while nothing is followed.
    place: Option<i64>,
    /// Whether it is time to look into the log.
    due: bool,
    ready: VecDeque<Change>,
}

impl<D: Dialect> Subscription<D> {
    async fn next(&mut self) -> Option<Change> {
        loop {
            if self.store.is_closed() {
                return None;
            }
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            if !self.due {
                self.pause().await;
                self.due = true;
                continue;
            }
            self.due = false;
            match self.read().await {
                Ok(()) => {}
                Err(Failure::Closed) => return None,
                // The log may be whole, but what is in it can't be told in time.
                Err(_) if self.place.take().is_some() => self.ready.push_back(Change::Lost(LostReason::Disconnected)),
                Err(_) => {}
            }
        }
    }

    /// Waits until it is time to look again, or the store is closed.
    async fn pause(&self) {
        let closed = pin!(D::closed(&self.store.shared().reader));
        let time = pin!(tokio::time::sleep(self.store.shared().poll_interval));
        select(closed, time).await;
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let (newest, entries) = read_log(&self.store, self.place).await?;
        let Some(place) = self.place else {
            self.place = Some(newest);
            self.ready.push_back(Change::Live);
            return Ok(());
        };
        if newest == place {
            return Ok(());
        }
        // The numbers have no gaps: where the next one is missing, so is what it told.
        if entries.is_empty() || entries.iter().zip(place + 1..).any(|(entry, next)| entry.place != next) {
            self.place = None;
            self.due = true;
            self.ready.push_back(Change::Lost(LostReason::Lagged));
            return Ok(());
        }
        self.due = entries.len() as i64 == BATCH;
        for entry in entries {
            self.place = Some(entry.place);
            self.ready.extend(entry.changes.into_iter().flatten());
        }
        Ok(())
    }
}

/// One entry of the log and what it tells, which is nothing if it is another namespace's.
struct Entry {
    place: i64,
    changes: [Option<Change>; 3],
}

/// Where the newest change is, and what is in the log after a place. Entries may be missing from it, which does not change
/// where the newest one is.
async fn read_log<D: Dialect>(store: &SqlStore<D>, after: Option<i64>) -> Result<(i64, Vec<Entry>), Failure> {
    store
        .run(move |store, fate| async move {
            let mut connection = store.reader(&fate).await?;
            let row = D::fetch_optional(&mut connection, D::statements().newest_change, &[]).await?;
            let newest = row.map(|row| row.integer(0)).transpose().map_err(|_| Failure::Unreadable("seq"))?;
            let newest = newest.flatten().unwrap_or(0);
            let Some(after) = after.filter(|after| *after != newest) else { return Ok((newest, Vec::new())) };
            let values = [Value::Integer(after), Value::Text(store.namespace()), Value::Integer(BATCH)];
            let rows = D::fetch_all(&mut connection, D::statements().changes_after, &values).await?;
            Ok((newest, rows.iter().map(entry).collect::<Result<_, _>>()?))
        })
        .await
}

fn entry(row: &impl Row) -> Result<Entry, Failure> {
    let place = row.integer(0).ok().flatten().ok_or(Failure::Unreadable("seq"))?;
    // A text that is no legal ID was written by hand. Nobody can have asked for it, so nobody needs to know.
    let text = |column| row.text(column).ok().flatten();
    let customer = |column| text(column).and_then(|text| CustomerId::new(text).ok());
    let revision = row.integer(2).ok().flatten().and_then(|number| u64::try_from(number).ok()).map(Revision::new);
    let acs_id = text(1).and_then(|text| AcsId::new(text).ok());
    let before = customer(3);
    let after = customer(4).filter(|after| Some(after) != before.as_ref());
    let changes =
        [acs_id.map(|id| Change::Acs(id, revision)), before.map(Change::Customer), after.map(Change::Customer)];
    Ok(Entry { place, changes })
}
