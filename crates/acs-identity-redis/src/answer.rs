//! What servers answer, taken apart.

use acs_identity_core::Timestamp;
use redis::Value;

use crate::error::Failure;

pub(crate) fn bytes(value: &Value) -> Result<Option<&[u8]>, Failure> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        _ => Err(Failure::Answer),
    }
}

pub(crate) fn text(value: &Value) -> Result<&str, Failure> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).map_err(|_| Failure::Answer),
        Value::SimpleString(text) => Ok(text),
        Value::VerbatimString { text, .. } => Ok(text),
        _ => Err(Failure::Answer),
    }
}

/// The value of a line `name:value`, of which some answers are made.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

pub(crate) fn array(value: &Value) -> Result<&[Value], Failure> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Failure::Answer),
    }
}

pub(crate) fn number(value: &Value) -> Result<u64, Failure> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| Failure::Answer),
        _ => Err(Failure::Answer),
    }
}

/// A time that a script has answered with.
pub(crate) fn time(value: &Value) -> Result<Timestamp, Failure> {
    number(value).map(Timestamp::from_micros)
}

/// The answer of `TIME`.
pub(crate) fn server_time(value: &Value) -> Result<Timestamp, Failure> {
    let [seconds, micros] = array(value)? else { return Err(Failure::Answer) };
    let part = |value| text(value)?.parse::<u64>().map_err(|_| Failure::Answer);
    let micros = part(seconds)?.checked_mul(1_000_000).and_then(|seconds| seconds.checked_add(part(micros).ok()?));
    micros.map(Timestamp::from_micros).ok_or(Failure::Answer)
}

/// A sorted set's members and their scores, which are times.
pub(crate) fn scored(value: &Value) -> Result<Vec<(Vec<u8>, f64)>, Failure> {
    let entry = |entry: &Value| {
        let [member, Value::Double(score)] = array(entry)? else { return Err(Failure::Answer) };
        Ok((bytes(member)?.ok_or(Failure::Answer)?.to_vec(), *score))
    };
    array(value)?.iter().map(entry).collect()
}
