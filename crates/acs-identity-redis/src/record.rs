//! How a record is written, byte for byte.
//!
//! ```text
//! 1 byte    1, the version of this form
//! 1 byte    what follows: 1 a customer, 2 an expiry, 4 properties, 8 a creation time; 0 is a tombstone
//! 7 bytes   the revision
//! 7 bytes   the creation time, if it is not the same number as the revision
//! 7 bytes   the expiry, if there is one
//! 2 bytes   the length of the customer ID, if there are properties
//!           the customer ID, in UTF-8; to the end if there are no properties
//!           the properties, a JSON object of strings
//! ```
//! Numbers are unsigned and big-endian; times are microseconds since the Unix epoch. A tombstone is its revision and no
//! more. Scripts write the records; this side reads them.

use acs_identity_core::rules::Present;
use acs_identity_core::{AcsId, CustomerId, Mapping, Properties, Resolution, Revision, Timestamp};

use crate::error::Failure;

const VERSION: u8 = 1;
const CUSTOMER: u8 = 1;
const EXPIRY: u8 = 2;
const PROPERTIES: u8 = 4;
const CREATED: u8 = 8;

/// A record as it is read, without its texts being looked at.
#[derive(Debug)]
struct Record<'a> {
    revision: Revision,
    /// `None` of a tombstone.
    mapping: Option<Texts<'a>>,
}

struct Texts<'a> {
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    customer: &'a [u8],
    properties: Option<&'a [u8]>,
}

impl std::fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").field("created_at", &self.created_at).finish_non_exhaustive()
    }
}

fn read(mut bytes: &[u8]) -> Option<Record<'_>> {
    let bytes = &mut bytes;
    let [VERSION, flags] = *take(bytes, 2)? else { return None };
    let revision = Revision::new(number(bytes)?);
    if flags == 0 {
        return bytes.is_empty().then_some(Record { revision, mapping: None });
    }
    if flags & CUSTOMER == 0 || flags > (CUSTOMER | EXPIRY | PROPERTIES | CREATED) {
        return None;
    }
    let created = if flags & CREATED != 0 { number(bytes)? } else { revision.get() };
    let expires = if flags & EXPIRY != 0 { Some(number(bytes)?) } else { None };
    let (customer, properties) = if flags & PROPERTIES != 0 {
        let length = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
        (take(bytes, usize::from(length))?, Some(*bytes))
    } else {
        (*bytes, None)
    };
    let (created_at, expires_at) = (Timestamp::from_micros(created), expires.map(Timestamp::from_micros));
    Some(Record { revision, mapping: Some(Texts { created_at, expires_at, customer, properties }) })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    Some(take(bytes, 7)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

impl Texts<'_> {
    fn customer_id(&self) -> Result<CustomerId, Failure> {
        let text = str::from_utf8(self.customer).map_err(|_| Failure::Unreadable)?;
        CustomerId::new(text).map_err(|_| Failure::Unreadable)
    }

    fn properties(&self) -> Result<Properties, Failure> {
        match self.properties {
            None => Ok(Properties::default()),
            Some(json) => serde_json::from_slice(json).map_err(|_| Failure::Unreadable),
        }
    }
}

/// The customer behind an ID, and when the answer ends; `None` of a tombstone.
pub(crate) fn resolution(bytes: &[u8]) -> Result<Option<(Resolution, Option<Timestamp>)>, Failure> {
    let record = read(bytes).ok_or(Failure::Unreadable)?;
    let Some(texts) = record.mapping else { return Ok(None) };
    let resolution = Resolution::from(texts.customer_id()?).with_properties(texts.properties()?);
    Ok(Some((resolution.at_revision(record.revision), texts.expires_at)))
}

/// The mapping of a record; `None` of a tombstone.
pub(crate) fn mapping(id: &AcsId, bytes: &[u8]) -> Result<Option<Mapping>, Failure> {
    let record = read(bytes).ok_or(Failure::Unreadable)?;
    let Some(texts) = record.mapping else { return Ok(None) };
    let mut mapping = Mapping::new(id.clone(), texts.customer_id()?, record.revision, texts.created_at);
    mapping.expires_at = texts.expires_at;
    mapping.properties = texts.properties()?;
    Ok(Some(mapping))
}

/// What is there of an ID, for the rules. Properties that can't be read are left out: they decide nothing, and must not
/// keep a mapping from being removed.
pub(crate) fn present(id: &AcsId, bytes: Option<&[u8]>) -> Result<Present, Failure> {
    let Some(bytes) = bytes else { return Ok(Present::Nothing) };
    let record = read(bytes).ok_or(Failure::Unreadable)?;
    let Some(texts) = record.mapping else { return Ok(Present::Tombstone(record.revision)) };
    let mut mapping = Mapping::new(id.clone(), texts.customer_id()?, record.revision, texts.created_at);
    mapping.expires_at = texts.expires_at;
    mapping.properties = texts.properties().unwrap_or_default();
    Ok(Present::Mapping(mapping))
}

/// Properties as a record holds them; empty if there are none.
pub(crate) fn json(properties: &Properties) -> Result<String, Failure> {
    match properties.is_empty() {
        true => Ok(String::new()),
        false => serde_json::to_string(properties).map_err(|_| Failure::Properties),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AcsId {
        "8:acs:r_1".parse().unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn records_are_read_as_they_are_documented() {
        let plain = mapping(&id(), &hex("01 01 00000000000007 626f62")).unwrap().unwrap();
        assert_eq!((plain.customer_id.as_str(), plain.revision.get()), ("bob", 7));
        assert_eq!((plain.created_at.as_micros(), plain.expires_at), (7, None));
        let all = hex("01 0f 00000000000007 00000000000100 1fffffffffffff 0003 626f62 7b2261223a2262227d");
        let all = mapping(&id(), &all).unwrap().unwrap();
        assert_eq!(all.created_at.as_micros(), 256);
        assert_eq!(all.expires_at.unwrap().as_micros(), (1 << 53) - 1);
        assert_eq!(all.properties.get("a"), Some("b"));
        assert!(matches!(mapping(&id(), &hex("01 00 00000000000007")), Ok(None)));
    }

    #[test]
    fn what_is_not_a_record_is_unreadable() {
        for bad in [
            "",
            "01",
            "02 01 00000000000007 62",
            "01 01 0000",
            "01 02 00000000000007",
            "01 10 00000000000007 62",
            "01 00 00000000000007 62",
            "01 01 00000000000007",
            "01 05 00000000000007 0009 62",
            "01 01 00000000000007 ff",
        ] {
            assert!(matches!(mapping(&id(), &hex(bad)), Err(Failure::Unreadable)), "{bad}");
        }
    }
}
