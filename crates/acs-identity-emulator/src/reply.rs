//! The answers of the service as HTTP.

use std::time::Duration;

use acs_identity_core::Timestamp;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::{dates, version};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const SUPPORTED_VERSIONS: HeaderName = HeaderName::from_static("api-supported-versions");
const CORRELATION_VECTOR: HeaderName = HeaderName::from_static("ms-cv");
const REASON: HeaderName = HeaderName::from_static("x-emulator-reason");

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) allow: String,
    pub(crate) reason: Option<&'static str>,
    /// Whether the connection ends after it.
    pub(crate) ends: bool,
}

impl Reply {
    /// An answer without a body.
    pub(crate) const fn empty(status: StatusCode) -> Self {
        Self { status, body: Bytes::new(), retry_after: None, allow: String::new(), reason: None, ends: false }
    }

    /// An answer with a body. As the service does, a plus sign is escaped, which only ever stands in a text.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // Texts, lists and objects with text keys are all that is serialised here, which does not fail.
        let text = serde_json::to_string(body).unwrap_or_default();
        Self { body: text.replace('+', "\\u002B").into(), ..Self::empty(status) }
    }

    /// As HTTP. `now` is the time of the emulator's clock, by which clients see how far theirs is from it; `sent` are
    /// the headers of the request.
    pub(crate) fn into_response(self, request_id: &str, now: Timestamp, sent: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let mut insert = |name: HeaderName, value: &str| {
            // All of them are put together of printable ASCII here; what is not would be left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        insert(DATE, &dates::to_http(now));
        insert(REQUEST_ID, request_id);
        insert(CORRELATION_VECTOR, &format!("{request_id}.0"));
        insert(SUPPORTED_VERSIONS, version::supported());
        if let Some(time) = self.retry_after {
            insert(RETRY_AFTER, &seconds_rounded_up(time).to_string());
        }
        if !self.allow.is_empty() {
            insert(ALLOW, &self.allow);
        }
        if let Some(reason) = self.reason {
            insert(REASON, reason);
        }
        if !self.body.is_empty() {
            insert(CONTENT_TYPE, "application/json; charset=utf-8");
        }
        if self.ends {
            insert(CONNECTION, "close");
        }
        if let Some(id) = sent.get(CLIENT_REQUEST_ID) {
            headers.insert(CLIENT_REQUEST_ID, id.clone());
        }
        *response.body_mut() = Full::new(self.body);
        response
    }
}

fn seconds_rounded_up(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_sign_is_escaped_as_the_service_does() {
        let reply =
            Reply::json(StatusCode::OK, &serde_json::json!({ "expiresOn": "2023-06-28T07:30:11.8919724+00:00" }));
        assert_eq!(reply.body, r#"{"expiresOn":"2023-06-28T07:30:11.8919724\u002B00:00"}"#);
    }

    #[test]
    fn a_wait_is_never_told_too_short() {
        assert_eq!(seconds_rounded_up(Duration::from_millis(1)), 1);
        assert_eq!(seconds_rounded_up(Duration::from_secs(30)), 30);
        assert_eq!(seconds_rounded_up(Duration::ZERO), 0);
    }
}
