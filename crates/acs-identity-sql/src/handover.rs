//! Connections that one reading call hands to the next one, past the pool.
//!
//! The pool asks the server about every connection that comes back, and that costs as much as a lookup. One whose answer has just been
//! read in full needs no such question if another call has it next: one that waits already, or that comes a moment later.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// One in so many connections goes back to the pool though somebody may have it from here, so that whoever else waits at the
/// pool (for a write, or the application where the pool is its own) gets a turn, and none outlives its lifetime for long.
const TO_THE_POOL: u32 = 8;
/// For how long a connection is kept for the next call. It is in nobody's way meanwhile, as it is not the pool's last.
const MOMENT: Duration = Duration::from_millis(5);
/// How old one may be that is given out, where its runtime stood still for a while: then nobody knows whether it is still good.
const OLDEST: Duration = Duration::from_secs(1);

/// Those who wait for a connection, and the connections that wait for somebody.
#[derive(Debug)]
pub(crate) struct Handover<C>(Arc<Inner<C>>);

#[derive(Debug)]
struct Inner<C> {
    state: Mutex<State<C>>,
    handed: AtomicU32,
}

#[derive(Debug)]
struct State<C> {
    next: u64,
    /// Those who wait, by the order in which they came.
    places: BTreeMap<u64, oneshot::Sender<C>>,
    /// The connections that wait; the last came last.
    spare: Vec<Spare<C>>,
    /// The runtimes on which a task gives those back that wait in vain.
    swept: Vec<runtime::Id>,
}

/// A connection that waits for somebody.
#[derive(Debug)]
struct Spare<C> {
    connection: C,
    since: Instant,
    /// The runtime that drives it. Another one may stand still, or end.
    of: runtime::Id,
}

/// A place among those who wait, until it is dropped.
struct Place<'a, C> {
    of: &'a Inner<C>,
    number: u64,
}

impl<C> Default for Handover<C> {
    fn default() -> Self {
        let state = State { next: 0, places: BTreeMap::new(), spare: Vec::new(), swept: Vec::new() };
        Self(Arc::new(Inner { state: Mutex::new(state), handed: AtomicU32::new(0) }))
    }
}

impl<C: Send + 'static> Handover<C> {
    /// A connection that was handed on a moment ago, on this runtime.
    pub(crate) fn take(&self) -> Option<C> {
        let here = Handle::try_current().ok()?.id();
        let spare = {
            let spare = &mut self.0.state().spare;
            let at = spare.iter().rposition(|spare| spare.of == here)?;
            spare.remove(at)
        };
        (spare.since.elapsed() < OLDEST).then_some(spare.connection)
    }

    /// How many connections wait for somebody.
    pub(crate) fn spare(&self) -> u32 {
        u32::try_from(self.0.state().spare.len()).unwrap_or(u32::MAX)
    }

    /// A connection that is handed on, or that of the pool if it comes first.
    pub(crate) async fn or<E>(&self, acquired: impl Future<Output = Result<C, E>>) -> Result<C, E> {
        let (sender, receiver) = oneshot::channel();
        let _place = self.0.wait(sender);
        match select(receiver, pin!(acquired)).await {
            Either::Left((Ok(connection), _)) => Ok(connection),
            // The sender is dropped only together with its place.
            Either::Left((Err(_), acquired)) => acquired.await,
            Either::Right((acquired, _)) => acquired,
        }
    }

    /// Hands a connection, with nothing under way on it, to whoever waits longest. If nobody does, it is kept for a moment, if
    /// that may be, or goes back to the pool by being dropped. Has to be called in a runtime.
    pub(crate) fn hand_on(&self, mut connection: C, may_be_kept: bool) {
        if self.0.handed.fetch_add(1, Ordering::Relaxed) % TO_THE_POOL == TO_THE_POOL - 1 {
            return;
        }
        loop {
            let mut state = self.0.state();
            let Some((_, first)) = state.places.pop_first() else {
                if may_be_kept {
                    let here = Handle::current();
                    let of = here.id();
                    state.spare.push(Spare { connection, since: Instant::now(), of });
                    if !state.swept.contains(&of) {
                        state.swept.push(of);
                        drop(state);
                        here.spawn(Sweep { handover: self.0.clone(), of }.run());
                    }
                }
                return;
            };
            drop(state);
            match first.send(connection) {
                Ok(()) => return,
                Err(refused) => connection = refused,
            }
        }
    }

    /// Gives all back to the pool that wait.
    pub(crate) fn clear(&self) {
        let spare = mem::take(&mut self.0.state().spare);
        drop(spare);
    }
}

impl<C> Inner<C> {
    fn wait(&self, sender: oneshot::Sender<C>) -> Place<'_, C> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.places.insert(number, sender);
        Place { of: self, number }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.of.state().places.remove(&self.number);
    }
}

/// Gives those connections back to the pool that have waited in vain, until none of its runtime waits any more.
struct Sweep<C> {
    handover: Arc<Inner<C>>,
    of: runtime::Id,
}

impl<C> Sweep<C> {
    async fn run(self) {
        loop {
            tokio::time::sleep(MOMENT).await;
            let over = |spare: &mut Spare<C>| spare.of == self.of && spare.since.elapsed() >= MOMENT;
            let over: Vec<_> = {
                let mut state = self.handover.state();
                if !state.spare.iter().any(|spare| spare.of == self.of) {
                    // From here on the next one that is kept has a task of its own.
                    return;
                }
                state.spare.extract_if(.., over).collect()
            };
            drop(over);
        }
    }
}

impl<C> Drop for Sweep<C> {
    /// Also if its runtime ends, with which its connections do.
    fn drop(&mut self) {
        let spare: Vec<_> = {
            let mut state = self.handover.state();
            state.swept.retain(|of| *of != self.of);
            state.spare.extract_if(.., |spare| spare.of == self.of).collect()
        };
        drop(spare);
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

    /// A connection, and how many of it there are.
    fn connection() -> (Arc<()>, impl Fn() -> usize) {
        let connection = Arc::new(());
        let counted = Arc::downgrade(&connection);
        (connection, move || counted.strong_count())
    }

    #[tokio::test]
    async fn a_connection_goes_to_whoever_waits_longest() {
        let handover = Handover::default();
        let (mut first, mut second) = (Box::pin(waits(&handover)), Box::pin(waits(&handover)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        (1..=3).for_each(|n| handover.hand_on(n, true));
        assert_eq!((first.await, second.await, handover.take(), handover.take()), (Ok(1), Ok(2), Some(3), None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_kept_for_a_moment_if_it_may_be() {
        let handover = Handover::default();
        let (one, count) = connection();
        handover.hand_on(one.clone(), false);
        assert_eq!((count(), handover.take()), (1, None));
        for _ in 0..2 {
            handover.hand_on(one.clone(), true);
            tokio::time::sleep(MOMENT / 2).await;
            handover.hand_on(one.clone(), true);
            assert_eq!((count(), handover.spare()), (3, 2));
            drop(handover.take());
            tokio::time::sleep(2 * MOMENT).await;
            assert_eq!((count(), handover.spare()), (1, 0));
        }
    }

    #[tokio::test]
    async fn a_spare_connection_is_not_kept_when_the_store_is_closed() {
        let handover = Handover::default();
        let (one, count) = connection();
        handover.hand_on(one.clone(), true);
        handover.clear();
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_spare_connection_is_its_runtimes_and_no_other_one_that_stands_still_or_ends_is_in_its_way() {
        let runtime = || runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (stands, ends, goes_on) = (runtime(), runtime(), runtime());
        let handover = Handover::default();
        let (one, count) = connection();
        // It keeps one, and is never polled again.
        stands.block_on(async { handover.hand_on(one.clone(), true) });
        ends.block_on(async { handover.hand_on(one.clone(), true) });
        goes_on.block_on(async {
            assert!(handover.take().is_none(), "those are driven elsewhere");
            handover.hand_on(one.clone(), true);
            assert!(handover.take().is_some());
            handover.hand_on(one.clone(), true);
        });
        assert_eq!(count(), 4);
        drop(ends);
        assert_eq!((count(), handover.spare()), (3, 2));
        goes_on.block_on(async {
            let patience = Instant::now() + Duration::from_secs(10);
            while count() > 2 {
                assert!(Instant::now() < patience, "it is kept");
                tokio::time::sleep(MOMENT).await;
            }
        });
        drop(stands);
        assert_eq!(count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_a_standstill_made_old_is_not_given_out() {
        let handover = Handover::default();
        let (one, count) = connection();
        handover.0.state().spare.push(Spare {
            connection: one.clone(),
            since: Instant::now() - OLDEST,
            of: Handle::current().id(),
        });
        assert!(handover.take().is_none());
        handover.clear();
        assert_eq!(count(), 1);
    }

    #[tokio::test]
    async fn nothing_is_kept_for_those_who_left_or_were_served_by_the_pool() {
        let handover = Handover::default();
        let mut left = Box::pin(waits(&handover));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert_eq!(handover.or(ready(Ok::<_, Infallible>(1))).await, Ok(1));
        assert!(handover.0.state().places.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_was_handed_to_somebody_who_leaves_is_dropped_with_him() {
        let handover = Handover::default();
        let (one, count) = connection();
        let mut leaves = Box::pin(handover.or(pending::<Result<_, Infallible>>()));
        assert!(leaves.as_mut().now_or_never().is_none());
        handover.hand_on(one.clone(), true);
        assert_eq!(count(), 2);
        drop(leaves);
        assert_eq!(count(), 1);
    }

    #[tokio::test]
    async fn some_go_back_to_the_pool_whoever_waits() {
        let handover = Handover::default();
        let (one, count) = connection();
        let mut all: Vec<_> =
            (0..2 * TO_THE_POOL).map(|_| Box::pin(handover.or(pending::<Result<_, Infallible>>()))).collect();
        assert!(all.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        (0..2 * TO_THE_POOL).for_each(|_| handover.hand_on(one.clone(), true));
        assert_eq!(count(), 1 + 2 * TO_THE_POOL as usize - 2);
    }
}
