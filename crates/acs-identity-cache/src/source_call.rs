//! One call of the source, in either direction.

use std::future::Future;
use std::hash::Hash;
use std::pin::pin;

use acs_identity_core::{Error, ErrorKind, Result, in_own_task};
use tracing::Instrument;

use crate::flight::late;
use crate::guarded::caught;
use crate::read_through::Shared;
use crate::sync::timeout;
use crate::traced::{self, Direction};

impl<R> Shared<R> {
    /// Makes a call that asks for these keys, in the order of its answers, and notes how it ended. It has the load's deadline twice: then its callers have been
    /// told that it is late, and `when_late` is to let others in; but a late answer is still of use.
    ///
    /// # Errors
    /// The call's own, `Internal` if it panicked, and `Timeout`.
    pub(crate) async fn call_source<K: Hash, T>(
        &self,
        direction: Direction,
        asked: impl ExactSizeIterator<Item = K> + Clone,
        call: impl Future<Output = Result<Vec<Result<T>>>>,
        when_late: impl FnOnce(),
    ) -> Result<Vec<Result<T>>> {
        let span = traced::load(direction, asked.len());
        let mut calling = pin!(in_own_task(caught(call)).instrument(span.clone()));
        let mut answered = timeout(self.load_deadline, &mut calling).await;
        let is_late = answered.is_none();
        if is_late {
            self.breaker.note(direction, asked.clone().map(|key| (key, false)), self.time.now());
            when_late();
            answered = timeout(self.load_deadline, &mut calling).await;
        }
        let answers = answered.map_or_else(|| Err(late()), Result::flatten);
        traced::ended(&span, worst(&answers));
        // An error of the call itself is a defect, and what was late has been noted.
        if let Ok(all) = &answers
            && (!is_late || !all.iter().all(is_down))
        {
            let works = all.iter().map(|answer| !is_down(answer));
            self.breaker.note(direction, asked.zip(works), self.time.now());
        }
        answers
    }
}

/// How a call ended: its own error, or that of the first answer that is one.
fn worst<T>(answers: &Result<Vec<Result<T>>>) -> Option<ErrorKind> {
    match answers {
        Ok(all) => all.iter().find_map(|answer| answer.as_ref().err()).map(Error::kind),
        Err(error) => Some(error.kind()),
    }
}

/// Whether the source was not there to answer.
fn is_down<T>(answer: &Result<T>) -> bool {
    answer.as_ref().is_err_and(Error::is_transient)
}
