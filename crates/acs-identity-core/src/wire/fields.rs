//! Reading JSON objects with errors that name the property and never show its value.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The properties of a JSON object, read with errors that name them.
pub(super) struct Fields<'a> {
    /// The property in which the object stands, if it is not the identifier itself.
    of: Option<&'static str>,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of_identifier(value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { of: None, map }),
            _ => Err(Error::invalid_input(format!("an identifier must be an object, not {}", type_name(value)))),
        }
    }

    /// The value of a property; `null` is the same as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| self.wrong(name, "a string", value))).transpose()
    }

    pub(super) fn required(&self, name: &str) -> Result<String> {
        let text = self.text(name)?.ok_or_else(|| Error::invalid_input(format!("`{}` is missing", self.path(name))))?;
        Ok(text.to_owned())
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        let Some(value) = self.get(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(name, "true or false", value))
    }

    pub(super) fn object(&self, name: &'static str) -> Result<Fields<'a>> {
        match self.map.get(name).unwrap_or(&Value::Null) {
            Value::Object(map) => Ok(Fields { of: Some(name), map }),
            other => Err(self.wrong(name, "an object", other)),
        }
    }

    fn wrong(&self, name: &str, wanted: &str, value: &Value) -> Error {
        Error::invalid_input(format!("`{}` must be {wanted}, not {}", self.path(name), type_name(value)))
    }

    fn path(&self, name: &str) -> String {
        self.of.map_or_else(|| name.to_owned(), |of| format!("{of}.{name}"))
    }
}

/// What a JSON value is, for an error message that must not show the value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The same error of a format without the value that it quotes, which may be private.
///
/// Serde's own messages are of the form ``invalid type: string "…", expected u64``. A visitor cannot keep the value out of
/// them: `serde_json` makes them itself where a type was asked for.
pub(crate) fn unquoted<E: serde::de::Error>(error: E) -> E {
    let message = error.to_string();
    // The value may hold quotes and `, expected ` too; the first quote and the last `, expected ` are around it.
    match (message.find(['"', '`']), message.rfind(", expected ")) {
        (Some(from), Some(to)) if from < to => E::custom(format!("{}{}", message[..from].trim_end(), &message[to..])),
        _ => error,
    }
}
