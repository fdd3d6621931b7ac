//! One call: how far its tries have come, and what they may have left behind.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure_core::Uuid;
use azure_core::error::Error as TransportError;
use hyper::http::uri::PathAndQuery;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::Instant;

use crate::error::{CallInfo, Cause, Effect, Failure};
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

    /// A try that has to be over by `end`.
    pub(crate) fn begin(&self, end: Instant) {
        let mut state = self.state();
        (state.open, state.progress, state.end) = (true, Progress::Preparing, Some(end));
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

    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        (state.open, state.last) = (false, None);
    }

    /// Why the call failed, once no further try is made.
    pub(crate) fn error(&self, error: Option<&TransportError>) -> acs_identity_core::Error {
        let mut state = self.state();
        let stage = state.stage();
        let failure = match (state.last.take().filter(|_| !state.open), error) {
            (Some(last), _) => last,
            // Outside of all tries: in another policy, or in the body of an answer.
            (None, Some(error)) => {
                state.uncertain |= stage == Stage::Sent;
                let source = Cause::of(error, &self.scrubber);
                match stage {
                    Stage::Sent => Failure::Cut { source },
                    Stage::Preparing | Stage::Connecting => Failure::NotSent { transient: false, source },
                }
            }
            // The deadline came while a try was under way.
            (None, None) => {
                state.uncertain |= stage == Stage::Sent;
                Failure::OutOfTime(stage)
            }
        };
        failure.into_error(&self.info, state.uncertain)
    }

    /// The error of an answer that is a success and can't be read.
    pub(crate) fn unreadable(&self, what: &'static str) -> acs_identity_core::Error {
        Failure::Answer(what).into_error(&self.info, self.info.effect != Effect::None)
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
