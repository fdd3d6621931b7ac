//! What the cache needs of threads and of a runtime, in one place, so that the models can put their own scheduler there.

#[cfg(not(acs_identity_model))]
pub(crate) use real::{
    AtomicBool, AtomicU32, AtomicU64, Moment, Mutex, MutexGuard, Ordering, has_runtime, is_on, moment, pause, spawn,
    timeout, timeout_at,
};

#[cfg(acs_identity_model)]
pub(crate) use crate::models::sync::{
    AtomicBool, AtomicU32, AtomicU64, Moment, Mutex, MutexGuard, Ordering, has_runtime, is_on, moment, pause, spawn,
    timeout, timeout_at,
};

use std::sync::PoisonError;

/// What keeps stale answers out, each by itself. The models take one out at a time, and have to fail then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Guard {
    /// An answer is stored only by a flight that is still among those of its key.
    FlightIsTheKeys,
    /// An answer that lands takes the older flights of its key out.
    OlderAreTakenOut,
    /// Nothing is stored under a key that is barred.
    KeyIsBarred,
    /// Nothing is stored that was loaded before the key's bar was over.
    KeyIsStamped,
    /// What a source says is stale is not stored.
    SourceIsFresh,
    /// An answer that is not stored takes away the older one.
    OlderIsRemoved,
    /// An answer that is stored takes away the older one in the other table.
    OtherIsRemoved,
    /// Nothing is stored that names a key of the other direction which is barred.
    NamedIsBarred,
    /// A bar that has lasted for a while leaves a stamp.
    BarLeavesAStamp,
    /// That stamp is there before the bar goes.
    StampBeforeUnbarred,
    /// What was loaded before all was forgotten is not given out.
    Floor,
    /// What names a key of the other direction is not given out if it was loaded before that key was stamped.
    Stamp,
    /// Nobody joins a flight that began before a barrier which may count for it.
    JoinFloor,
    /// Nobody joins a load that has taken longer than it may.
    JoinedWhileYoung,
    /// A write forgets what it touches before it begins.
    ForgetBeforeWrite,
    /// A write forgets what it touches once more when it is over.
    ForgetAfterWrite,
    /// Whatever forgets a key forgets its flights, too.
    FlightsAreForgotten,
    /// Nothing is fresh while the feed is not live.
    FeedIsLive,
    /// Nothing is fresh if nobody has listened to the feed for a while.
    FeedIsHeard,
    /// Whether the feed is heard is looked at before whether an answer is of its epoch.
    HeardBeforeEpoch,
    /// Who follows the feed after another one begins an epoch.
    FollowerBeginsAnew,
    /// Nobody but who follows the feed says that it is live.
    LiveByWhoFollows,
    /// Nobody but who follows the feed says that it is heard.
    HeardByWhoFollows,
    /// A feed that has ended is not live.
    EndIsALoss,
    /// Who has not listened for a while ends the epoch.
    HeardTillNow,
    /// Who listens says so as of the moment at which it made sure of that.
    HeardAtTheLook,
    /// What the backend has thrown away is not given out as stale either.
    FlushIsForgotten,
    /// An answer is not given out after its lifetime.
    Lifetime,
    /// A lifetime is counted from the start of the load.
    LifetimeFromStart,
    /// A lifetime ends with that of the mapping.
    LastsAsItsMapping,
    /// An answer that may have expired since its load began is not given to who joined the load later.
    JoinedInTime,
    /// What is known to have changed is not given out as stale either.
    StaleIsUnchanged,
    /// What has been over for too long is not given out as stale either.
    StaleForAWhile,
    /// What has expired is not given out as stale either.
    StaleWhileItLasts,
}

#[cfg(not(acs_identity_model))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard};

    use std::cell::Cell;
    use std::future::Future;
    use std::panic::catch_unwind;
    use std::time::Duration;

    use tokio::runtime;

    use super::Guard;

    /// Starts a task that nobody waits for by its handle. Without a runtime, as while one shuts down, it is dropped.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = runtime::Handle::try_current() {
            runtime.spawn(task);
        }
    }

    /// Whether tasks and timers can be started here.
    pub(crate) fn has_runtime() -> bool {
        thread_local! {
            /// The runtime that was last asked about on this thread, and whether it has a timer.
            static LAST: Cell<Option<(runtime::Id, bool)>> = const { Cell::new(None) };
        }
        let Ok(id) = runtime::Handle::try_current().map(|runtime| runtime.id()) else { return false };
        if let Some((last, has_timer)) = LAST.get()
            && last == id
        {
            return has_timer;
        }
        // There is no other way to ask than to try, once, and to have the panic hook tell what is missing.
        let has_timer = catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok();
        LAST.set(Some((id, has_timer)));
        has_timer
    }

    /// The future's output, or `None` if the time has passed before.
    pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(limit, future).await.ok()
    }

    /// Lets those run first who can.
    pub(crate) async fn pause() {
        tokio::task::yield_now().await;
    }

    /// A time by the runtime's clock.
    pub(crate) type Moment = tokio::time::Instant;

    /// The moment so far ahead, or one that is as good as never.
    pub(crate) fn moment(ahead: Duration) -> Moment {
        const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        Moment::now() + ahead.min(NEVER)
    }

    /// The future's output, or `None` if the moment has come before.
    pub(crate) async fn timeout_at<F: Future>(moment: Moment, future: F) -> Option<F::Output> {
        tokio::time::timeout_at(moment, future).await.ok()
    }

    /// Whether a guard is there.
    pub(crate) const fn is_on(_: Guard) -> bool {
        true
    }
}

/// Locks. Nothing that can panic runs while a lock is held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
