//! The threads, locks and timers of the model: those of shuttle, whose scheduler decides at each of them who goes on.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::Waker;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use shuttle::future::yield_now;
use shuttle::rand::{Rng, thread_rng};

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

use crate::sync::Guard;

/// The longest time, in turns that it gives to others, for which a timer may wait.
const LONGEST: usize = 40;

/// Who is told which task of the cache is over.
type Listener = Box<dyn Fn(usize)>;

// All tasks of an execution run on one thread, that of the test.
thread_local! {
    static OFF: Cell<Option<Guard>> = const { Cell::new(None) };
    static TIMERS: Cell<bool> = const { Cell::new(false) };
    /// Tasks that are not over, and who waits for that.
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static WAITS: Cell<Option<Waker>> = const { Cell::new(None) };
    static WHEN_ENDED: RefCell<Option<Listener>> = RefCell::default();
}

/// Begins an execution: with a guard switched off, or none, with timers or without, and with somebody who is told which task of the cache is over.
#[cfg(test)]
pub(crate) fn begin(off: Option<Guard>, timers: bool, when_ended: impl Fn(usize) + 'static) {
    OFF.set(off);
    TIMERS.set(timers);
    LIVE.set(0);
    WHEN_ENDED.set(Some(Box::new(when_ended)));
}

pub(crate) fn is_on(guard: Guard) -> bool {
    OFF.get() != Some(guard)
}

pub(crate) fn has_runtime() -> bool {
    true
}

/// The task that runs.
pub(crate) fn me() -> usize {
    usize::from(shuttle::current::me())
}

struct Live;

impl Live {
    fn begin() -> Self {
        LIVE.set(LIVE.get() + 1);
        Self
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
        WHEN_ENDED.with_borrow(|told| told.iter().for_each(|tell| tell(me())));
        if LIVE.get() == 0
            && let Some(waiting) = WAITS.take()
        {
            waiting.wake();
        }
    }
}

/// Waits until all tasks are over that were spawned.
#[cfg(test)]
pub(crate) async fn all_over() {
    std::future::poll_fn(|context| {
        if LIVE.get() == 0 {
            return std::task::Poll::Ready(());
        }
        WAITS.set(Some(context.waker().clone()));
        std::task::Poll::Pending
    })
    .await;
}

pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let live = Live::begin();
    drop(shuttle::future::spawn(async move {
        task.await;
        drop(live);
    }));
}

pub(crate) async fn timeout<F: Future>(_: Duration, future: F) -> Option<F::Output> {
    if !TIMERS.get() {
        return Some(future.await);
    }
    // It fires at any point, but at some.
    let (fire, fired) = oneshot::channel();
    spawn(async {
        for _ in 0..thread_rng().gen_range(0..LONGEST) {
            yield_now().await;
        }
        let _ = fire.send(());
    });
    match select(pin!(future), fired).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

pub(crate) async fn pause() {
    yield_now().await;
}

/// A moment is as good as how far ahead it is: there is no time but the order of the tasks.
pub(crate) type Moment = Duration;

pub(crate) fn moment(ahead: Duration) -> Moment {
    ahead
}

pub(crate) async fn timeout_at<F: Future>(moment: Moment, future: F) -> Option<F::Output> {
    timeout(moment, future).await
}
