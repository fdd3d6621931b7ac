//! Why a call on the service failed, and what the caller is told.

use acs_identity_core::{Error, ErrorKind};

use crate::ServiceError;
use crate::call::Stage;
use crate::scrubber::Scrubber;

/// The name of the service in errors.
const BACKEND: &str = "ACS Identity";

/// By how many seconds a clock may be wrong before it is worth a word.
const CLOCK: i64 = 60;

/// What a call leaves behind at the service, and so what a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// None that counts: what it has done can be ignored, and it may be repeated.
    None,
    /// A change that is made once, however often the call is made.
    Repeatable,
    /// The same as long as there is one call at a time: of several at once each may make a change.
    Serial,
    /// A change for each time that the call is made.
    Once,
}

/// What is known of the request besides the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallInfo {
    /// The name of the method.
    pub(crate) operation: &'static str,
    pub(crate) effect: Effect,
    /// Whether it is about a user that exists already.
    pub(crate) of_user: bool,
    /// Whether it is signed with an access key, and not with a token.
    pub(crate) signed: bool,
}

/// Everything that can go wrong between this crate and the service.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", advice(info, service))]
    Service { info: CallInfo, service: Box<ServiceError> },
    #[error("no connection to the service could be made")]
    NoConnection { source: Cause },
    #[error("the connection to the service was lost before the end of its answer")]
    Cut { source: Cause },
    #[error("the credential gave no token")]
    Credential { source: Cause },
    /// By a policy, or by a credential that could not reach those who give tokens.
    #[error("the request was not sent")]
    NotSent { transient: bool, source: Cause },
    #[error("{}", within_time(*.0))]
    OutOfTime(Stage),
    /// A success that the transport could not make sense of.
    #[error("the service's answer is not of the documented form")]
    Unread { source: Cause },
    #[error("the service's answer is not of the documented form: {0}")]
    Answer(&'static str),
}

/// What a transport or a credential says. Not kept as it is: it may quote the address, in which there is an ACS ID.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(String);

impl Cause {
    pub(crate) fn of(error: &azure_core::Error, scrubber: &Scrubber) -> Self {
        let mut text = error.to_string();
        let mut inner = std::error::Error::source(error);
        while let Some(error) = inner {
            let part = error.to_string();
            // Some errors repeat what their source says.
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            inner = error.source();
        }
        Self(scrubber.scrub(&text, 1000))
    }
}

impl Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Service { service, .. } => kind(service),
            Self::NoConnection { .. } | Self::Cut { .. } | Self::NotSent { transient: true, .. } => {
                ErrorKind::Unavailable
            }
            Self::Credential { .. } => ErrorKind::Denied,
            Self::NotSent { transient: false, .. } | Self::Unread { .. } | Self::Answer(_) => ErrorKind::Internal,
            Self::OutOfTime(_) => ErrorKind::Timeout,
        }
    }

    /// As the caller sees it. `uncertain`: whether one of the tries may have had its effect all the same.
    pub(crate) fn into_error(self, info: &CallInfo, uncertain: bool) -> Error {
        let mut message = self.to_string();
        let kind = match info.effect {
            Effect::None => self.kind(),
            // Several users with one custom ID stay several, whoever has made them.
            _ if !uncertain || self.kind() == ErrorKind::Conflict => self.kind(),
            Effect::Repeatable => {
                message.push_str("; it may be done all the same, and can be repeated");
                ErrorKind::OutcomeUnknown
            }
            Effect::Serial => {
                message.push_str(
                    "; the user may have been made all the same, and comes back if this is repeated after a while",
                );
                ErrorKind::OutcomeUnknown
            }
            Effect::Once => {
                message.push_str("; the user may have been made all the same, with an ID that nobody knows");
                ErrorKind::OutcomeUnknown
            }
        };
        let error = Error::new(kind, message).in_operation(info.operation).in_backend(BACKEND);
        match self {
            Self::Service { service, .. } => error.with_source(*service),
            Self::NoConnection { source }
            | Self::Cut { source }
            | Self::Credential { source }
            | Self::Unread { source }
            | Self::NotSent { source, .. } => error.with_source(source),
            Self::OutOfTime(_) | Self::Answer(_) => error,
        }
    }
}

fn kind(service: &ServiceError) -> ErrorKind {
    if service.code() == ServiceError::MULTIPLE_IDENTITIES_FOR_CUSTOM_ID {
        return ErrorKind::Conflict;
    }
    match service.status() {
        400 if is_about_the_version(service) => ErrorKind::Unsupported,
        400 => ErrorKind::InvalidInput,
        401 | 403 => ErrorKind::Denied,
        404 if service.is_not_found() => ErrorKind::InvalidInput,
        300..=399 | 404 => ErrorKind::Misconfigured,
        408 | 429 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// Nobody documents the code, so the sentence has to do, too.
fn is_about_the_version(service: &ServiceError) -> bool {
    service.code().eq_ignore_ascii_case(ServiceError::UNSUPPORTED_API_VERSION)
        || service.error().is_some_and(|error| error.message.contains("does not support the API version"))
}

fn within_time(stage: Stage) -> &'static str {
    match stage {
        Stage::Preparing => "the request was not ready in time",
        Stage::Connecting => "no connection to the service was made in time",
        Stage::Sent => "no answer in time",
    }
}

/// What the caller can do about it; what the service itself said is left to the source.
fn advice(info: &CallInfo, service: &ServiceError) -> String {
    let status = service.status();
    if service.code() == ServiceError::MULTIPLE_IDENTITIES_FOR_CUSTOM_ID {
        return "the service has several users with this custom ID, made at the same time, and answers no more for it"
            .into();
    }
    match status {
        401 => denied(info, service),
        403 => "the service forbids this (403)".into(),
        400 if is_about_the_version(service) => {
            "the service does not have the api-version of the options at this endpoint (400)".into()
        }
        400 => "the service refuses the request (400)".into(),
        404 if service.is_not_found() => "the service knows no such user (404)".into(),
        404 => "the service has nothing at this address (404); the endpoint or the api-version may be wrong".into(),
        408 => "the service did not wait for the whole request (408)".into(),
        300..=399 => format!("the endpoint points elsewhere ({status}); it is not that of an ACS resource"),
        429 => match service.retry_after() {
            Some(wait) => format!("the service takes no more requests for {} s (429)", wait.as_secs()),
            None => "the service takes no more requests for now (429)".into(),
        },
        500..=599 => format!("the service is in trouble ({status})"),
        _ => format!("the service gives an answer that is not documented ({status})"),
    }
}

/// A 401 has no word on its reason, so all that are known are named, and a clock is looked at.
fn denied(info: &CallInfo, service: &ServiceError) -> String {
    let mut text = String::from("the service does not accept the request (401): ");
    match service.clock_offset() {
        Some(offset) if info.signed && offset.abs() > CLOCK => {
            let side = if offset > 0 { "ahead of" } else { "behind" };
            text.push_str(&format!("this machine's clock is {} s {side} the service's; besides, ", offset.abs()));
        }
        Some(_) if info.signed => text.push_str("the clock agrees with the service's; "),
        _ if info.signed => text.push_str("the clock has to be right; "),
        _ => {}
    }
    text.push_str(if info.signed {
        "the access key has to be of the endpoint's resource and may have been replaced, and no proxy may change host, path or body"
    } else {
        "the credential's identity needs a role at the endpoint's resource, and its token has to be for ACS"
    });
    if info.of_user {
        text.push_str("; a user of another resource, and perhaps one that is deleted, is answered in the same way");
    } else if info.operation == "exchange_teams_user_token" {
        text.push_str("; a Teams user's token that is expired, or for another purpose, is answered in the same way");
    }
    text
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use azure_core::http::{RawResponse, StatusCode};
    use azure_core::time::{OffsetDateTime, to_rfc7231};

    use super::*;

    const INFO: CallInfo = CallInfo { operation: "issue_token", effect: Effect::None, of_user: true, signed: true };

    fn service(status: u16, body: &str, behind: i64) -> ServiceError {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let mut headers = Headers::new();
        let date = OffsetDateTime::from_unix_timestamp(1_700_000_000 + behind).unwrap();
        headers.insert("date", to_rfc7231(&date));
        let response = RawResponse::from_bytes(StatusCode::from(status), headers, body.to_owned());
        ServiceError::read(&response, None, &Scrubber::default(), now)
    }

    fn told(info: CallInfo, service: ServiceError) -> Error {
        Failure::Service { info, service: Box::new(service) }.into_error(&info, false)
    }

    #[test]
    fn each_status_has_a_kind() {
        let kind = |status, body: &str| told(INFO, service(status, body, 0)).kind();
        for (status, expected) in [
            (301, ErrorKind::Misconfigured),
            (400, ErrorKind::InvalidInput),
            (401, ErrorKind::Denied),
            (403, ErrorKind::Denied),
            (404, ErrorKind::Misconfigured),
            (408, ErrorKind::Unavailable),
            (409, ErrorKind::Internal),
            (418, ErrorKind::Internal),
            (429, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind(status, ""), expected, "{status}");
        }
        let several = r#"{"error": {"code": "MultipleIdentitiesForCustomId", "message": ""}}"#;
        assert_eq!(kind(400, several), ErrorKind::Conflict);
        let gone = r#"{"error": {"code": "IdentityNotFound", "message": ""}}"#;
        assert_eq!(kind(404, gone), ErrorKind::InvalidInput);
        let version = r#"{"error": {"code": "?", "message": "The HTTP resource that matches the request URI 'x' does not support the API version 'y'."}}"#;
        assert_eq!(kind(400, version), ErrorKind::Unsupported);
    }

    #[test]
    fn an_answer_is_called_undocumented_where_its_kind_is_internal_and_nowhere_else() {
        for status in 300..=599 {
            let error = told(INFO, service(status, "", 0));
            let said = error.to_string().contains("not documented");
            assert_eq!(said, error.kind() == ErrorKind::Internal, "{status}: {error}");
        }
    }

    #[test]
    fn a_bare_401_says_what_to_look_at() {
        let text = |info, behind| told(info, service(401, "", behind)).to_string();
        let skewed = text(INFO, 900);
        assert!(skewed.contains("clock is 900 s behind the service's"), "{skewed}");
        assert!(text(INFO, -61).contains("61 s ahead of"));
        let right = text(INFO, 3);
        for word in ["clock agrees", "access key", "host", "another resource"] {
            assert!(right.contains(word), "{right}");
        }
        let bearer = text(CallInfo { signed: false, of_user: false, ..INFO }, 900);
        assert!(
            bearer.contains("role") && !bearer.contains("clock") && !bearer.contains("another resource"),
            "{bearer}"
        );
    }

    #[test]
    fn the_message_leaves_the_services_words_to_the_source() {
        let error = told(INFO, service(400, r#"{"error": {"code": "Bad", "message": "Their words."}}"#, 0));
        assert_eq!(
            error.to_string(),
            "invalid input: the service refuses the request (400) (issue_token, ACS Identity)"
        );
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "HTTP 400 Bad: Their words.");
        assert_eq!(ServiceError::of(&error).unwrap().code(), "Bad");
    }

    #[test]
    fn an_uncertain_write_is_of_unknown_outcome_whatever_came_last() {
        for (effect, expected) in [
            (Effect::None, ErrorKind::Denied),
            (Effect::Repeatable, ErrorKind::OutcomeUnknown),
            (Effect::Serial, ErrorKind::OutcomeUnknown),
            (Effect::Once, ErrorKind::OutcomeUnknown),
        ] {
            let info = CallInfo { effect, ..INFO };
            let error = Failure::Service { info, service: Box::new(service(401, "", 0)) }.into_error(&info, true);
            assert_eq!(error.kind(), expected);
            assert_eq!(ServiceError::of(&error).unwrap().status(), 401);
        }
    }
}
