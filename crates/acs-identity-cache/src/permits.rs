//! Bounds how many calls of the source are under way at once, where each has a task of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use acs_identity_core::Result;
use futures::channel::oneshot;

use crate::clock::Time;
use crate::flight::late;
use crate::sync::{Mutex, lock, timeout};
use crate::values::micros;

/// Permits for so many calls. Who finds none left waits in line.
pub(crate) struct Permits {
    state: Mutex<State>,
    /// How long a permit may be held, and how long one may wait for it.
    deadline: Duration,
    time: Time,
}

struct State {
    free: usize,
    last: u64,
    /// Until when each permit may be held, by its number, in microseconds.
    held: BTreeMap<u64, u64>,
    line: VecDeque<Waiting>,
}

/// One who waits in line.
struct Waiting {
    number: u64,
    /// In microseconds. Who is still in line after that is on a runtime that stands still, or has gone.
    until: u64,
    tell: oneshot::Sender<()>,
}

/// A permit, held until it is dropped, or overdue; or the wish for one.
pub(crate) struct Permit<'a> {
    of: &'a Permits,
    number: u64,
}

impl Permits {
    pub(crate) fn new(count: usize, deadline: Duration, time: Time) -> Self {
        let state = State { free: count.max(1), last: 0, held: BTreeMap::new(), line: VecDeque::new() };
        Self { state: Mutex::new(state), deadline, time }
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// `Timeout`.
    pub(crate) async fn take(&self) -> Result<Permit<'_>> {
        let given = async {
            loop {
                // None if this runtime stood still for so long that others went first, or that it was taken back.
                if let Some(permit) = self.wait_in_line().await {
                    return permit;
                }
            }
        };
        timeout(self.deadline, given).await.ok_or_else(late)
    }

    async fn wait_in_line(&self) -> Option<Permit<'_>> {
        let (tell, told) = oneshot::channel();
        let number = {
            let mut state = lock(&self.state);
            state.last += 1;
            let number = state.last;
            let now = self.time.now();
            state.take_back(now);
            let until = now.saturating_add(micros(self.deadline));
            state.line.push_back(Waiting { number, until, tell });
            state.give(now, self.deadline);
            number
        };
        let permit = Permit { of: self, number };
        let is_given = told.await.is_ok() && lock(&self.state).held.contains_key(&number);
        is_given.then_some(permit)
    }
}

impl State {
    /// Takes permits back that are held for too long: the runtime of their tasks stands still, and would keep everybody waiting.
    fn take_back(&mut self, now: u64) {
        let before = self.held.len();
        self.held.retain(|_, until| now <= *until);
        self.free += before - self.held.len();
    }

    /// Gives those who wait what is free. It is theirs from now on, also if their runtime stands still and they don't know.
    fn give(&mut self, now: u64, deadline: Duration) {
        while self.line.pop_front_if(|first| now > first.until || first.tell.is_canceled()).is_some() {}
        while self.free > 0 {
            let Some(first) = self.line.pop_front() else { return };
            if first.tell.send(()).is_ok() {
                self.free -= 1;
                self.held.insert(first.number, now.saturating_add(micros(deadline)));
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.of.state);
        // Unless it was taken back, or never given.
        if state.held.remove(&self.number).is_some() {
            state.free += 1;
            state.give(self.of.time.now(), self.of.deadline);
        }
    }
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use std::sync::Arc;

    use acs_identity_testkit::ManualClock;
    use futures::FutureExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn permits(count: usize) -> (Permits, ManualClock) {
        let clock = ManualClock::new();
        (Permits::new(count, SECOND, Time::Of(Arc::new(clock.clone()))), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_given_the_next_permit_that_is_free_in_turn() {
        let (permits, _) = permits(2);
        let (one, other) = (permits.take().await.ok().unwrap(), permits.take().await.ok().unwrap());
        let [mut first, mut gone, mut second] = std::array::from_fn(|_| Box::pin(permits.take()));
        assert!([&mut first, &mut gone, &mut second].into_iter().all(|one| one.as_mut().now_or_never().is_none()));
        drop(gone);
        drop(one);
        assert!(second.as_mut().now_or_never().is_none());
        let first = first.as_mut().now_or_never().unwrap().ok().unwrap();
        drop((other, first));
        assert!(second.as_mut().now_or_never().unwrap().is_ok());
        assert_eq!(lock(&permits.state).free, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_line_whose_runtime_stands_still_keeps_no_permit() {
        let (permits, clock) = permits(1);
        let held = permits.take().await.ok().unwrap();
        let mut frozen = Box::pin(permits.take());
        assert!(frozen.as_mut().now_or_never().is_none());
        // It is given to the one who is never polled again.
        drop(held);
        assert!(permits.take().now_or_never().is_none());
        clock.advance(SECOND + Duration::from_micros(1));
        let next = permits.take().now_or_never().unwrap().ok().unwrap();
        assert!(frozen.as_mut().now_or_never().is_none(), "it was taken back");
        drop(frozen);
        assert!(permits.take().now_or_never().is_none(), "there is one only");
        drop(next);
        assert!(permits.take().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_stands_still_is_not_waited_for_in_turn() {
        let (permits, clock) = permits(1);
        let held = permits.take().await.ok().unwrap();
        let mut line: Vec<_> = (0..10).map(|_| Box::pin(permits.take())).collect();
        assert!(line.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        clock.advance(SECOND + Duration::from_micros(1));
        assert!(permits.take().now_or_never().is_some());
        drop(held);
        assert!(permits.take().now_or_never().is_some());
        drop(line);
        assert_eq!(lock(&permits.state).free, 1);
    }
}
