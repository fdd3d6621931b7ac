//! One load under way, and those who wait for it.

use std::time::Duration;

use acs_identity_core::{Error, ErrorKind, Result};
use tokio::sync::watch;

use crate::guarded::guarded;

/// A load of one key. Whoever waits may go away at any point; the load goes on in its own task.
#[derive(Debug)]
pub(crate) struct Flight<V> {
    /// The lane's generation when the load began: after a purge nobody joins an older flight.
    pub(crate) generation: u64,
    /// When the load began, on the monotonic clock: lifetimes count from here.
    pub(crate) started: Duration,
    answer: watch::Sender<Option<Result<V>>>,
}

impl<V: Clone> Flight<V> {
    pub(crate) fn new(generation: u64, started: Duration) -> Self {
        Self { generation, started, answer: watch::Sender::new(None) }
    }

    /// Gives everyone who waits, now or later, the answer.
    pub(crate) fn land(&self, answer: Result<V>) {
        self.answer.send_replace(Some(answer));
    }

    /// Waits for the answer, at most so long: the load has a deadline of its own, but also a runtime of its own, which
    /// may stand still.
    pub(crate) async fn wait(&self, deadline: Duration) -> Result<V> {
        let mut receiver = self.answer.subscribe();
        let lost = || Error::new(ErrorKind::Internal, "the load was lost");
        // The sender lives as long as `self`, so the channel cannot close while somebody waits.
        let answer = guarded(deadline, ErrorKind::Timeout, receiver.wait_for(Option::is_some)).await?;
        answer.map_err(|_| lost())?.as_ref().map_or_else(|| Err(lost()), Clone::clone)
    }
}
