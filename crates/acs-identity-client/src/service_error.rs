//! What the service says when it refuses a request.

use std::fmt;
use std::time::Duration;

use acs_identity_core::Error;
use azure_core::http::RawResponse;
use azure_core::http::headers::{HeaderName, Headers, RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS};
use azure_core::time::{OffsetDateTime, parse_rfc7231};
use serde_json::Value;

use crate::scrubber::Scrubber;

/// An answer of the Identity service that is no success: the [`source`](std::error::Error::source) of the [`Error`] of the
/// call. [`ServiceError::of`] finds it there.
///
/// `Display` has what the service said, the target and the IDs under which Microsoft's support finds the request. What the
/// request was sent with (ACS ID, custom ID, tokens, signature) is taken out of the service's texts, should it repeat that. What it
/// names of its own accord stays: several users of one custom ID, for instance, can be deleted only by their ACS IDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    status: u16,
    error: Option<ErrorDetail>,
    request_id: Option<String>,
    client_request_id: Option<String>,
    retry_after: Option<Duration>,
    supported_api_versions: Option<String>,
    clock_offset: Option<i64>,
}

/// A code and what it means, with its particulars.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ErrorDetail {
    /// A code for programs, such as `ValidationError`.
    pub code: String,
    /// A sentence for people, in English.
    pub message: String,
    /// What of the request it is about.
    pub target: Option<String>,
    /// Its parts.
    pub details: Vec<ErrorDetail>,
    /// A closer reason.
    pub inner: Option<Box<ErrorDetail>>,
}

const MS_CV: HeaderName = HeaderName::from_static("ms-cv");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const SUPPORTED: HeaderName = HeaderName::from_static("api-supported-versions");
const DATE: HeaderName = HeaderName::from_static("date");

/// The most characters of one text of the service, and the most parts of an error, with those of its parts.
const MAX_TEXT: usize = 1000;
const MAX_PARTS: usize = 16;

impl ServiceError {
    /// The code of an answer to a custom ID that has several users.
    pub const MULTIPLE_IDENTITIES_FOR_CUSTOM_ID: &str = "MultipleIdentitiesForCustomId";

    /// The code of an answer about a user that was never there, or is deleted.
    pub const IDENTITY_NOT_FOUND: &str = "IdentityNotFound";

    /// The code of an answer to an api-version that the service does not have.
    pub(crate) const UNSUPPORTED_API_VERSION: &str = "UnsupportedApiVersion";

    /// The service's answer behind an error of this crate; `None` if there was none.
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The error in the answer's body, if there was a readable one.
    pub fn error(&self) -> Option<&ErrorDetail> {
        self.error.as_ref()
    }

    /// The error's code; empty if there is none.
    pub fn code(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.code)
    }

    /// Whether there is no such user.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 404 && self.code() == Self::IDENTITY_NOT_FOUND
    }

    /// The ID that the service gave the request (`x-ms-request-id` or `MS-CV`).
    /// [Source](https://learn.microsoft.com/azure/communication-services/concepts/troubleshooting-info).
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The ID that this client gave the request (`x-ms-client-request-id`).
    pub fn client_request_id(&self) -> Option<&str> {
        self.client_request_id.as_deref()
    }

    /// How long the service asks to wait, counted from its answer: `x-ms-retry-after-ms`, `retry-after-ms` or `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The api-versions that the service says it has, separated by commas.
    pub fn supported_api_versions(&self) -> Option<&str> {
        self.supported_api_versions.as_deref()
    }

    /// By how many seconds this machine's clock is ahead of the service's; negative if it is behind.
    pub fn clock_offset(&self) -> Option<i64> {
        self.clock_offset
    }

    pub(crate) fn read(
        response: &RawResponse,
        client_request_id: Option<String>,
        scrubber: &Scrubber,
        now: OffsetDateTime,
    ) -> Self {
        let headers = response.headers();
        let text = |name: &HeaderName| headers.get_optional_str(name).map(|text| scrubber.scrub(text, MAX_TEXT));
        Self {
            status: response.status().into(),
            error: said(response.body()).and_then(|said| detail(said, scrubber, &mut { MAX_PARTS })),
            request_id: text(&REQUEST_ID).or_else(|| text(&MS_CV)),
            client_request_id,
            retry_after: retry_after(headers, now),
            supported_api_versions: text(&SUPPORTED),
            clock_offset: date(headers, &DATE).map(|service| (now - service).whole_seconds()),
        }
    }
}

/// How long an answer asks to wait: in milliseconds, as services of Azure do, or in seconds or until a date.
/// [Source](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after).
fn retry_after(headers: &Headers, now: OffsetDateTime) -> Option<Duration> {
    for name in [X_MS_RETRY_AFTER_MS, RETRY_AFTER_MS] {
        if let Some(milliseconds) = headers.get_optional_str(&name).and_then(number) {
            return Some(Duration::from_millis(milliseconds));
        }
    }
    let text = headers.get_optional_str(&RETRY_AFTER)?;
    if let Some(seconds) = number(text) {
        return Some(Duration::from_secs(seconds));
    }
    // Both by the same clock, which may not be this machine's.
    let answered = date(headers, &DATE).unwrap_or(now);
    Some((date(headers, &RETRY_AFTER)? - answered).try_into().unwrap_or_default())
}

/// One that is too large is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn date(headers: &Headers, name: &HeaderName) -> Option<OffsetDateTime> {
    parse_rfc7231(headers.get_optional_str(name)?).ok()
}

/// The headers without what is private, for those who log them; but for times, which are read once more.
pub(crate) fn scrubbed(headers: &Headers, scrubber: &Scrubber) -> Headers {
    const TIMES: [HeaderName; 4] = [DATE, RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS];
    let mut scrubbed = Headers::new();
    for (name, value) in headers.iter() {
        let text = value.as_str();
        let is_time = TIMES.contains(name) && (number(text).is_some() || parse_rfc7231(text).is_ok());
        let value = if is_time { text.to_owned() } else { scrubber.scrub(text, MAX_TEXT) };
        scrubbed.insert(name.clone(), value);
    }
    scrubbed
}

/// What a body says of an error.
fn said(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    match serde_json::from_slice(body).ok()? {
        Value::Object(mut fields) => fields.remove("error"),
        _ => None,
    }
}

/// Without what is private, and with so many parts at most. A field of another type than it should have is one that is not there.
fn detail(said: Value, scrubber: &Scrubber, parts: &mut usize) -> Option<ErrorDetail> {
    // Each is no more than itself, whatever a private text is.
    const KNOWN: [&str; 3] = [
        ServiceError::MULTIPLE_IDENTITIES_FOR_CUSTOM_ID,
        ServiceError::IDENTITY_NOT_FOUND,
        ServiceError::UNSUPPORTED_API_VERSION,
    ];
    let Value::Object(mut fields) = said else { return None };
    let mut text = |name| match fields.remove(name)? {
        Value::String(code) if name == "code" && KNOWN.contains(&&*code) => Some(code),
        Value::String(text) => Some(scrubber.scrub(&text, MAX_TEXT)),
        Value::Number(number) => Some(scrubber.scrub(&number.to_string(), MAX_TEXT)),
        _ => None,
    };
    let (code, message, target) = (text("code"), text("message"), text("target"));
    let mut part = |said: Value| {
        let left = parts.checked_sub(1).filter(|_| said.is_object())?;
        *parts = left;
        detail(said, scrubber, parts)
    };
    let inner = fields.remove("innererror").and_then(&mut part);
    let details = match fields.remove("details") {
        Some(Value::Array(details)) => details,
        one => one.into_iter().collect(),
    };
    Some(ErrorDetail {
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
        target,
        details: details.into_iter().filter_map(part).collect(),
        inner: inner.map(Box::new),
    })
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        match &self.error {
            Some(error) => write!(f, " {error}")?,
            None => f.write_str(" without a readable error")?,
        }
        for (name, value) in [
            ("the service has", &self.supported_api_versions),
            ("request", &self.request_id),
            ("client request", &self.client_request_id),
        ] {
            if let Some(value) = value {
                write!(f, "; {name} {value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ErrorDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(target) = &self.target {
            write!(f, " (target {target})")?;
        }
        for part in self.inner.iter().map(|inner| &**inner).chain(&self.details) {
            write!(f, " [{part}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServiceError {}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;

    use super::*;

    fn read(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> ServiceError {
        let mut map = Headers::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let response = RawResponse::from_bytes(StatusCode::from(status), map, body);
        let now = parse_rfc7231("Wed, 13 Apr 2022 18:09:12 GMT").unwrap();
        ServiceError::read(&response, Some("mine".into()), &Scrubber::of(["8:acs:r_u"]), now)
    }

    #[test]
    fn all_that_the_service_says_is_kept() {
        let error = read(
            400,
            &[("x-ms-request-id", "theirs"), ("api-supported-versions", "2023-10-01, 2025-03-02-preview")],
            r#"{"error": {"code": "ValidationError", "message": "ExpiresInMinutes value 1441 is invalid.", "target": "ExpiresInMinutes",
                "details": [{"code": "A", "message": "B", "new": 1}], "innererror": {"code": "C", "message": "D"}}, "more": []}"#,
        );
        assert_eq!((error.status(), error.code(), error.request_id()), (400, "ValidationError", Some("theirs")));
        assert_eq!(error.error().unwrap().details[0].message, "B");
        assert_eq!(error.error().unwrap().inner.as_ref().unwrap().code, "C");
        assert_eq!(
            error.to_string(),
            "HTTP 400 ValidationError: ExpiresInMinutes value 1441 is invalid. (target ExpiresInMinutes) [C: D] [A: B]; \
             the service has 2023-10-01, 2025-03-02-preview; request theirs; client request mine"
        );
    }

    #[test]
    fn a_field_that_is_null_is_one_that_is_not_there() {
        for (body, shown) in [
            (
                r#"{"error": {"code": null, "message": "M", "target": "T"}}"#,
                "HTTP 400 : M (target T); client request mine",
            ),
            (r#"{"error": {"code": "C", "message": null, "details": []}}"#, "HTTP 400 C: ; client request mine"),
            (
                r#"{"error": {"code": "C", "message": "M", "target": null, "details": null, "innererror": null}}"#,
                "HTTP 400 C: M; client request mine",
            ),
            (
                r#"{"error": {"code": "C", "message": "M", "details": [null, {"code": "D", "details": null}]}}"#,
                "HTTP 400 C: M [D: ]; client request mine",
            ),
        ] {
            assert_eq!(read(400, &[], body).to_string(), shown);
        }
    }

    #[test]
    fn a_body_of_somebody_else_is_left_out() {
        let error = read(502, &[("ms-cv", "vector")], "<html>secret</html>");
        assert_eq!(error.to_string(), "HTTP 502 without a readable error; request vector; client request mine");
        assert_eq!((error.code(), error.error()), ("", None));
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let error = read(
            400,
            &[],
            r#"{"error": {"code": "x", "message": "'https://a/identities/8%3aacs%3Ar_u?' of 8:acs:r_u", "target": "8:ACS:r_u"}}"#,
        );
        let shown = format!("{error} {error:?}");
        assert!(!shown.to_lowercase().contains("r_u"), "{shown}");
        assert!(shown.contains("identities/<"), "{shown}");
    }

    #[test]
    fn a_private_text_that_is_in_a_known_code_leaves_it_alone() {
        let body = r#"{"error": {"code": "MultipleIdentitiesForCustomId", "message": "tom"}}"#;
        let response = RawResponse::from_bytes(StatusCode::Conflict, Headers::new(), body);
        let error = ServiceError::read(&response, None, &Scrubber::of(["tom"]), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(error.code(), ServiceError::MULTIPLE_IDENTITIES_FOR_CUSTOM_ID);
        assert!(!error.error().unwrap().message.contains("tom"));
    }

    #[test]
    fn an_error_has_sixteen_parts_at_most() {
        let many = vec![r#"{"details": [{}, {}, {}]}"#; 100].join(",");
        let body = format!(r#"{{"error": {{"code": "C", "innererror": {{}}, "details": [{many}]}}}}"#);
        let response = RawResponse::from_bytes(StatusCode::BadRequest, Headers::new(), body);
        let error = ServiceError::read(&response, None, &Scrubber::default(), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(error.to_string().matches('[').count(), MAX_PARTS);
    }

    #[test]
    fn the_time_to_wait_is_a_number_or_a_date() {
        let wait = |text| read(429, &[("retry-after", text)], "").retry_after();
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 13 Apr 2022 18:09:42 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Wed, 13 Apr 2022 18:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!((wait("soon"), wait("-5"), wait("")), (None, None, None));
        assert_eq!(wait("99999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        for name in ["x-ms-retry-after-ms", "retry-after-ms"] {
            let wait = |text| read(429, &[(name, text), ("retry-after", "7")], "").retry_after();
            assert_eq!(wait("1500"), Some(Duration::from_millis(1500)));
            assert_eq!(wait("soon"), Some(Duration::from_secs(7)));
            assert_eq!(wait("99999999999999999999"), Some(Duration::from_millis(u64::MAX)));
        }
    }

    #[test]
    fn the_date_to_wait_for_is_one_of_the_services_clock() {
        const UNTIL: (&str, &str) = ("retry-after", "Wed, 13 Apr 2022 18:09:42 GMT");
        for date in ["Wed, 13 Apr 2022 18:09:39 GMT", "Wed, 13 Apr 2022 18:09:12 GMT", "Wed, 13 Apr 2022 17:59:42 GMT"]
        {
            let wait = read(429, &[("date", date), UNTIL], "").retry_after();
            let expected = parse_rfc7231(UNTIL.1).unwrap() - parse_rfc7231(date).unwrap();
            assert_eq!(wait, expected.try_into().ok(), "{date}");
        }
        let past = read(429, &[("date", "Wed, 13 Apr 2022 18:09:43 GMT"), UNTIL], "").retry_after();
        assert_eq!(past, Some(Duration::ZERO));
    }

    #[test]
    fn a_field_of_another_type_loses_no_other() {
        for (body, shown) in [
            (r#"{"error": {"code": 7, "message": "M", "target": 5}}"#, "HTTP 400 7: M (target 5); client request mine"),
            (r#"{"error": {"code": ["C"], "message": "M", "target": {}}}"#, "HTTP 400 : M; client request mine"),
            (
                r#"{"error": {"code": "C", "message": "M", "details": {"code": "D"}}}"#,
                "HTTP 400 C: M [D: ]; client request mine",
            ),
            (
                r#"{"error": {"code": "C", "message": "M", "details": ["x", {"code": "D"}], "innererror": "y"}}"#,
                "HTTP 400 C: M [D: ]; client request mine",
            ),
            ("\u{feff}{\"error\": {\"code\": \"C\", \"message\": \"M\"}}", "HTTP 400 C: M; client request mine"),
        ] {
            assert_eq!(read(400, &[], body).to_string(), shown);
        }
    }

    #[test]
    fn an_array_is_no_error() {
        for body in [r#"{"error": ["C", "M"]}"#, r#"[{"code": "C", "message": "M"}]"#, r#"[{"error": {"code": "C"}}]"#]
        {
            assert_eq!(read(400, &[], body).error(), None, "{body}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_is_seen() {
        assert_eq!(read(401, &[("date", "Wed, 13 Apr 2022 18:00:12 GMT")], "").clock_offset(), Some(540));
    }
}
