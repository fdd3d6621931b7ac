//! Follows a change feed, so that what others write is seen.
//!
//! It is followed in a task, whose runtime may stand still: then news are told, and not heard. So whoever listens says so all the time, and if
//! that was too long ago, nothing is fresh, and the next one who misses something has the feed followed on its own runtime.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, LostReason, Resolution};
use futures::StreamExt;
use futures::future::{AbortHandle, abortable};
use tokio_util::task::TaskTracker;

use crate::barriers::Barriers;
use crate::clock::Time;
use crate::guarded::caught;
use crate::lane::Lane;
use crate::sync::{AtomicU64, Guard, Mutex, Ordering, is_on, lock, pause, spawn, timeout};
use crate::traced;
use crate::values::{Listing, micros};

/// How long to wait before a feed that has ended is subscribed to again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often who listens says so, at the least.
const BEAT: Duration = Duration::from_secs(1);
/// How long it is believed.
const BELIEVED: Duration = Duration::from_secs(5);

const IDLE: u64 = 0;
/// For good, as its cache is closed or gone.
const STOPPED: u64 = u64::MAX;

/// Follows a feed, in a task that ends with this.
pub(crate) struct Follower {
    listener: Listener,
    /// [`IDLE`], [`STOPPED`], or the number of who follows.
    state: Arc<AtomicU64>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Clone)]
struct Listener {
    feed: Arc<dyn ChangeFeed>,
    barriers: Arc<Barriers>,
    ids: Arc<Lane<AcsId, Option<Resolution>>>,
    customers: Arc<Lane<CustomerId, Listing>>,
    time: Time,
}

impl Follower {
    pub(crate) fn new(
        feed: Arc<dyn ChangeFeed>,
        barriers: Arc<Barriers>,
        ids: Arc<Lane<AcsId, Option<Resolution>>>,
        customers: Arc<Lane<CustomerId, Listing>>,
        time: Time,
    ) -> Self {
        let listener = Listener { feed, barriers, ids, customers, time };
        Self { listener, state: Arc::new(AtomicU64::new(IDLE)), task: Mutex::default() }
    }

    /// Whether there is nothing to begin.
    fn is_settled(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            IDLE => false,
            STOPPED => true,
            _ => self.listener.barriers.is_heard(self.listener.time.now()),
        }
    }

    /// Begins to follow, unless somebody does. Called before each load, since nothing is fresh before, and since the runtime that it
    /// runs on may have gone, or stand still.
    pub(crate) fn start(&self, tasks: &TaskTracker) {
        if self.is_settled() {
            return;
        }
        let mut task = lock(&self.task);
        if self.is_settled() {
            return;
        }
        if let Some(older) = task.take()
            && self.state.load(Ordering::Acquire) != IDLE
        {
            traced::feed_is_not_heard();
            older.abort();
        }
        let number = self.listener.barriers.next_follower();
        self.state.store(number, Ordering::Release);
        self.listener.say_so(self.listener.time.now(), number);
        let running = Running { barriers: self.listener.barriers.clone(), state: self.state.clone(), number };
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

/// However the task ends, nothing is followed any more, unless another one does.
struct Running {
    barriers: Arc<Barriers>,
    state: Arc<AtomicU64>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.barriers.set_live(false, self.number);
        if self.state.compare_exchange(self.number, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            traced::runtime_lost("follow");
        }
    }
}

/// How a subscription came to its end.
enum End {
    /// The feed has ended.
    Ended,
    /// This stood still meanwhile.
    NotHeard,
}

impl Listener {
    /// Says that this listens, or did at a moment.
    fn say_so(&self, at: u64, number: u64) {
        // A clock of one's own may be moved at will, while the runtime's is not.
        if matches!(self.time, Time::Coarse) || cfg!(acs_identity_model) {
            self.barriers.hear_until(at.saturating_add(micros(BELIEVED)), number);
        }
    }

    async fn listen(self, running: Running) {
        let number = running.number;
        loop {
            let heard = caught(self.hear_all(number)).await;
            if is_on(Guard::EndIsALoss) {
                self.barriers.set_live(false, number);
            }
            match heard {
                Ok(End::Ended) => traced::feed_has_ended(),
                Ok(End::NotHeard) => traced::feed_is_not_heard(),
                Err(_) => traced::feed_has_panicked(),
            }
            self.say_so(self.time.now(), number);
            // It ends when its store is closed. Should it not have been, it goes on.
            let _ = timeout(PAUSE, std::future::pending::<()>()).await;
        }
    }

    /// Hears a subscription to its end.
    async fn hear_all(&self, number: u64) -> End {
        self.say_so(self.time.now(), number);
        let mut changes = self.feed.changes();
        let mut heard = 0_u64;
        loop {
            match timeout(BEAT, changes.next()).await {
                Some(Some(change)) => self.hear(change, number),
                Some(None) => return End::Ended,
                None => {}
            }
            // Others may have noticed, and what is fresh no more is not to be fresh again. By one look at the clock, as this may stand still in between, too.
            let now = self.time.now();
            if !self.barriers.is_heard(now) && is_on(Guard::HeardTillNow) {
                return End::NotHeard;
            }
            self.say_so(if is_on(Guard::HeardAtTheLook) { now } else { self.time.now() }, number);
            heard += 1;
            // A feed that always has more to tell is not to keep the thread to itself.
            if heard.is_multiple_of(128) {
                pause().await;
            }
        }
    }

    fn hear(&self, change: Change, number: u64) {
        match change {
            Change::Live => {
                self.barriers.set_live(true, number);
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
                // What is not known to have changed may still be given out as stale; but not what the backend has thrown away, nor after
                // what is newer than this crate.
                if !matches!(reason, LostReason::Lagged | LostReason::Disconnected) && is_on(Guard::FlushIsForgotten) {
                    self.forget_all();
                }
                self.barriers.set_live(false, number);
                traced::feed_is_lost(reason);
            }
            // Also what is newer than this crate.
            _ => self.forget_all(),
        }
    }

    fn forget_all(&self) {
        self.barriers.forget_all();
        self.ids.clear();
        self.customers.clear();
    }
}
