//! What a request is answered with that fails: JSON with a code for programs and a sentence for people, and nothing of what is inside.

use acs_identity::{Error, ErrorKind};
use acs_identity_examples::{complain, told};
use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn wrong_json() -> Self {
        Self::bad_request("the body is not the JSON that this path takes")
    }

    pub(crate) fn no_session() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no_session", "sign in, and send `Authorization: Bearer <session>`")
    }

    pub(crate) fn wrong_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "the user or the password is wrong")
    }

    pub(crate) fn wrong_secret() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "wrong_secret", "the secret of the webhook is missing or wrong")
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not have that method")
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "it took too long; try again")
    }

    fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "this cannot be done at the moment; try again")
    }

    /// Something that is wrong here, of which the log says more.
    pub(crate) fn internal(what: &dyn std::fmt::Display) -> Self {
        complain(&what.to_string());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something is wrong on our side")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A failure of the store, of the cache or of ACS. These errors hold no ID and no secret, so they may be logged.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown => {
                complain(&told(&error));
                Self::unavailable()
            }
            _ => Self::internal(&told(&error)),
        }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(rejection.status(), "unsupported_media_type", "send `Content-Type: application/json`")
            }
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Self::wrong_json(),
        }
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Self::bad_request("the body could not be read"),
        }
    }
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large")
}
