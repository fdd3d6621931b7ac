//! [`ManualFeed`]: a change feed that says what it is told to.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use acs_identity_core::{Change, ChangeFeed};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::Notify;

/// A change feed that says what it is told to, and nothing by itself, not even `Live`. Clones are the same feed.
///
/// ```
/// use acs_identity_core::{Change, ChangeFeed};
/// use acs_identity_testkit::ManualFeed;
/// use futures::StreamExt;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let feed = ManualFeed::new();
/// let mut changes = feed.changes();
/// let hear = tokio::spawn(async move { (changes.next().await, changes.next().await) });
/// feed.subscribed(1).await;
/// feed.tell(Change::Live).await;
/// feed.end();
/// assert_eq!(hear.await.unwrap(), (Some(Change::Live), None));
/// # });
/// ```
#[derive(Clone, Default)]
pub struct ManualFeed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Woken whenever a subscriber comes, goes, or asks for more.
    moved: Notify,
}

#[derive(Default)]
struct State {
    subscribers: Vec<Subscriber>,
    /// How many there have been; the last one's number.
    begun: u64,
}

struct Subscriber {
    number: u64,
    /// `None` is the end.
    untold: VecDeque<Option<Change>>,
    /// Of one that has asked for more than there is.
    waiting: Option<Waker>,
}

impl ManualFeed {
    /// A feed without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells each subscriber a change, and waits until it has asked for the next one, or has gone. Whoever subscribes later
    /// does not hear it.
    pub async fn tell(&self, change: Change) {
        self.0.send(Some(change));
        self.0.until(|state| state.subscribers.iter().all(|one| one.waiting.is_some())).await;
    }

    /// Ends the present subscriptions.
    pub fn end(&self) {
        self.0.send(None);
    }

    /// How many subscriptions there are.
    pub fn subscribers(&self) -> usize {
        self.0.state().subscribers.len()
    }

    /// Waits until so many subscriptions have begun since the feed was made, those that have ended included.
    pub async fn subscribed(&self, times: u64) {
        self.0.until(|state| state.begun >= times).await;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, change: Option<Change>) {
        for subscriber in &mut self.state().subscribers {
            subscriber.untold.push_back(change.clone());
            if let Some(waiting) = subscriber.waiting.take() {
                waiting.wake();
            }
        }
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let moved = self.moved.notified();
            if is_so(&self.state()) {
                return;
            }
            moved.await;
        }
    }

    fn begin(&self) -> u64 {
        let number = {
            let mut state = self.state();
            state.begun += 1;
            let number = state.begun;
            state.subscribers.push(Subscriber { number, untold: VecDeque::new(), waiting: None });
            number
        };
        self.moved.notify_waiters();
        number
    }
}

/// Ends a subscription when it is dropped.
struct Subscription(Arc<Inner>, u64);

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.state().subscribers.retain(|one| one.number != self.1);
        self.0.moved.notify_waiters();
    }
}

impl ChangeFeed for ManualFeed {
    fn changes(&self) -> BoxStream<'static, Change> {
        let inner = self.0.clone();
        let mut subscription = None;
        let changes = stream::poll_fn(move |context| {
            let Subscription(inner, number) =
                subscription.get_or_insert_with(|| Subscription(inner.clone(), inner.begin()));
            let mut state = inner.state();
            let Some(own) = state.subscribers.iter_mut().find(|one| one.number == *number) else {
                return Poll::Ready(None);
            };
            if let Some(change) = own.untold.pop_front() {
                return Poll::Ready(change);
            }
            own.waiting = Some(context.waker().clone());
            drop(state);
            inner.moved.notify_waiters();
            Poll::Pending
        });
        changes.fuse().boxed()
    }
}

impl fmt::Debug for ManualFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualFeed").field("subscribers", &self.subscribers()).finish()
    }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::LostReason;

    use super::*;

    #[tokio::test]
    async fn each_subscriber_hears_what_is_told_while_it_is_there() {
        let feed = ManualFeed::new();
        feed.tell(Change::All).await;
        let changes = [feed.changes(), feed.changes()];
        assert_eq!(feed.subscribers(), 0, "a subscription begins when it is first polled");
        let hear = changes.map(|changes| tokio::spawn(changes.collect::<Vec<_>>()));
        feed.subscribed(2).await;
        feed.tell(Change::Live).await;
        feed.tell(Change::Lost(LostReason::Lagged)).await;
        feed.end();
        for heard in hear {
            assert_eq!(heard.await.unwrap(), [Change::Live, Change::Lost(LostReason::Lagged)]);
        }
        assert_eq!(feed.subscribers(), 0);
    }

    #[tokio::test]
    async fn telling_waits_for_nobody_who_has_gone() {
        let feed = ManualFeed::new();
        let mut changes = feed.changes();
        assert!(futures::poll!(changes.next()).is_pending());
        drop(changes);
        feed.tell(Change::Live).await;
        feed.subscribed(1).await;
    }
}
