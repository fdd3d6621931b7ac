//! How a call runs: in a task of its own, with a deadline, and so that a caller who leaves breaks nothing.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::error::Failure;

const OPEN: u8 = 0;
const COMMITTING: u8 = 1;
const ABANDONED: u8 = 2;

/// Settles between a caller who leaves and the task of the call which of them was first: the one before the commit or
/// the commit itself.
#[derive(Clone, Default)]
pub(crate) struct Fate(Arc<AtomicU8>);

impl Fate {
    /// Whether the caller has left, so that there is no use in going on.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Acquire) == ABANDONED { Err(Failure::Abandoned) } else { Ok(()) }
    }

    /// Has to succeed before a commit.
    pub(crate) fn begin_commit(&self) -> Result<(), Failure> {
        match self.0.compare_exchange(OPEN, COMMITTING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Abandoned),
        }
    }

    /// Whether the caller left before the commit began, so that nothing is or will be changed.
    fn abandon(&self) -> bool {
        self.0.compare_exchange(OPEN, ABANDONED, Ordering::AcqRel, Ordering::Acquire) != Err(COMMITTING)
    }
}

/// Tells the task when the caller leaves, in whatever way.
struct Caller(Fate);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Runs one piece of work on the database.
///
/// A driver's future that is dropped half-way can leave its connection in an unknown state. So the work is never
/// dropped: it has a task of its own, and finds out through its [`Fate`] that nobody waits for it.
pub(crate) async fn run<T, W>(deadline: Duration, work: impl FnOnce(Fate) -> W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let caller = Caller(Fate::default());
    let task = tokio::spawn(work(caller.0.clone()));
    let failure = match tokio::time::timeout(deadline, task).await {
        Ok(Ok(answer)) => return answer,
        Ok(Err(_)) => Failure::Task,
        Err(_) => Failure::Deadline(deadline),
    };
    Err(if caller.0.abandon() { failure } else { Failure::OutcomeUnknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of the runtime's own time, which goes on by itself when there is nothing else to do.
    const SOON: Duration = Duration::from_secs(1);
    const LATER: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_leaves_before_the_commit_forbids_it() {
        let (told, hear) = std::sync::mpsc::channel();
        let late = run(SOON, |fate| async move {
            tokio::time::sleep(LATER).await;
            let _ = told.send((fate.check().is_err(), fate.begin_commit().is_err()));
            Ok(())
        });
        assert!(matches!(late.await, Err(Failure::Deadline(_))));
        tokio::time::sleep(2 * LATER).await;
        assert_eq!(hear.try_recv(), Ok((true, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whose_deadline_passes_in_the_commit_knows_nothing() {
        let late = run(SOON, |fate| async move {
            fate.begin_commit()?;
            tokio::time::sleep(LATER).await;
            Ok(())
        });
        assert!(matches!(late.await, Err(Failure::OutcomeUnknown)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_call_runs_on_and_knows_it() {
        let (told, hear) = std::sync::mpsc::channel();
        let call = run(LATER, |fate| async move {
            tokio::time::sleep(SOON).await;
            let _ = told.send(fate.check().is_err());
            Ok(())
        });
        let _ = tokio::time::timeout(SOON / 2, call).await;
        tokio::time::sleep(LATER).await;
        assert_eq!(hear.try_recv(), Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error() {
        let broken = run::<(), _>(LATER, |_| async { panic!("clock") }).await;
        assert!(matches!(broken, Err(Failure::Task)));
        let broken = run::<(), _>(LATER, |fate| async move {
            fate.begin_commit()?;
            panic!("driver")
        });
        assert!(matches!(broken.await, Err(Failure::OutcomeUnknown)));
    }
}
