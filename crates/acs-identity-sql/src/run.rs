//! How a call runs: in a task of its own, with a deadline, and so that a caller who leaves breaks nothing.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use acs_identity_core::is_in_own_task;
use futures::FutureExt;
use tokio::runtime::Handle;

use crate::error::Failure;

const OPEN: u8 = 0;
const COMMITTING: u8 = 1;
const ABANDONED: u8 = 2;

/// Settles between a caller who leaves and the task of the call which of them was first: the one before the commit or
/// the commit itself.
#[derive(Clone, Default)]
pub(crate) struct CallState(Arc<Inner>);

#[derive(Default)]
struct Inner {
    phase: AtomicU8,
    /// Why the work was begun again.
    in_the_way: Mutex<Option<Box<Failure>>>,
}

impl CallState {
    /// Whether the caller has left, so that there is no use in going on.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.0.phase.load(Ordering::Acquire) == ABANDONED { Err(Failure::Abandoned) } else { Ok(()) }
    }

    /// Whether the caller still waits, and the commit has not begun.
    fn is_open(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == OPEN
    }

    /// Has to succeed before a commit.
    pub(crate) fn begin_commit(&self) -> Result<(), Failure> {
        match self.0.phase.compare_exchange(OPEN, COMMITTING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Abandoned),
        }
    }

    fn in_the_way(&self) -> MutexGuard<'_, Option<Box<Failure>>> {
        self.0.in_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller left before the commit began, so that nothing is or will be changed.
    fn abandon(&self) -> bool {
        self.0.phase.compare_exchange(OPEN, ABANDONED, Ordering::AcqRel, Ordering::Acquire) != Err(COMMITTING)
    }
}

/// Tells the task when the caller leaves, in whatever way.
struct Caller(CallState);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Runs one piece of work on the database, and begins it again if it was only somebody else or a lost connection that
/// was in its way.
///
/// A driver's future that is dropped half-way can leave its connection in an unknown state. So the work is never
/// dropped with its caller: it has a task of its own, unless its caller says that it is one, and finds out through its [`CallState`] that nobody waits for it. Only
/// a remote database, whose answer may never come, has it dropped at the deadline; its connection is then closed.
pub(crate) async fn run<T, W>(
    deadline: Duration,
    remote: bool,
    work: impl Fn(CallState) -> W + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    W: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let caller = Caller(CallState::default());
    let repeated = repeat(caller.0.clone(), work);
    let answer = match remote {
        true => carried(tokio::time::timeout(deadline, repeated)).await,
        false => tokio::time::timeout(deadline, carried(repeated))
            .await
            .map_or_else(|late| Ok(Err(late)), |answer| answer.map(Ok)),
    };
    let failure = match answer {
        Ok(Ok(answer)) => return answer,
        Ok(Err(_)) => Failure::Deadline { deadline, source: caller.0.in_the_way().take() },
        Err(Lost) => Failure::Task,
    };
    Err(if caller.0.abandon() { failure } else { Failure::OutcomeUnknown })
}

/// The work has panicked, or its runtime has ended.
struct Lost;

/// Carries work to its end, whatever becomes of its caller.
async fn carried<W>(work: W) -> Result<W::Output, Lost>
where
    W: Future<Output: Send> + Send + 'static,
{
    if is_in_own_task() {
        Carried(Some(Box::pin(AssertUnwindSafe(work).catch_unwind()))).await.map_err(|_| Lost)
    } else {
        tokio::spawn(work).await.map_err(|_| Lost)
    }
}

/// Work in the task of its caller, until that drops it.
struct Carried<W: Future<Output: Send> + Send + 'static>(Option<Pin<Box<W>>>);

impl<W: Future<Output: Send> + Send + 'static> Future for Carried<W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        let output = ready!(work.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<W: Future<Output: Send> + Send + 'static> Drop for Carried<W> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

/// The longest pause before work is begun again.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

async fn repeat<T, W>(state: CallState, work: impl Fn(CallState) -> W) -> Result<T, Failure>
where
    W: Future<Output = Result<T, Failure>>,
{
    let mut longest = Duration::from_millis(1);
    loop {
        match work(state.clone()).await {
            Err(failure) if failure.is_repeatable() && state.is_open() => {
                *state.in_the_way() = Some(Box::new(failure));
                // Of a random length, so that those who are in each other's way don't meet again.
                tokio::time::sleep(longest.mul_f64(random_fraction())).await;
                longest = LONGEST_PAUSE.min(2 * longest);
            }
            done => return done,
        }
    }
}

/// From 0 to 1, different each time. The standard library's hashers are seeded at random.
fn random_fraction() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use acs_identity_core::in_own_task;

    use super::*;
    use crate::error::Code;

    // Of the runtime's own time, which goes on by itself when there is nothing else to do.
    const SOON: Duration = Duration::from_secs(1);
    const LATER: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_leaves_before_the_commit_forbids_it() {
        let (told, hear) = std::sync::mpsc::channel();
        let late = run(SOON, false, move |state| {
            let told = told.clone();
            async move {
                tokio::time::sleep(LATER).await;
                let _ = told.send((state.check().is_err(), state.begin_commit().is_err()));
                Ok(())
            }
        });
        assert!(matches!(late.await, Err(Failure::Deadline { .. })));
        tokio::time::sleep(2 * LATER).await;
        assert_eq!(hear.try_recv(), Ok((true, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whose_deadline_passes_in_the_commit_knows_nothing() {
        let late = run(SOON, false, move |state| async move {
            state.begin_commit()?;
            tokio::time::sleep(LATER).await;
            Ok(())
        });
        assert!(matches!(late.await, Err(Failure::OutcomeUnknown)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_call_runs_on_and_knows_it() {
        let (told, hear) = std::sync::mpsc::channel();
        let call = run(LATER, false, move |state| {
            let told = told.clone();
            async move {
                tokio::time::sleep(SOON).await;
                let _ = told.send(state.check().is_err());
                Ok(())
            }
        });
        let _ = tokio::time::timeout(SOON / 2, call).await;
        tokio::time::sleep(LATER).await;
        assert_eq!(hear.try_recv(), Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_the_task_of_somebody_else_goes_on_there_and_in_one_of_its_own_when_it_is_dropped() {
        let (told, hear) = std::sync::mpsc::channel();
        let call = |remote, told: std::sync::mpsc::Sender<_>| {
            run(LATER, remote, move |state| {
                let told = told.clone();
                async move {
                    let task = tokio::task::id();
                    tokio::time::sleep(SOON).await;
                    let _ = told.send((tokio::task::id() == task, state.check().is_err()));
                    Ok(task)
                }
            })
        };
        for remote in [false, true] {
            let calls = in_own_task(call(remote, told.clone()));
            let whole = tokio::spawn(async { calls.await.unwrap() == tokio::task::id() });
            assert!(whole.await.unwrap());
            assert_eq!(hear.try_recv(), Ok((true, false)));
            let left = in_own_task(call(remote, told.clone()));
            let left = tokio::spawn(async { tokio::time::timeout(SOON / 2, left).await.is_err() });
            assert!(left.await.unwrap() && hear.try_recv().is_err());
            tokio::time::sleep(LATER).await;
            assert_eq!(hear.try_recv(), Ok((false, true)));
            let late = in_own_task(run::<(), _>(SOON, remote, |_| std::future::pending()));
            assert!(matches!(late.await, Err(Failure::Deadline { .. })));
            let broken = in_own_task(run::<(), _>(SOON, remote, |_| async { panic!("driver") }));
            assert!(matches!(broken.await, Err(Failure::Task)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error() {
        let broken = run::<(), _>(LATER, false, |_| async { panic!("clock") }).await;
        assert!(matches!(broken, Err(Failure::Task)));
        let broken = run::<(), _>(LATER, false, |state| async move {
            state.begin_commit()?;
            panic!("driver")
        });
        assert!(matches!(broken.await, Err(Failure::OutcomeUnknown)));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_begun_again_until_it_is_done_or_its_time_is_over() {
        let failure = || Failure::Contended { source: Code::Sqlite(0) };
        let times = Arc::new(AtomicU8::new(0));
        let twice = {
            let times = times.clone();
            move |_: CallState| {
                let time = times.fetch_add(1, Ordering::Relaxed);
                async move { if time < 2 { Err(failure()) } else { Ok(time) } }
            }
        };
        assert_eq!(run(SOON, true, twice).await.unwrap(), 2);
        // Whoever waited in vain is told what for.
        let never = run::<(), _>(SOON, true, move |_| async move { Err(failure()) }).await.unwrap_err();
        let Failure::Deadline { source: Some(source), .. } = never else { panic!("{never:?}") };
        assert!(matches!(*source, Failure::Contended { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_never_begun_again() {
        let once = run::<(), _>(SOON, true, |state| async move {
            state.begin_commit()?;
            Err(Failure::Cut { source: None })
        });
        assert!(matches!(once.await, Err(Failure::Cut { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn remote_work_is_dropped_at_the_deadline_also_if_nobody_waits_for_it() {
        let held = Arc::new(());
        let work = |held: &Arc<()>| {
            let held = held.clone();
            move |_: CallState| {
                let held = held.clone();
                async move {
                    std::future::pending::<()>().await;
                    drop(held);
                    Ok(())
                }
            }
        };
        assert!(matches!(run(SOON, true, work(&held)).await, Err(Failure::Deadline { .. })));
        let _ = tokio::time::timeout(SOON / 2, run(SOON, true, work(&held))).await;
        tokio::time::sleep(LATER).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
