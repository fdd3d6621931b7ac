//! One call: its tries, what they may have left behind, and the two policies that note it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error as TransportError, ErrorKind as TransportKind};
use azure_core::http::headers::CLIENT_REQUEST_ID;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, RawResponse, Request, StatusCode, Transport, Url};
use azure_core::time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use crate::ServiceError;
use crate::error::{About, Cause, Effect, Failure};
use crate::private::Private;
use crate::signing::AccessKey;

/// What the policies have to know of the call that a request belongs to.
pub(crate) struct Call {
    pub(crate) about: About,
    /// The true address. That of the request has no ID in it, for the sake of logs and traces.
    url: Url,
    pub(crate) private: Private,
    deadline: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A try is under way.
    open: bool,
    /// It has been handed to the transport.
    sent: bool,
    /// Some try may have had its effect, though nobody was told.
    uncertain: bool,
    /// How the last try failed.
    last: Option<Failure>,
}

impl Call {
    pub(crate) fn new(about: About, url: Url, private: Private, deadline: Instant) -> Self {
        Self { about, url, private, deadline, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let mut state = self.state();
        (state.open, state.sent) = (true, false);
    }

    /// The end of a try that failed; whether another one makes no sense.
    fn failed(&self, failure: Failure, uncertain: bool, wait: Option<Duration>) -> bool {
        let mut state = self.state();
        state.open = false;
        state.uncertain |= uncertain;
        state.last = Some(failure);
        let too_late = wait.is_some_and(|wait| wait >= self.deadline.saturating_duration_since(Instant::now()));
        too_late || (state.uncertain && self.about.effect == Effect::Once)
    }

    fn succeeded(&self) {
        let mut state = self.state();
        (state.open, state.last) = (false, None);
    }

    /// Why the call failed, once no further try is made.
    pub(crate) fn error(&self, error: Option<&TransportError>) -> acs_identity_core::Error {
        let mut state = self.state();
        let failure = match (state.last.take().filter(|_| !state.open), error) {
            (Some(last), _) => last,
            // Outside of all tries: in another policy, or in the body of an answer.
            (None, Some(error)) => {
                state.uncertain |= state.sent;
                let source = Cause::of(error, &self.private);
                if state.sent { Failure::Cut { source } } else { Failure::NotSent { transient: false, source } }
            }
            // The deadline came while a try was under way.
            (None, None) => {
                state.uncertain |= state.sent;
                Failure::NoAnswer
            }
        };
        failure.into_error(&self.about, state.uncertain)
    }

    /// The error of an answer that is a success and can't be read.
    pub(crate) fn unreadable(&self, what: &'static str) -> acs_identity_core::Error {
        Failure::Answer(what).into_error(&self.about, self.about.effect != Effect::None)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("about", &self.about).finish_non_exhaustive()
    }
}

/// Notes how each try ends, and ends the retries where another one is not allowed or of no use.
#[derive(Debug)]
pub(crate) struct Tries {
    /// The longest that one try may take.
    pub(crate) timeout: Duration,
}

#[async_trait]
impl Policy for Tries {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let Some(call) = context.value::<Arc<Call>>() else {
            return next[0].send(context, request, &next[1..]).await;
        };
        call.begin();
        let end = call.deadline.min(Instant::now() + self.timeout);
        let result = timeout_at(end, next[0].send(context, request, &next[1..])).await;
        let sent = call.state().sent;
        let (stop, result) = match result {
            Ok(Ok(response)) if response.status().is_success() => {
                call.succeeded();
                return Ok(response);
            }
            Ok(Ok(response)) => match response.try_into_raw_response().await {
                Ok(response) => {
                    let stop = refused(call, request, &response);
                    let (status, headers, body) = response.deconstruct();
                    (stop, Ok(AsyncRawResponse::from_bytes(status, headers, body)))
                }
                Err(error) => (cut(call, &error, sent), Err(error)),
            },
            Ok(Err(error)) => (cut(call, &error, sent), Err(error)),
            Err(_) => {
                let error = TransportError::with_message(TransportKind::Io, "no answer in time");
                (call.failed(Failure::NoAnswer, sent, None), Err(error))
            }
        };
        // The retry policy leaves other errors than those of connections alone.
        if stop { Err(TransportError::with_message(TransportKind::Other, "not to be repeated")) } else { result }
    }
}

/// Notes an answer that is no success; whether another try makes no sense.
fn refused(call: &Call, request: &Request, response: &RawResponse) -> bool {
    let now = OffsetDateTime::now_utc();
    let client_request_id = request.headers().get_optional_str(&CLIENT_REQUEST_ID).map(str::to_owned);
    let service = ServiceError::read(response, client_request_id, &call.private, now);
    let status = response.status();
    // Anything may have happened before the service, or what is in front of it, gave up.
    let uncertain = status == StatusCode::RequestTimeout || status.is_server_error();
    // The retry policy waits only for these two.
    let waits = matches!(status, StatusCode::TooManyRequests | StatusCode::ServiceUnavailable);
    let wait = service.retry_after().filter(|_| waits);
    call.failed(Failure::Service { about: call.about, service: Box::new(service) }, uncertain, wait)
}

/// Notes a try without an answer; whether another one makes no sense.
fn cut(call: &Call, error: &TransportError, sent: bool) -> bool {
    let source = Cause::of(error, &call.private);
    let (failure, uncertain) = match error.kind() {
        TransportKind::Connection if sent => (Failure::NoConnection { source }, false),
        _ if sent => (Failure::Cut { source }, true),
        TransportKind::Credential => (Failure::Credential { source }, false),
        kind => {
            let transient = matches!(kind, TransportKind::Connection | TransportKind::Io);
            (Failure::NotSent { transient, source }, false)
        }
    };
    call.failed(failure, uncertain, None)
}

/// The last policy: puts in the true address, signs what is now final, and sends it.
#[derive(Debug)]
pub(crate) struct Wire {
    /// `None` if the request has a bearer token.
    pub(crate) key: Option<AccessKey>,
    pub(crate) transport: Transport,
}

#[async_trait]
impl Policy for Wire {
    async fn send(&self, context: &Context, request: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
        let Some(call) = context.value::<Arc<Call>>() else {
            return self.transport.send(context, request).await;
        };
        // A copy, so that the other policies never see what is in it, also if this is dropped half-way.
        let mut request = request.clone();
        *request.url_mut() = call.url.clone();
        if let Some(key) = &self.key {
            key.sign(&mut request, OffsetDateTime::now_utc())?;
        }
        call.state().sent = true;
        self.transport.send(context, &mut request).await
    }
}
