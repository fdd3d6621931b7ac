//! Who is in an event: the ACS IDs that an Event Grid event or a CloudEvent of ACS holds.

mod role;
mod walk;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::redact::Redacted;
use crate::wire::type_name;
use crate::{AcsId, Error, Result};

pub use role::Role;
use walk::Walk;

/// An event of ACS, and the identifiers in it.
///
/// Events are taken in the Event Grid schema and as CloudEvents 1.0. Which types of events there are does
/// not matter: one walk over `data` finds the identifiers of all, also of types made later. It takes
/// - what stands as an identifier model: in `senderCommunicationIdentifier` and all that are named alike,
///   in `{"communicationIdentifier": {…}, "role": …}`, or in a property of any name;
/// - raw IDs as plain texts: `senderId`, `recipientId`, `createdBy`, `memberId` and their like whatever
///   they hold, and other properties whose names end in `Id`, `RawId` or `By` if they hold an ID of a known kind
///   (so no message, thread or call is taken for a person);
/// - `from` and `to` of SMS events, in both capitalisations: `4:` and the number exactly as received,
///   with or without `+` (see [`AcsId::same_phone_number`]).
///
/// It never looks into what a sender can fill as he likes (`metadata`, `properties`, `customContext`,
/// message bodies, tags): nobody can become a participant by writing an ID there. `subject` is not read
/// either; it repeats what `data` says.
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
#[derive(Debug, Clone)]
pub struct Event {
    event_type: String,
    id: Option<String>,
    participants: Vec<Participant>,
    rejected: Vec<RejectedId>,
}

impl Event {
    /// Reads JSON text that holds one event or an array of events, as a webhook or a queue delivers it.
    ///
    /// # Errors
    /// `InvalidInput`, with the place: the byte where it is not UTF-8, the line and column where it is not
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

fn parse_json(json: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(json)
        .map_err(|error| Error::invalid_input(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
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
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("role", &self.role)
            .field("acs_id", &self.acs_id)
            .field("display_name", &self.display_name().map(Redacted))
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
    /// The place, such as `data.participants[3].participantCommunicationIdentifier`.
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
