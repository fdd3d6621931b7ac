//! The change feed: a log in the database, which each subscriber reads at its own pace.

use std::collections::VecDeque;
use std::pin::pin;

use acs_identity_core::{AcsId, Change, CustomerId, LostReason, Revision};
use futures::StreamExt;
use futures::future::select;
use futures::stream::{self, BoxStream};

use crate::dialect::{Connections, Dialect, Row};
use crate::error::Failure;
use crate::store::SqlStore;

/// What a subscriber found in the log.
#[derive(Debug)]
pub struct Reading<P> {
    /// How far it has been read now.
    pub position: P,
    pub changes: Vec<Change>,
    /// Something may be missing that was deleted before it was read.
    pub gap: bool,
    /// There may be more at once.
    pub more: bool,
}

pub(crate) fn subscribe<D: Dialect>(store: SqlStore<D>) -> BoxStream<'static, Change> {
    let subscription = Subscription { store, position: None, wakeup: None, due: true, ready: VecDeque::new() };
    let changes = stream::unfold(subscription, |mut subscription| async move {
        subscription.next().await.map(|change| (change, subscription))
    });
    // An application may poll once too often.
    Box::pin(changes.fuse())
}

/// One subscriber. Nothing runs for it but while it is asked, and what it has not asked for yet waits in the log.
struct Subscription<D: Dialect> {
    store: SqlStore<D>,
    /// How far the log has been read; `None` while nothing is followed.
    position: Option<D::LogPosition>,
    wakeup: Option<D::Wakeup>,
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
                Err(_) if self.position.take().is_some() => {
                    self.ready.push_back(Change::Lost(LostReason::Disconnected))
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until it is time to look again, or the store is closed.
    async fn pause(&mut self) {
        let closed = pin!(self.store.shared().reader.closed());
        let time = pin!(wait(&self.store, &mut self.wakeup));
        select(closed, time).await;
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let position = self.position.clone();
        let followed = position.is_some();
        let read = move |store: SqlStore<D>, state| {
            let position = position.clone();
            async move {
                let mut connection = store.reader(&state).await?;
                D::read_log(&mut connection, store.namespace(), position.as_ref()).await
            }
        };
        let reading = self.store.run(read).await?;
        if reading.gap {
            self.position = None;
            self.due = true;
            self.ready.push_back(Change::Lost(LostReason::Lagged));
            return Ok(());
        }
        if !followed {
            self.ready.push_back(Change::Live);
        }
        self.position = Some(reading.position);
        self.due = reading.more;
        self.ready.extend(reading.changes);
        Ok(())
    }
}

async fn wait<D: Dialect>(store: &SqlStore<D>, wakeup: &mut Option<D::Wakeup>) {
    let woken = match wakeup {
        Some(wakeup) => D::woken(wakeup, store).await,
        // What came before it was there woke nobody, so the log is read at once.
        None => D::wakeup(store).await.map(|made| *wakeup = Some(made)),
    };
    if woken.is_err() {
        *wakeup = None;
        tokio::time::sleep(store.shared().poll_interval).await;
    }
}

/// What an entry of the log tells, given the columns `acs_id`, `revision`, `customer_before` and `customer_after` from
/// this one on. All of them are NULL if it is another namespace's.
pub(crate) fn changes(row: &impl Row, first: usize) -> impl Iterator<Item = Change> {
    // A text that is no legal ID was written by hand. Nobody can have asked for it, so nobody needs to know.
    let text = |column| row.text(first + column).ok().flatten();
    let customer = |column| text(column).and_then(|text| CustomerId::new(text).ok());
    let revision =
        row.integer(first + 1).ok().flatten().and_then(|number| u64::try_from(number).ok()).map(Revision::new);
    let acs_id = text(0).and_then(|text| AcsId::new(text).ok());
    let before = customer(2);
    let after = customer(3).filter(|after| Some(after) != before.as_ref());
    let changes =
        [acs_id.map(|id| Change::Acs(id, revision)), before.map(Change::Customer), after.map(Change::Customer)];
    changes.into_iter().flatten()
}
