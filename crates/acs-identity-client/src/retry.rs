//! Which tries are repeated, and when.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error as TransportError, ErrorKind as TransportKind};
use azure_core::http::policies::{Policy, PolicyResult, RetryHeaders};
use azure_core::http::{AsyncRawResponse, Context, PipelineOptions, RawResponse, Request, StatusCode};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::call::{Call, Stage};
use crate::error::{Cause, Effect, Failure};

/// What `azure_core`'s retry policies repeat. How long the service asks to wait is not left to them, which look for it in 429
/// and 503 alone, and let all those come back together that were sent away together.
pub(crate) fn pipeline_options() -> PipelineOptions {
    let repeated = [408, 429].into_iter().chain(500..=599);
    PipelineOptions {
        retry_headers: RetryHeaders::default(),
        retry_status_codes: repeated.map(StatusCode::from).collect(),
    }
}

/// Notes how each try ends, puts off the next one for as long as need be, and ends the retries where another one is not allowed
/// or of no use.
#[derive(Debug)]
pub(crate) struct RetryGuard {
    /// The longest that one try may take.
    pub(crate) try_timeout: Duration,
}

#[async_trait]
impl Policy for RetryGuard {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let Some(call) = context.value::<Arc<Call>>() else {
            return Err(TransportError::with_message(TransportKind::Other, "a policy has replaced the context"));
        };
        if let Some(instant) = call.not_before() {
            sleep_until(instant).await;
        }
        let end = call.deadline.min(Instant::now() + self.try_timeout);
        if !call.begin(end) {
            return Err(TransportError::with_message(TransportKind::Other, "out of time"));
        }
        let result = timeout_at(end, next[0].send(context, request, &next[1..])).await;
        let (stop, result) = match result {
            Ok(Ok(response)) if response.status().is_success() => {
                call.succeeded();
                return Ok(response);
            }
            Ok(Ok(response)) => match response.try_into_raw_response().await {
                Ok(response) => {
                    let stop = self.refused(call, request, &response);
                    let (status, headers, body) = response.deconstruct();
                    (stop, Ok(AsyncRawResponse::from_bytes(status, headers, body)))
                }
                Err(error) => (self.broken(call, &error), Err(error)),
            },
            Ok(Err(error)) => (self.broken(call, &error), Err(error)),
            Err(_) => {
                let stage = call.stage();
                let sent = stage == Stage::Sent;
                let wait = sent.then(|| self.settling(call)).flatten();
                let error = TransportError::with_message(TransportKind::Io, "out of time");
                (call.failed(Failure::OutOfTime(stage), sent, wait), Err(error))
            }
        };
        // The retry policy leaves other errors than those of connections alone.
        if stop { Err(TransportError::with_message(TransportKind::Other, "not to be repeated")) } else { result }
    }
}

impl RetryGuard {
    /// How long a try that got no answer may still be at work at the service, where a second one must not meet it.
    fn settling(&self, call: &Call) -> Option<Duration> {
        (call.info.effect == Effect::Serial).then_some(self.try_timeout)
    }

    /// Notes an answer that is no success; whether another try makes no sense.
    fn refused(&self, call: &Call, request: &Request, response: &RawResponse) -> bool {
        let service = call.told(request, response);
        let status = response.status();
        // Anything may have happened before the service, or what is in front of it, gave up.
        let uncertain = status == StatusCode::RequestTimeout || status.is_server_error();
        let wait = match status {
            // What is in front of the service gave up, and not the service.
            StatusCode::RequestTimeout | StatusCode::BadGateway | StatusCode::GatewayTimeout => {
                service.retry_after().max(self.settling(call))
            }
            _ => service.retry_after(),
        };
        call.failed(Failure::Service { info: call.info, service: Box::new(service) }, uncertain, wait)
    }

    /// Notes a try without an answer; whether another one makes no sense.
    fn broken(&self, call: &Call, error: &TransportError) -> bool {
        let source = Cause::of(error, &call.scrubber);
        match (error.kind(), call.stage()) {
            (TransportKind::Connection, Stage::Connecting | Stage::Sent) | (_, Stage::Connecting) => {
                call.failed(Failure::NoConnection { source }, false, None)
            }
            // Another one would be as long.
            (TransportKind::DataConversion, Stage::Sent) => {
                call.failed(Failure::Unread { source }, true, None);
                true
            }
            (_, Stage::Sent) => call.failed(Failure::Cut { source }, true, self.settling(call)),
            (TransportKind::Credential, Stage::Preparing) => call.failed(Failure::Credential { source }, false, None),
            (kind, Stage::Preparing) => {
                let transient = matches!(kind, TransportKind::Connection | TransportKind::Io);
                call.failed(Failure::NotSent { transient, source }, false, None)
            }
        }
    }
}
