//! Who is in an event: the ACS IDs that an Event Grid event or a CloudEvent of ACS holds.

mod name;
mod role;
mod walk;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::redact::{Excerpt, Redacted};
use crate::wire::type_name;
use crate::{AcsId, Error, Mismatch, Result};

pub use role::Role;
use walk::Walk;

/// An event of ACS, and the identifiers in it.
///
/// Events are taken in the Event Grid schema and as CloudEvents 1.0. Which types of events there are does
/// not matter: one walk over `data` finds the identifiers of all, also of types made later. It takes
/// - what stands as an identifier model: in `senderCommunicationIdentifier` and all that are named alike,
///   in `{"communicationIdentifier": {…}, "role": …}`, or in a property of any name;
/// - raw IDs as plain texts: in `senderId`, `recipientId`, `createdBy`, `memberId` and their like, and in all
///   whose names end in `RawId`, whatever they are; in a property of any other name, and as a key of a table, if they
///   are of a known kind. There a text that begins with `4:` must go on like a number: with five digits or more
///   after an optional `+`, or a GUID, and perhaps `_` and an asserted ID; or be `4:anonymous`;
/// - `from` and `to` of SMS events, in both capitalisations: `4:` and the number exactly as received,
///   with or without `+` (see [`AcsId::same_phone_number`]).
///
/// A plain text is nobody in a property that names the ID of a thing: `messageId`, `threadId`, `transactionId`,
/// `documentId`, `serverCallId`, `callConnectionId`, `correlationId` and all that end so, likewise of a conversation, group,
/// room, recording, session, operation, request or event, and as `"room": {"id": …}`. Nor is it in one that holds a text, or a
/// word of the service's own: those whose names end, in any case, in `body`, `code`, `content`, `details`, `label`,
/// `message`, `name`, `payload`, `phrase`, `reason`, `reference`, `speech`, `status`, `text` (so also `incomingCallContext`), `type`,
/// `uri`, `url`, `userAgent`, `value` or `version`. Objects in these are looked into.
///
/// Nothing at all is read in what a sender or an application can fill as it likes: properties whose names begin with
/// `custom`, or end in `metadata`, `properties`, `tag`, `tags`, `labels`, `headers`, `messageBody`, `displayName`, `topic`, `caption`,
/// `title`, `description` or `fileName`. So nobody becomes the sender of a chat message by writing an ID into it or its
/// metadata. Where ACS passes on what users wrote under other names, an ID in it can still come out: trust only the roles that
/// the type of the event is known to have.
/// `subject` of the envelope is not read; it repeats what `data` says.
///
/// The role is what the name of the property says (see [`Role`]); `id`, `identifier` and the keys of a table say
/// nothing, and have the role of the property around them.
///
/// ```
/// use acs_identity_core::{Event, Role};
/// let json = br#"[{"id": "1", "eventType": "Microsoft.Communication.ChatMessageReceived",
///     "data": {"senderId": "8:acs:r_bob", "senderDisplayName": "Bob", "messageBody": "Hi", "recipientId": "8:acs:r_ann"}}]"#;
/// let events = Event::parse_all(json)?;
/// let sender = events[0].participants().iter().find(|one| *one.role() == Role::Sender).unwrap();
/// assert_eq!((sender.acs_id().as_str(), sender.display_name()), ("8:acs:r_bob", Some("Bob")));
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Event {
    event_type: String,
    id: Option<String>,
    participants: Vec<Participant>,
    rejected: Vec<RejectedId>,
}

impl Event {
    /// Reads JSON text that holds one event or an array of events, as a webhook or a queue delivers it. A byte order
    /// mark in front of it is passed over.
    ///
    /// # Errors
    /// `InvalidInput`, with the place: the byte and the line where it is not UTF-8, the line and column where it is not
    /// JSON, the number of the event (from 0) and the property where an envelope is broken. An identifier that
    /// cannot be used is no error: see [`rejected`](Self::rejected).
    pub fn parse_all(json: &[u8]) -> Result<Vec<Self>> {
        Self::parse_each(json)?.into_iter().collect()
    }

    /// As [`parse_all`](Self::parse_all), with a result for each event: one broken envelope does not lose the others of a
    /// delivery.
    ///
    /// # Errors
    /// `InvalidInput` if the text as a whole is no JSON; per event, if its envelope is broken.
    pub fn parse_each(json: &[u8]) -> Result<Vec<Result<Self>>> {
        Ok(match parse_json(json)? {
            Value::Array(events) => (events.iter().enumerate())
                .map(|(at, event)| {
                    Self::from_value(event)
                        .map_err(|error| Error::invalid_input(format!("event [{at}]: {}", error.message())))
                })
                .collect(),
            event => vec![Self::from_value(&event)],
        })
    }

    /// Reads one event from JSON that is parsed already.
    ///
    /// # Errors
    /// `InvalidInput` if the envelope is neither of the Event Grid schema nor a CloudEvent.
    pub fn from_value(event: &Value) -> Result<Self> {
        let Value::Object(envelope) = event else {
            return Err(Error::invalid_input(format!("an event must be an object, not {}", type_name(event))));
        };
        let is_cloud_event = envelope.contains_key("specversion");
        let event_type = match envelope.get(if is_cloud_event { "type" } else { "eventType" }) {
            Some(Value::String(event_type)) => event_type,
            Some(other) => {
                return Err(Error::invalid_input(format!(
                    "the event's type must be a string, not {}",
                    type_name(other)
                )));
            }
            None if is_cloud_event => return Err(Error::invalid_input("`type` of the CloudEvent is missing")),
            None => {
                return Err(Error::invalid_input(
                    "`eventType` is missing, and it is no CloudEvent: `specversion` is missing",
                ));
            }
        };
        let encoded = envelope.get("data_base64").filter(|data| is_cloud_event && !data.is_null());
        let decoded = encoded.map(decode_data).transpose()?;
        let mut walk = Walk::new(event_type);
        if let Some(data) = decoded.as_ref().or_else(|| envelope.get("data")) {
            walk.run(data);
        }
        let (participants, rejected) = walk.finish();
        let id = envelope.get("id").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { event_type: event_type.clone(), id, participants, rejected })
    }

    /// The type, such as `Microsoft.Communication.ChatMessageReceived`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The ID of the event, if it has one. Event Grid may deliver an event twice, with the same ID.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Everyone in the event, each ACS ID once in each role.
    ///
    /// The order is always the same for the same event: by the names of the properties, byte by byte, on each level
    /// of `data`; the entries of an array as they stand.
    pub fn participants(&self) -> &[Participant] {
        &self.participants
    }

    /// What stands where an identifier should be and is none, in the same order; the others are not lost by it.
    pub fn rejected(&self) -> &[RejectedId] {
        &self.rejected
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The end tells most, and the names that ACS gives are longer than an excerpt.
        let is_name = |name: &str| {
            name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
        };
        let event_type: &dyn fmt::Debug =
            if is_name(&self.event_type) { &self.event_type } else { &Excerpt(self.event_type.as_bytes()) };
        f.debug_struct("Event")
            .field("event_type", event_type)
            .field("id", &self.id().map(|id| Excerpt(id.as_bytes())))
            .field("participants", &self.participants)
            .field("rejected", &self.rejected)
            .finish()
    }
}

fn parse_json(json: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(json).map_err(|error| {
        let at = error.valid_up_to();
        let line = 1 + json[..at].iter().filter(|byte| **byte == b'\n').count();
        Error::invalid_input(format!("not UTF-8 at byte {at}, line {line}"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(Error::invalid_input("there is no JSON: the input is empty"));
    }
    // The message names line and column, and repeats nothing of the text.
    serde_json::from_str(text).map_err(|error| Error::invalid_input(format!("not valid JSON: {error}")))
}

fn decode_data(data: &Value) -> Result<Value> {
    let json = data.as_str().and_then(|text| STANDARD.decode(text).ok());
    let json = json.ok_or_else(|| Error::invalid_input("`data_base64` is not base64"))?;
    parse_json(&json).map_err(|error| Error::invalid_input(format!("`data_base64`: {}", error.message())))
}

/// One ACS ID in an event, in one role.
#[derive(Clone, PartialEq, Eq)]
pub struct Participant {
    role: Role,
    acs_id: AcsId,
    display_name: Option<String>,
    mismatch: Option<Mismatch>,
}

impl Participant {
    /// In which role.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Who.
    pub fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    /// The name that goes with it in the event, if there is one. Users choose it themselves: it proves nothing.
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// Whether the identifier from which this was read contradicts itself, and how; as
    /// [`CommunicationIdentifierModel::mismatch`](crate::CommunicationIdentifierModel::mismatch) says. If the ID stands
    /// in this role more than once, the first contradiction.
    pub fn mismatch(&self) -> Option<Mismatch> {
        self.mismatch
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("role", &self.role)
            .field("acs_id", &self.acs_id)
            .field("display_name", &self.display_name().map(Redacted))
            .field("mismatch", &self.mismatch)
            .finish()
    }
}

/// A place in an event where an identifier should be, and why what stands there is none.
#[derive(Debug, Clone)]
pub struct RejectedId {
    path: String,
    reason: Error,
}

impl RejectedId {
    /// The place, such as `data.participants[3].participantCommunicationIdentifier`. A key that is not made of at most 40
    /// ASCII letters and `_` may be private data, and is shown by its length and a tag as [`Redacted`] does.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
    pub fn reason(&self) -> &Error {
        &self.reason
    }
}

impl fmt::Display for RejectedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason.message())
    }
}
