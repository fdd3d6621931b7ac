//! What the service says when it refuses.

use std::borrow::Cow;
use std::time::Duration;

use acs_identity_core::Excerpt;
use hyper::{Method, StatusCode};
use serde::Serialize;

use crate::reply::Reply;

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    target: Option<&'static str>,
    retry_after: Option<Duration>,
    /// The methods that a path knows.
    allow: &'static [Method],
    /// What the service keeps to itself, for who runs the emulator.
    reason: Option<&'static str>,
    /// The other parts of the body's error.
    more: Option<&'static Inner<'static>>,
}

/// The error body of every Communication Service.
#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [Inner<'a>],
    #[serde(skip_serializing_if = "Option::is_none", rename = "innererror")]
    inner: Option<&'a Inner<'a>>,
}

impl<'a> Inner<'a> {
    const fn new(code: &'a str, message: &'a str) -> Self {
        Self { code, message, target: None, details: &[], inner: None }
    }
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            target: None,
            retry_after: None,
            allow: &[],
            reason: None,
            more: None,
        }
    }

    /// The bare 401, which is the same for a wrong signature and for the ID of another resource.
    pub(crate) fn denied(reason: &'static str) -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "Denied", "Denied by the resource provider.");
        Self { reason: Some(reason), ..refusal }
    }

    pub(crate) fn wrong_content_hash() -> Self {
        let message = "Request 'x-ms-content-sha256' differs from generated content hash.";
        Self {
            reason: Some("the body is not the one that was hashed"),
            ..Self::new(StatusCode::UNAUTHORIZED, "Denied", message)
        }
    }

    pub(crate) fn validation(target: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { target: Some(target), ..Self::new(StatusCode::BAD_REQUEST, "ValidationError", message) }
    }

    pub(crate) fn no_api_version() -> Self {
        let message = "An API version is required, but was not specified.";
        Self::new(StatusCode::BAD_REQUEST, "ApiVersionUnspecified", message)
    }

    /// `uri` without its query.
    pub(crate) fn api_version(uri: &str, version: &str) -> Self {
        let version: String = version.chars().take(32).collect();
        let message = format!(
            "The HTTP resource that matches the request URI '{uri}' does not support the API version '{version}'."
        );
        Self::new(StatusCode::BAD_REQUEST, "UnsupportedApiVersion", message)
    }

    pub(crate) fn no_such_identity() -> Self {
        Self::new(StatusCode::NOT_FOUND, "IdentityNotFound", "Provided identity doesn't exist")
    }

    pub(crate) fn no_such_assignment() -> Self {
        Self::new(StatusCode::NOT_FOUND, "AssignmentNotFound", "The assignment doesn't exist.")
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "The service has nothing at this path.")
    }

    pub(crate) fn method_not_allowed(allow: &'static [Method]) -> Self {
        let message = "The requested resource does not support this HTTP method.";
        Self { allow, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message) }
    }

    pub(crate) fn many_identities() -> Self {
        let message = "Multiple identities exist for the provided customId.";
        Self { target: Some("customId"), ..Self::new(StatusCode::CONFLICT, "MultipleIdentitiesForCustomId", message) }
    }

    pub(crate) fn media_type(sent: &[u8]) -> Self {
        let message = format!("The media type {} is not supported.", Excerpt(sent));
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("The request body has more than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge", message)
    }

    pub(crate) fn too_many_requests(retry_after: Duration) -> Self {
        let message = "The rate limit of this operation is reached.";
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        Self { retry_after: Some(retry_after), ..refusal }
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "The request body did not arrive in time.")
    }

    pub(crate) fn internal(reason: &'static str) -> Self {
        let message = "The service failed.";
        let refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message);
        Self { reason: Some(reason), ..refusal }
    }

    /// A status that was ordered by a fault.
    pub(crate) fn fault(status: StatusCode, retry_after: Option<Duration>) -> Self {
        let code = match status {
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
            StatusCode::INTERNAL_SERVER_ERROR => "InternalServerError",
            StatusCode::BAD_GATEWAY => "BadGateway",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            StatusCode::GATEWAY_TIMEOUT => "GatewayTimeout",
            _ => "Fault",
        };
        let refusal = Self::new(status, code, "A fault of the emulator.");
        Self { retry_after, reason: Some("a fault that was asked for"), ..refusal }
    }

    /// The same with all that an error of the service may have.
    pub(crate) fn with_particulars(self) -> Self {
        const DETAILS: [Inner<'_>; 2] = [
            Inner { target: Some("first"), ..Inner::new("FirstDetail", "The first detail.") },
            Inner::new("SecondDetail", "The second detail."),
        ];
        const INNERMOST: Inner<'_> = Inner::new("Innermost", "The reason of the reason.");
        const INNER: Inner<'_> = Inner { inner: Some(&INNERMOST), ..Inner::new("Inner", "A closer reason.") };
        const MORE: Inner<'_> = Inner { details: &DETAILS, inner: Some(&INNER), ..Inner::new("", "") };
        Self { target: Some("emulator"), more: Some(&MORE), ..self }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, code, message, target, retry_after, allow, reason, more } = refusal;
        let more = more.copied().unwrap_or(Inner::new("", ""));
        let error = Inner { code, message: &message, target, ..more };
        let allow = allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        Reply { retry_after, allow, reason, ..Reply::json(status, &Body { error }) }
    }
}
