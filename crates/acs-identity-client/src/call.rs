//! One call: how far its tries have come, and what they may have left behind.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure_core::Uuid;
use azure_core::http::headers::CLIENT_REQUEST_ID;
use azure_core::http::{RawResponse, Request};
use azure_core::time::OffsetDateTime;
use hyper::http::uri::PathAndQuery;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::Instant;

use crate::ServiceError;
use crate::error::{CallInfo, Effect, Failure};
use crate::scrubber::Scrubber;

/// What the policies have to know of the call that a request belongs to.
pub(crate) struct Call {
    pub(crate) info: CallInfo,
    /// The true path and query. The request's address has no ID in it, for the sake of logs and traces.
    pub(crate) target: PathAndQuery,
    pub(crate) scrubber: Scrubber,
    pub(crate) deadline: Instant,
    state: Mutex<State>,
}

/// How far a try has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// At the policies.
    Preparing,
    /// Its connection is being made.
    Connecting,
    /// It may be at the service.
    Sent,
}

#[derive(Default)]
enum Progress {
    #[default]
    Preparing,
    /// Handed to this crate's own transport, which sends it as soon as there is a connection, and tells of it here.
    Connecting(CaptureConnection),
    Sent,
}

#[derive(Default)]
struct State {
    /// A try is under way.
    open: bool,
    progress: Progress,
    /// When it has to be over.
    end: Option<Instant>,
    /// Some try may have had its effect, though nobody was told.
    uncertain: bool,
    /// How the last try failed.
    last: Option<Failure>,
    /// When the next try may begin.
    not_before: Option<Instant>,
}

impl State {
    fn stage(&self) -> Stage {
        match &self.progress {
            Progress::Preparing => Stage::Preparing,
            Progress::Connecting(connection) if connection.connection_metadata().is_none() => Stage::Connecting,
            Progress::Connecting(_) | Progress::Sent => Stage::Sent,
        }
    }
}

impl Call {
    pub(crate) fn new(info: CallInfo, target: PathAndQuery, scrubber: Scrubber, deadline: Instant) -> Self {
        Self { info, target, scrubber, deadline, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next try may begin; `None` if at once.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.state().not_before.take()
    }

    /// A try that has to be over by `end`; `false` if there is no time left for one.
    pub(crate) fn begin(&self, end: Instant) -> bool {
        let mut state = self.state();
        if Instant::now() >= self.deadline {
            state.last.get_or_insert(Failure::OutOfTime(Stage::Preparing));
            return false;
        }
        (state.open, state.progress, state.end) = (true, Progress::Preparing, Some(end));
        true
    }

    /// When the try that is under way has to be over.
    pub(crate) fn end(&self) -> Instant {
        self.state().end.unwrap_or(self.deadline)
    }

    /// The try is handed to a transport that sends it once it has this connection.
    pub(crate) fn connecting(&self, connection: CaptureConnection) {
        self.state().progress = Progress::Connecting(connection);
    }

    /// The try is handed to a transport of which no more is known.
    pub(crate) fn sent(&self) {
        self.state().progress = Progress::Sent;
    }

    pub(crate) fn stage(&self) -> Stage {
        self.state().stage()
    }

    /// The end of a try that failed; whether another one makes no sense. No other begins before `wait` is over.
    pub(crate) fn failed(&self, failure: Failure, uncertain: bool, wait: Option<Duration>) -> bool {
        let mut state = self.state();
        state.open = false;
        state.uncertain |= uncertain;
        state.last = Some(failure);
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        let Some(wait) = wait else { return state.uncertain && self.info.effect == Effect::Once };
        if wait < left {
            state.not_before = Some(now + wait + jitter(wait).min((left - wait) / 2));
        }
        wait >= left || (state.uncertain && self.info.effect == Effect::Once)
    }

    /// What an answer to the request says that is no success.
    pub(crate) fn told(&self, request: &Request, response: &RawResponse) -> ServiceError {
        let client_request_id = request.headers().get_optional_str(&CLIENT_REQUEST_ID).map(str::to_owned);
        ServiceError::read(response, client_request_id, &self.scrubber, OffsetDateTime::now_utc())
    }

    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        (state.open, state.last) = (false, None);
    }

    /// Why the call failed, once no further try is made: as the last one did, or for what else there is, outside of all tries or
    /// with one still under way.
    pub(crate) fn error(&self, otherwise: impl FnOnce(Stage) -> Failure) -> acs_identity_core::Error {
        let mut state = self.state();
        let stage = state.stage();
        // One that was not sent yet has no more to tell than the one before.
        let last = state.last.take().filter(|_| !state.open || stage != Stage::Sent);
        let failure = last.unwrap_or_else(|| {
            state.uncertain |= stage == Stage::Sent;
            otherwise(stage)
        });
        failure.into_error(&self.info, state.uncertain)
    }

    /// The error of an answer that is a success and can't be read.
    pub(crate) fn unreadable(&self, what: &'static str) -> acs_identity_core::Error {
        Failure::Answer(what).into_error(&self.info, self.info.effect != Effect::None)
    }

    /// The error of an answer that is a success, can be read, and would be the same the next time.
    pub(crate) fn unacceptable(&self, what: &'static str) -> acs_identity_core::Error {
        Failure::Answer(what).into_error(&self.info, false)
    }
}

/// Up to a quarter more, so that those who are sent away together do not come back together.
fn jitter(wait: Duration) -> Duration {
    let [random, ..] = Uuid::new_v4().into_bytes();
    wait / 4 * u32::from(random) / 255
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("info", &self.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_ends_before_the_deadline_is_not_drawn_out_beyond_it() {
        let info = CallInfo { operation: "issue_token", effect: Effect::None, of_user: true, signed: true };
        for _ in 0..100 {
            let deadline = Instant::now() + Duration::from_secs(100);
            let call = Call::new(info, PathAndQuery::from_static("/"), Scrubber::default(), deadline);
            assert!(!call.failed(Failure::OutOfTime(Stage::Sent), false, Some(Duration::from_secs(99))));
            assert!(call.not_before().is_some_and(|instant| instant < deadline));
        }
    }
}
