//! Follows a change feed, so that what others write is seen.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, Resolution};
use futures::StreamExt;
use futures::future::{AbortHandle, abortable};
use tokio_util::task::TaskTracker;

use crate::barriers::Barriers;
use crate::guarded::caught;
use crate::lane::Lane;
use crate::sync::{AtomicU32, Mutex, Ordering, lock, pause, spawn, timeout};
use crate::traced;
use crate::values::Listing;

/// How long to wait before a feed that has ended is subscribed to again.
const PAUSE: Duration = Duration::from_secs(1);

const IDLE: u32 = 0;
const FOLLOWING: u32 = 1;
/// For good, as its cache is closed or gone.
const STOPPED: u32 = 2;

/// Follows a feed, in a task that ends with this.
pub(crate) struct Follower {
    listener: Listener,
    /// [`IDLE`], [`FOLLOWING`] or [`STOPPED`].
    state: Arc<AtomicU32>,
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
        Self { listener, state: Arc::new(AtomicU32::new(IDLE)), task: Mutex::default() }
    }

    /// Begins to follow, unless it does. Called with each miss, since nothing is fresh before, and since the runtime that it
    /// runs on may have gone.
    pub(crate) fn start(&self, tasks: &TaskTracker) {
        if self.state.load(Ordering::Acquire) != IDLE {
            return;
        }
        let mut task = lock(&self.task);
        if self.state.compare_exchange(IDLE, FOLLOWING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        let running = Running { barriers: self.listener.barriers.clone(), state: self.state.clone() };
        let (following, handle) = abortable(self.listener.clone().listen(running));
        *task = Some(handle);
        // Without a runtime, it is dropped at once.
        drop(task);
        spawn(tasks.track_future(async move {
            let _ = following.await;
        }));
    }

    /// Ends to follow, for good.
    pub(crate) fn stop(&self) {
        let mut task = lock(&self.task);
        self.state.store(STOPPED, Ordering::Release);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

/// However the task ends, nothing is followed any more.
struct Running {
    barriers: Arc<Barriers>,
    state: Arc<AtomicU32>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.barriers.set_live(false);
        if self.state.compare_exchange(FOLLOWING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            traced::runtime_lost("follow");
        }
    }
}

impl Listener {
    async fn listen(self, _running: Running) {
        loop {
            let heard = caught(self.hear_all()).await;
            self.barriers.set_live(false);
            match heard {
                Ok(()) => traced::feed_has_ended(),
                Err(_) => traced::feed_has_panicked(),
            }
            // It ends when its store is closed. Should it not have been, it goes on.
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
        }
    }

    /// Hears a subscription to its end.
    async fn hear_all(&self) {
        let mut changes = self.feed.changes();
        for heard in 1_u64.. {
            let Some(change) = changes.next().await else { return };
            self.hear(change);
            // A feed that always has more to tell is not to keep the thread to itself.
            if heard.is_multiple_of(128) {
                pause().await;
            }
        }
    }

    fn hear(&self, change: Change) {
        match change {
            Change::Live => {
                self.barriers.set_live(true);
                traced::feed_is_live(self.barriers.feed().epoch);
            }
            // Whatever its revision: a row that was changed by hand may still have the one that is known.
            Change::Acs(id, _) => {
                self.barriers.stamp_id(&id);
                self.ids.forget(&id);
            }
            Change::Customer(customer) => {
                self.barriers.stamp_customer(&customer);
                self.customers.forget(&customer);
            }
            Change::Lost(reason) => {
                self.barriers.set_live(false);
                traced::feed_is_lost(reason);
            }
            // Also what is newer than this crate.
            _ => {
                self.barriers.forget_all();
                self.ids.clear();
                self.customers.clear();
            }
        }
    }
}
