//! Follows a change feed, so that what others write is seen.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, Resolution};
use futures::StreamExt;
use futures::future::{AbortHandle, abortable};

use crate::barriers::Barriers;
use crate::lane::Lane;
use crate::sync::{AtomicU32, Mutex, Ordering, lock, spawn, timeout};
use crate::values::Listing;

/// How long to wait before a feed that has ended is subscribed to again.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows a feed, in a task that ends with this.
pub(crate) struct Follower {
    listener: Listener,
    running: Arc<AtomicU32>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Clone)]
struct Listener {
    feed: Arc<dyn ChangeFeed>,
    barriers: Arc<Barriers>,
    ids: Arc<Lane<AcsId, Option<Resolution>>>,
    customers: Arc<Lane<CustomerId, Listing>>,
}

impl Follower {
    pub(crate) fn new(
        feed: Arc<dyn ChangeFeed>,
        barriers: Arc<Barriers>,
        ids: Arc<Lane<AcsId, Option<Resolution>>>,
        customers: Arc<Lane<CustomerId, Listing>>,
    ) -> Self {
        let listener = Listener { feed, barriers, ids, customers };
        Self { listener, running: Arc::default(), task: Mutex::default() }
    }

    /// Begins to follow, unless it does. Called with each miss, since nothing is fresh before, and since the runtime that it
    /// runs on may have gone.
    pub(crate) fn start(&self) {
        if self.running.load(Ordering::Acquire) != 0 || self.running.swap(1, Ordering::AcqRel) != 0 {
            return;
        }
        let running = Running { barriers: self.listener.barriers.clone(), flag: self.running.clone() };
        let (task, handle) = abortable(self.listener.clone().listen(running));
        *lock(&self.task) = Some(handle);
        spawn(async move {
            let _ = task.await;
        });
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// However the task ends, nothing is followed any more.
struct Running {
    barriers: Arc<Barriers>,
    flag: Arc<AtomicU32>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.barriers.set_live(false);
        self.flag.store(0, Ordering::Release);
    }
}

impl Listener {
    async fn listen(self, _running: Running) {
        loop {
            let mut changes = self.feed.changes();
            while let Some(change) = changes.next().await {
                self.hear(change);
            }
            self.barriers.set_live(false);
            // It ends when its store is closed. Should it not have been, it goes on.
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
        }
    }

    fn hear(&self, change: Change) {
        match change {
            Change::Live => self.barriers.set_live(true),
            Change::Acs(id, revision) => {
                self.barriers.stamp_id(&id);
                self.ids.forget_before(&id, revision);
            }
            Change::Customer(customer) => {
                self.barriers.stamp_customer(&customer);
                self.customers.forget(&customer);
            }
            Change::Lost(_) => self.barriers.set_live(false),
            // Also what is newer than this crate.
            _ => {
                self.barriers.forget_all();
                self.ids.clear();
                self.customers.clear();
            }
        }
    }
}
