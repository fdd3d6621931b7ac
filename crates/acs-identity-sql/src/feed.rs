//! The change feed: a log in the database, which each subscriber reads at its own pace.

use std::collections::VecDeque;
use std::pin::pin;

use acs_identity_core::{AcsId, Change, CustomerId, LostReason, Revision};
use futures::future::select;
use futures::stream::{self, BoxStream};

use crate::dialect::{Dialect, Row, Value};
use crate::error::Failure;
use crate::store::SqlStore;

/// How many changes are read at once.
const BATCH: i64 = 512;

pub(crate) fn subscribe<D: Dialect>(store: SqlStore<D>) -> BoxStream<'static, Change> {
    let subscription = Subscription { store, place: None, due: true, ready: VecDeque::new() };
    Box::pin(stream::unfold(subscription, |mut subscription| async move {
        subscription.next().await.map(|change| (change, subscription))
    }))
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
        let Some(place) = self.place else {
            self.place = Some(newest(&self.store).await?);
            self.ready.push_back(Change::Live);
            return Ok(());
        };
        let entries = from(&self.store, place).await?;
        // The entry of the place itself is read again: if it is not there any more, neither may be what followed it.
        // An empty log is at place 0, and its first entry is 1.
        let first = entries.first().map_or(0, |entry| entry.place);
        if first != place && !(place == 0 && first == 1) {
            self.place = None;
            self.due = true;
            self.ready.push_back(Change::Lost(LostReason::Lagged));
            return Ok(());
        }
        self.due = entries.len() as i64 == BATCH;
        for entry in entries.into_iter().filter(|entry| entry.place > place) {
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

async fn newest<D: Dialect>(store: &SqlStore<D>) -> Result<i64, Failure> {
    let read = |store: SqlStore<D>, fate| async move {
        let mut connection = store.reader(&fate).await?;
        let row = D::fetch_optional(&mut connection, D::statements().newest_change, &[]).await?;
        let newest = row.map(|row| row.integer(0)).transpose().map_err(|_| Failure::Unreadable("seq"))?;
        Ok(newest.flatten().unwrap_or(0))
    };
    store.run(read).await
}

async fn from<D: Dialect>(store: &SqlStore<D>, place: i64) -> Result<Vec<Entry>, Failure> {
    store
        .run(|store, fate| async move {
            let mut connection = store.reader(&fate).await?;
            let values = [Value::Integer(place), Value::Text(store.namespace()), Value::Integer(BATCH)];
            let rows = D::fetch_all(&mut connection, D::statements().changes_from, &values).await?;
            rows.iter().map(entry).collect()
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
