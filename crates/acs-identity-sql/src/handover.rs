//! Connections that one reading call hands to the next one, past the pool.
//!
//! The pool asks the server about every connection that comes back, and that costs as much as a lookup. Where calls wait
//! for a connection, one whose answer has just been read in full needs no such question.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::{Either, select};
use tokio::sync::oneshot;

/// One in so many connections goes back to the pool though somebody waits for it here, so that whoever else waits at the
/// pool (for a write, or the application where the pool is its own) gets a turn, and none outlives its lifetime for long.
const TO_THE_POOL: u32 = 8;

/// Those who wait for a connection, by the order in which they came.
#[derive(Debug)]
pub(crate) struct Handover<C> {
    waiting: Mutex<Waiting<C>>,
    handed: AtomicU32,
}

#[derive(Debug)]
struct Waiting<C> {
    next: u64,
    places: BTreeMap<u64, oneshot::Sender<C>>,
}

/// A place among those who wait, until it is dropped.
struct Place<'a, C> {
    handover: &'a Handover<C>,
    number: u64,
}

impl<C> Default for Handover<C> {
    fn default() -> Self {
        Self { waiting: Mutex::new(Waiting { next: 0, places: BTreeMap::new() }), handed: AtomicU32::new(0) }
    }
}

impl<C> Handover<C> {
    /// A connection that is handed on, or that of the pool if it comes first.
    pub(crate) async fn or<E>(&self, acquired: impl Future<Output = Result<C, E>>) -> Result<C, E> {
        let (sender, receiver) = oneshot::channel();
        let _place = self.wait(sender);
        match select(receiver, pin!(acquired)).await {
            Either::Left((Ok(connection), _)) => Ok(connection),
            // The sender is dropped only together with its place.
            Either::Left((Err(_), acquired)) => acquired.await,
            Either::Right((acquired, _)) => acquired,
        }
    }

    /// Hands a connection, with nothing under way on it, to whoever waits longest; back if nobody does.
    pub(crate) fn hand_on(&self, mut connection: C) -> Option<C> {
        if self.handed.fetch_add(1, Ordering::Relaxed) % TO_THE_POOL == TO_THE_POOL - 1 {
            return Some(connection);
        }
        loop {
            let Some((_, first)) = self.waiting().places.pop_first() else { return Some(connection) };
            match first.send(connection) {
                Ok(()) => return None,
                Err(refused) => connection = refused,
            }
        }
    }

    fn wait(&self, sender: oneshot::Sender<C>) -> Place<'_, C> {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.insert(number, sender);
        Place { handover: self, number }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<C>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.handover.waiting().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    fn waits(handover: &Handover<u32>) -> impl Future<Output = Result<u32, Infallible>> {
        handover.or(pending())
    }

    #[tokio::test]
    async fn a_connection_goes_to_whoever_waits_longest_and_back_if_nobody_does() {
        let handover = Handover::default();
        assert_eq!(handover.hand_on(1), Some(1));
        let (mut first, mut second) = (Box::pin(waits(&handover)), Box::pin(waits(&handover)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!(handover.hand_on(2), None);
        assert_eq!(handover.hand_on(3), None);
        assert_eq!(handover.hand_on(4), Some(4));
        assert_eq!((first.await, second.await), (Ok(2), Ok(3)));
    }

    #[tokio::test]
    async fn nothing_is_kept_for_those_who_left_or_were_served_by_the_pool() {
        let handover = Handover::default();
        let mut left = Box::pin(waits(&handover));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert_eq!(handover.or(ready(Ok::<_, Infallible>(1))).await, Ok(1));
        assert!(handover.waiting().places.is_empty());
        assert_eq!(handover.hand_on(2), Some(2));
    }

    #[tokio::test]
    async fn a_connection_that_was_handed_to_somebody_who_leaves_is_dropped_with_him() {
        let handover = Handover::default();
        let held = std::sync::Arc::new(());
        let mut leaves = Box::pin(handover.or(pending::<Result<_, Infallible>>()));
        assert!(leaves.as_mut().now_or_never().is_none());
        assert!(handover.hand_on(held.clone()).is_none());
        drop(leaves);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn some_go_back_to_the_pool_whoever_waits() {
        let handover = Handover::default();
        let mut all: Vec<_> = (0..2 * TO_THE_POOL).map(|_| Box::pin(waits(&handover))).collect();
        assert!(all.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let back = (0..2 * TO_THE_POOL).filter_map(|n| handover.hand_on(n)).count();
        assert_eq!(back, 2);
    }
}
