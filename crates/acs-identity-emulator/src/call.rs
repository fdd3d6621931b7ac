//! The calls that the emulator got, for tests to look at.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use acs_identity_core::Redacted;
use hyper::StatusCode;

use crate::Operation;
use crate::request::Request;

/// How many calls are kept, and how many bytes of them; the oldest ones go first.
const MAX_CALLS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// A call that the emulator got, whatever its answer. Cheap to clone.
#[derive(Clone)]
pub struct Call(Arc<Inner>);

struct Inner {
    request: Request,
    operation: Option<Operation>,
    /// None if the connection was cut.
    status: Option<StatusCode>,
    request_id: String,
    reason: Option<&'static str>,
}

impl Call {
    pub(crate) fn new(
        request: Request,
        operation: Option<Operation>,
        request_id: String,
        status: Option<StatusCode>,
        reason: Option<&'static str>,
    ) -> Self {
        Self(Arc::new(Inner { request, operation, status, request_id, reason }))
    }

    /// The method, such as `POST`.
    pub fn method(&self) -> &str {
        self.0.request.method.as_str()
    }

    /// The path as it was sent, percent encoding included.
    pub fn path(&self) -> &str {
        self.0.request.uri.path()
    }

    /// The query as it was sent, without `?`; empty if there was none.
    pub fn query(&self) -> &str {
        self.0.request.uri.query().unwrap_or_default()
    }

    /// The operation; `None` if path and method lead to none.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The first header of a name, whose case does not matter; `None` if there was none, or it was no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.request.headers.get(name)?.to_str().ok()
    }

    /// The names and values of all headers. Among them is the secret of a bearer token or a signature.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    /// The body as it was sent.
    pub fn body(&self) -> &[u8] {
        &self.0.request.body
    }

    /// The status of the answer; `None` if there was none, by a [fault](crate::Fault).
    pub fn status(&self) -> Option<u16> {
        self.0.status.map(|status| status.as_u16())
    }

    /// The `x-ms-request-id` of the answer.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// What was wrong with it, where the service says less: such as which check a bare 401 is about.
    pub fn reason(&self) -> Option<&'static str> {
        self.0.reason
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let headers = self.headers().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        512 + headers + self.path().len() + self.query().len() + self.body().len()
    }
}

/// Without paths, queries, headers and bodies, in which there are IDs and secrets.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method())
            .field("path", &Redacted(self.path()))
            .field("operation", &self.operation())
            .field("status", &self.status())
            .field("request_id", &self.request_id())
            .field("reason", &self.reason())
            .finish()
    }
}

/// The latest calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    calls: VecDeque<Call>,
    bytes: usize,
}

impl Calls {
    pub(crate) fn push(&self, call: Call) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += call.bytes();
        kept.calls.push_back(call);
        while kept.calls.len() > MAX_CALLS || kept.bytes > MAX_BYTES {
            let gone = kept.calls.pop_front().map_or(0, |call| call.bytes());
            kept.bytes -= gone;
        }
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;

    use super::*;

    fn call(body: usize) -> Call {
        let request = Request {
            method: hyper::Method::POST,
            uri: "/identities/8:acs:a_b?api-version=1".parse().unwrap(),
            headers: [(hyper::header::AUTHORIZATION, "Bearer secret".parse().unwrap())].into_iter().collect(),
            body: Bytes::from(vec![b'x'; body]),
        };
        Call::new(request, None, "id".into(), None, None)
    }

    #[test]
    fn the_latest_calls_are_kept_within_both_limits() {
        let calls = Calls::default();
        for _ in 0..=MAX_CALLS {
            calls.push(call(0));
        }
        assert_eq!(calls.all().len(), MAX_CALLS);
        for _ in 0..100 {
            calls.push(call(1 << 20));
        }
        assert_eq!(calls.all().len(), 15);
        calls.clear();
        assert!(calls.all().is_empty());
    }

    #[test]
    fn debug_shows_neither_id_nor_secret() {
        let shown = format!("{:?}", call(4));
        assert!(shown.contains("POST") && !shown.contains("acs:a_b") && !shown.contains("secret"), "{shown}");
    }
}
