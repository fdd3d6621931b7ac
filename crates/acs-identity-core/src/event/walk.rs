//! The walk over an event's data that finds the identifiers in it.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::{Participant, RejectedId, Role};
use crate::redact::Excerpt;
use crate::wire::{OBJECTS, type_name};
use crate::{AcsId, CommunicationIdentifierModel, Error, IdentityType, Result};

/// How deep the walk goes, which is as deep as `serde_json` reads: a value made by hand may be deeper.
const MAX_DEPTH: usize = 128;

/// What a sender or an application may fill as it likes; compared without case.
const FREE_FORM: [&str; 11] = [
    "metadata",
    "properties",
    "customContext",
    "customCallingContext",
    "messageBody",
    "message",
    "body",
    "content",
    "tag",
    "tags",
    "labels",
];

/// The properties that hold a raw ID and nothing else, so that an ID of an unknown kind is one too.
const RAW_IDS: [&str; 9] =
    ["senderId", "recipientId", "createdBy", "deletedBy", "editedBy", "addedBy", "removedBy", "updatedBy", "memberId"];

/// One step of the way to a value.
enum Step<'a> {
    Property(&'a str),
    Index(usize),
}

pub(super) struct Walk<'a> {
    is_call: bool,
    is_sms: bool,
    path: Vec<Step<'a>>,
    participants: Vec<Participant>,
    places: HashMap<(Role, AcsId), usize>,
    rejected: Vec<RejectedId>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(event_type: &str) -> Self {
        let name = event_type.rsplit('.').next().unwrap_or_default();
        Self {
            is_call: name.starts_with("Call"),
            is_sms: name.starts_with("SMS"),
            path: Vec::new(),
            participants: Vec::new(),
            places: HashMap::new(),
            rejected: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, data: &'a Value) {
        self.step(Step::Property("data"), |walk| walk.value("data", data, None));
    }

    pub(super) fn finish(self) -> (Vec<Participant>, Vec<RejectedId>) {
        (self.participants, self.rejected)
    }

    fn step(&mut self, step: Step<'a>, visit: impl FnOnce(&mut Self)) {
        self.path.push(step);
        if self.path.len() > MAX_DEPTH {
            self.reject(Error::invalid_input(format!("nested more than {MAX_DEPTH} deep")));
        } else {
            visit(self);
        }
        self.path.pop();
    }

    /// Visits the value of the property `name`, which stands beside `siblings`; or an entry of its array, which stands alone.
    fn value(&mut self, name: &'a str, value: &'a Value, siblings: Option<&'a Map<String, Value>>) {
        match value {
            Value::Null => {}
            Value::Array(entries) => {
                for (at, entry) in entries.iter().enumerate() {
                    self.step(Step::Index(at), |walk| walk.value(name, entry, None));
                }
            }
            Value::Object(map) => {
                let role = self.role(name);
                let display_name = text(map, "displayName").or_else(|| display_name(name, &role, siblings));
                let is_identifier = map.get("rawId").is_some_and(Value::is_string)
                    || OBJECTS.iter().any(|object| map.get(*object).is_some_and(Value::is_object));
                if is_identifier {
                    self.identifier(role, value, display_name);
                }
                self.properties(name, map, display_name);
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => self.raw_id(name, value, siblings),
        }
    }

    /// Visits the properties of the object that is the value of `name` and belongs to the one called `display_name`.
    fn properties(&mut self, name: &'a str, map: &'a Map<String, Value>, display_name: Option<&'a str>) {
        // `Map` keeps the order of the text or sorts, as another crate's features would have it.
        let mut sorted: Vec<_> = map.iter().collect();
        sorted.sort_unstable_by(|one, two| one.0.cmp(two.0));
        for (key, value) in sorted {
            let is_free_form = FREE_FORM.iter().any(|free| free.eq_ignore_ascii_case(key));
            let is_of_model = key == "rawId" || OBJECTS.contains(&key.as_str());
            if is_free_form || is_of_model {
                continue;
            }
            self.step(Step::Property(key), |walk| {
                if !is_name(key) {
                    // A table whose keys are data, perhaps IDs: its entries have the role of the table.
                    walk.value(name, value, None);
                } else if key == "communicationIdentifier" {
                    walk.identifier(walk.role(name), value, display_name);
                } else if let Some(stem) = key.strip_suffix("CommunicationIdentifier") {
                    let role = walk.role(stem);
                    let display_name = self::display_name(stem, &role, Some(map));
                    walk.identifier(role, value, display_name);
                } else {
                    walk.value(key, value, Some(map));
                }
            });
        }
    }

    /// Takes a model that stands where an identifier must be.
    fn identifier(&mut self, role: Role, value: &Value, display_name: Option<&str>) {
        if !value.is_null() {
            let model = CommunicationIdentifierModel::from_value(value);
            self.take(role, model.map(|model| model.acs_id().clone()), display_name);
        }
    }

    /// Takes a text that is a raw ID, if by its name and its content it is one.
    fn raw_id(&mut self, name: &str, value: &Value, siblings: Option<&Map<String, Value>>) {
        let number = match name {
            "from" | "From" if self.is_sms => Some("from"),
            "to" | "To" if self.is_sms => Some("to"),
            _ => None,
        };
        let Some(stem) = number.or_else(|| raw_id_stem(name)) else { return };
        let id = match value.as_str() {
            Some("") if number.is_some() => Err(Error::invalid_input("the phone number is empty")),
            Some(text) if number.is_some() => AcsId::new(format!("4:{text}")),
            Some(text) => AcsId::new(text),
            None => Err(Error::invalid_input(format!("it must be a string, not {}", type_name(value)))),
        };
        let is_known = id.as_ref().is_ok_and(|id| id.identity_type() != IdentityType::Unknown);
        if is_known || number.is_some() || RAW_IDS.contains(&name) {
            let role = self.role(stem);
            let display_name = display_name(stem, &role, siblings);
            self.take(role, id, display_name);
        }
    }

    fn role(&self, name: &str) -> Role {
        match Role::of(name) {
            Role::User if self.is_call => Role::Participant,
            role => role,
        }
    }

    fn take(&mut self, role: Role, id: Result<AcsId>, display_name: Option<&str>) {
        let acs_id = match id {
            Ok(acs_id) => acs_id,
            Err(reason) => return self.reject(reason),
        };
        let at = *self.places.entry((role.clone(), acs_id.clone())).or_insert(self.participants.len());
        if at == self.participants.len() {
            self.participants.push(Participant { role, acs_id, display_name: None });
        }
        let known = &mut self.participants[at].display_name;
        if known.is_none() {
            *known = display_name.map(str::to_owned);
        }
    }

    fn reject(&mut self, reason: Error) {
        let mut path = String::new();
        for step in &self.path {
            // Writing to a `String` cannot fail.
            let _ = match step {
                Step::Property(key) if path.is_empty() => write!(path, "{key}"),
                Step::Property(key) if is_name(key) => write!(path, ".{key}"),
                Step::Property(key) => write!(path, "[{}]", Excerpt(key.as_bytes())),
                Step::Index(at) => write!(path, "[{at}]"),
            };
        }
        self.rejected.push(RejectedId { path, reason });
    }
}

/// Whether a key is the name of a property, and not data.
fn is_name(key: &str) -> bool {
    key.len() <= 64 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Of the name of a property that may hold a raw ID as a plain text, the part that tells the role.
fn raw_id_stem(name: &str) -> Option<&str> {
    let stem = ["RawIds", "RawId", "Ids", "Id"].iter().find_map(|suffix| name.strip_suffix(suffix));
    let whole = || (name.ends_with("By") || Role::of(name) == Role::Participant).then_some(name);
    stem.filter(|stem| !stem.is_empty()).or_else(whole)
}

/// The display name of whoever the property of this role and stem is, from the properties beside it.
fn display_name<'a>(stem: &str, role: &Role, siblings: Option<&'a Map<String, Value>>) -> Option<&'a str> {
    let siblings = siblings?;
    text(siblings, &format!("{stem}DisplayName")).or_else(|| match role {
        Role::From => text(siblings, "callerDisplayName"),
        Role::Participant | Role::User => text(siblings, "displayName"),
        _ => None,
    })
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}
