//! What the name of a property says of the IDs in it.

use crate::wire::OBJECTS;
use crate::{CommunicationIdentifier, IdentityType};

/// Tables that a sender or an application may fill as it likes, names and all: the ends of such properties' names, compared
/// without case.
const BAGS: [&str; 13] = [
    "metadata",
    "properties",
    "tag",
    "tags",
    "labels",
    "headers",
    // Texts with which everybody sees what a person wrote: there is nothing else in them.
    "messageBody",
    "displayName",
    "topic",
    "caption",
    "title",
    "description",
    "fileName",
];

/// Texts that a sender may write, and others that are no IDs: the ends of such properties' names, compared without case.
const TEXTS: [&str; 20] = [
    "body",
    "code",
    "content",
    "details",
    "name",
    "label",
    "message",
    "payload",
    "phrase",
    "reason",
    "reference",
    "speech",
    "status",
    // Also `incomingCallContext` and its like.
    "text",
    "type",
    "uri",
    "url",
    // Not every agent: one may be a person.
    "userAgent",
    "value",
    "version",
];

/// The properties that hold a raw ID and nothing else, so that an ID of an unknown kind is one too.
const RAW_IDS: [&str; 9] =
    ["senderId", "recipientId", "createdBy", "deletedBy", "editedBy", "addedBy", "removedBy", "updatedBy", "memberId"];

/// What is nobody, though it has an ID: the ends of such properties' names before `Id`, compared without case.
const THINGS: [&str; 15] = [
    "message",
    "thread",
    "transaction",
    "document",
    "call",
    "connection",
    "correlation",
    "conversation",
    "group",
    "room",
    "recording",
    "session",
    "operation",
    "request",
    "event",
];

/// What a name says besides the role, and what that tells of a value that has no object around it.
const SUFFIXES: [(&str, Holds); 8] = [
    ("CommunicationIdentifiers", Holds::Identifier),
    ("CommunicationIdentifier", Holds::Identifier),
    ("Identifiers", Holds::Anything),
    ("Identifier", Holds::Anything),
    ("RawIds", Holds::RawId),
    ("RawId", Holds::RawId),
    ("Ids", Holds::Anything),
    ("Id", Holds::Anything),
];

/// What may stand in a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// An identifier and nothing else.
    Identifier,
    /// A raw ID and nothing else.
    RawId,
    /// The number of an SMS.
    Number,
    /// Perhaps an ID of a known kind.
    Anything,
    /// A text that is nobody: the ID of a thing, or something that somebody wrote.
    Thing,
}

/// The name of a property, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// What tells the role.
    pub(super) stem: &'a str,
    pub(super) holds: Holds,
}

impl<'a> Name<'a> {
    pub(super) const DATA: Self = Self { stem: "data", holds: Holds::Anything };

    /// The property `key` of the object that is the value of this one.
    pub(super) fn property(self, key: &'a str, is_sms: bool) -> Self {
        match key {
            "from" | "From" if is_sms => return Self { stem: "from", holds: Holds::Number },
            "to" | "To" if is_sms => return Self { stem: "to", holds: Holds::Number },
            _ => {}
        }
        let (stem, suffix) = split(key);
        // `id` and its like say nothing of the role.
        let stem = if stem.is_empty() { self.stem } else { stem };
        let holds = match suffix {
            Some(Holds::Identifier) => Holds::Identifier,
            Some(Holds::RawId) => Holds::RawId,
            Some(_) if is_thing(stem) => Holds::Thing,
            None if TEXTS.iter().any(|text| ends_in(key, text)) => Holds::Thing,
            _ if RAW_IDS.contains(&key) => Holds::RawId,
            suffix => suffix.unwrap_or(Holds::Anything),
        };
        Self { stem, holds }
    }

    /// An entry of the table that is the value of this property: its key is data, so it has the role of the table.
    pub(super) fn entry(self) -> Self {
        let holds = if self.holds == Holds::Thing { Holds::Thing } else { Holds::Anything };
        Self { holds, ..self }
    }
}

/// The part of a name that tells the role, and what the rest says.
fn split(key: &str) -> (&str, Option<Holds>) {
    if OBJECTS.contains(&key) {
        return ("", None);
    }
    let found = SUFFIXES.iter().find_map(|(suffix, holds)| {
        let stem = if key.eq_ignore_ascii_case(suffix) { Some("") } else { key.strip_suffix(suffix) };
        stem.map(|stem| (stem, Some(*holds)))
    });
    found.unwrap_or((key, None))
}

fn is_thing(stem: &str) -> bool {
    let one = stem.strip_suffix('s').unwrap_or(stem);
    THINGS.iter().any(|thing| ends_in(stem, thing) || ends_in(one, thing))
}

/// Whether a property is a table that a sender or an application may fill as it likes.
pub(super) fn is_bag(key: &str) -> bool {
    let is_custom = key.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("custom"));
    is_custom || BAGS.iter().any(|bag| ends_in(key, bag))
}

/// Whether a key is the name of a property, and not data.
pub(super) fn is_name(key: &str) -> bool {
    key.len() <= 64 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a name is too plain to hold anything private, so that it may be shown.
pub(super) fn is_plain(name: &str) -> bool {
    name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Whether a text is an ID of a known kind, and no time of day or the like that begins with `4:`.
pub(super) fn is_id(text: &str) -> bool {
    match CommunicationIdentifier::parse(text) {
        CommunicationIdentifier::PhoneNumber { value, is_anonymous, .. } => {
            let number = value.split_once('_').map_or(value, |(number, _)| number);
            let digits = number.strip_prefix('+').unwrap_or(number);
            is_anonymous || is_guid(number) || (digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        }
        other => other.identity_type() != IdentityType::Unknown,
    }
}

/// What ACS puts in the place of a number now and then.
fn is_guid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn ends_in(name: &str, end: &str) -> bool {
    let at = name.len().checked_sub(end.len());
    at.is_some_and(|at| name.as_bytes()[at..].eq_ignore_ascii_case(end.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(key: &str, stem: &str, holds: Holds) {
        let table = Name { stem: "table", holds: Holds::Anything };
        assert_eq!(table.property(key, false), Name { stem, holds }, "{key}");
    }

    #[test]
    fn a_name_tells_the_role_and_what_it_holds() {
        reads("senderId", "sender", Holds::RawId);
        reads("backupRawId", "backup", Holds::RawId);
        reads("createdBy", "createdBy", Holds::RawId);
        reads("hostCommunicationIdentifier", "host", Holds::Identifier);
        reads("hostIdentifier", "host", Holds::Anything);
        reads("paid", "paid", Holds::Anything);
        reads("messageId", "message", Holds::Thing);
        reads("ServerCallIds", "ServerCall", Holds::Thing);
        reads("conversationRawId", "conversation", Holds::RawId);
        reads("userAgent", "userAgent", Holds::Thing);
        reads("agent", "agent", Holds::Anything);
        assert!(is_bag("senderDisplayName") && is_bag("CustomThings") && !is_bag("message"));
        let rooms = Name { stem: "rooms", holds: Holds::Anything };
        assert_eq!(rooms.property("id", false), Name { stem: "rooms", holds: Holds::Thing });
        reads("callerId", "caller", Holds::Anything);
        reads("call", "call", Holds::Anything);
    }

    #[test]
    fn a_name_that_tells_no_role_has_that_of_its_container() {
        for key in ["id", "ID", "Ids", "identifier", "communicationUser", "phoneNumber"] {
            reads(key, "table", Holds::Anything);
        }
        reads("communicationIdentifier", "table", Holds::Identifier);
        reads("rawId", "table", Holds::RawId);
    }
}
