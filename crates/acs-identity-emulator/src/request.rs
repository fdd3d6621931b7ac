//! A request, with its body read.

use acs_identity_core::Excerpt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Uri};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// A request, with its body read.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// The text of a header; empty if there is none, or it is no text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether there is more than one header of this name.
    pub(crate) fn is_repeated(&self, name: &str) -> bool {
        self.headers.get_all(name).iter().nth(1).is_some()
    }

    /// The token after `Bearer `.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization").split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
    }

    pub(crate) fn uri_without_query(&self) -> String {
        format!("http://{}{}", self.header(HOST.as_str()), self.uri.path())
    }

    /// Its body, which must be a JSON object, with `PATCH` as a JSON Merge Patch (RFC 7396); none is an empty object.
    pub(crate) fn json(&self) -> Result<Body, Refusal> {
        if self.body.is_empty() {
            return Ok(Body(Map::new()));
        }
        let sent = self.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
        let media_type = sent.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let wanted = if self.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        if !media_type.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Err(Refusal::media_type(media_type));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(Body(fields)),
            _ => Err(Refusal::validation("body", "The request body is not a JSON object.")),
        }
    }
}

/// The fields of a JSON object. One that is null counts as absent; what is not asked for is passed over.
pub(crate) struct Body(Map<String, Value>);

impl Body {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether a field is a list with something in it.
    pub(crate) fn has_items(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_array).is_some_and(|items| !items.is_empty())
    }

    /// A list of texts; none is an empty one.
    pub(crate) fn texts(&self, name: &'static str) -> Result<Vec<String>, Refusal> {
        let wrong = || Refusal::validation(name, format!("{name} must be a list of texts."));
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::validation(name, format!("{name} must be a text."))),
        }
    }

    pub(crate) fn required_text(&self, name: &'static str) -> Result<&str, Refusal> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| Refusal::validation(name, format!("The {name} field is required.")))
    }

    /// A number as it was sent.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<&serde_json::Number>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(Refusal::validation(name, format!("{name} must be a number."))),
        }
    }

    /// Each field with the object that is its value, or with none for null.
    pub(crate) fn objects(self) -> Result<Vec<(String, Option<Self>)>, Refusal> {
        let object = |(name, value): (String, Value)| match value {
            Value::Null => Ok((name, None)),
            Value::Object(fields) => Ok((name, Some(Self(fields)))),
            _ => {
                let message = format!("{} must be an object or null.", Excerpt(name.as_bytes()));
                Err(Refusal::validation("body", message))
            }
        };
        self.0.into_iter().map(object).collect()
    }
}
