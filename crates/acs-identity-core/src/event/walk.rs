//! The walk over an event's data that finds the identifiers in it.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::name::{Holds, Name, is_bag, is_id, is_name, is_plain};
use super::{Participant, RejectedId, Role};
use crate::redact::Redacted;
use crate::wire::{OBJECTS, type_name};
use crate::{AcsId, CommunicationIdentifierModel, Error, Mismatch, Result};

/// How deep the walk goes, which is as deep as `serde_json` reads: a value made by hand may be deeper.
const MAX_DEPTH: usize = 128;

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
        self.step(Step::Property("data"), |walk| walk.value(Name::DATA, data, None));
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

    /// Visits the value of a property, or an entry of its array; `display_name` stands beside it.
    fn value(&mut self, name: Name<'a>, value: &'a Value, display_name: Option<&'a str>) {
        match value {
            Value::Null => {}
            Value::Array(entries) => {
                for (at, entry) in entries.iter().enumerate() {
                    self.step(Step::Index(at), |walk| walk.value(name, entry, None));
                }
            }
            Value::Object(map) => {
                let display_name = text(map, "displayName").or(display_name);
                let is_model = name.holds == Holds::Identifier
                    || map.get("rawId").is_some_and(Value::is_string)
                    || OBJECTS.iter().any(|object| map.get(*object).is_some_and(Value::is_object));
                if is_model {
                    self.model(name, value, display_name);
                }
                self.properties(name, map, is_model, display_name);
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => self.plain(name, value, display_name),
        }
    }

    /// Visits the properties of the object that is the value of `name` and belongs to the one called `display_name`.
    fn properties(
        &mut self,
        name: Name<'a>,
        map: &'a Map<String, Value>,
        is_model: bool,
        display_name: Option<&'a str>,
    ) {
        // `Map` keeps the order of the text or sorts, as another crate's features would have it.
        let mut sorted: Vec<_> = map.iter().collect();
        sorted.sort_unstable_by(|one, two| one.0.cmp(two.0));
        for (key, value) in sorted {
            let is_of_model = is_model && (key == "rawId" || OBJECTS.contains(&key.as_str()));
            let is_id = is_id(key);
            // An ID may end in anything.
            if is_of_model || (is_bag(key) && !is_id) {
                continue;
            }
            self.step(Step::Property(key), |walk| {
                if is_id && name.holds != Holds::Thing {
                    let display_name = value.as_object().and_then(|map| text(map, "displayName"));
                    walk.take(walk.role(name), AcsId::new(key.as_str()), display_name, None);
                }
                if !is_name(key) {
                    return walk.value(name.entry(), value, None);
                }
                let property = name.property(key, walk.is_sms);
                let beside = if property.stem == name.stem { display_name } else { walk.display_name(property, map) };
                walk.value(property, value, beside);
            });
        }
    }

    /// Takes an identifier model.
    fn model(&mut self, name: Name<'_>, value: &Value, display_name: Option<&str>) {
        match CommunicationIdentifierModel::from_value(value) {
            Ok(model) => self.take(self.role(name), Ok(model.acs_id().clone()), display_name, model.mismatch()),
            Err(reason) => self.reject(reason),
        }
    }

    /// Takes a plain value that is an ID, if by its name and its content it is one.
    fn plain(&mut self, name: Name<'_>, value: &Value, display_name: Option<&str>) {
        let id = match (name.holds, value.as_str()) {
            (Holds::Number, Some("")) => Err(Error::invalid_input("the phone number is empty")),
            (Holds::Number, Some(number)) => AcsId::new(format!("4:{number}")),
            (Holds::RawId, Some(text)) => AcsId::new(text),
            (Holds::Identifier | Holds::Anything, Some(text)) if is_id(text) => AcsId::new(text),
            (Holds::Identifier, _) => return self.model(name, value, display_name),
            (Holds::Anything | Holds::Thing, _) => return,
            (Holds::Number | Holds::RawId, None) => {
                Err(Error::invalid_input(format!("it must be a string, not {}", type_name(value))))
            }
        };
        self.take(self.role(name), id, display_name, None);
    }

    fn role(&self, name: Name<'_>) -> Role {
        match Role::of(name.stem) {
            Role::User if self.is_call => Role::Participant,
            role => role,
        }
    }

    /// The display name of whoever the property is, from the properties beside it.
    fn display_name(&self, name: Name<'_>, siblings: &'a Map<String, Value>) -> Option<&'a str> {
        text(siblings, &format!("{}DisplayName", name.stem)).or_else(|| match self.role(name) {
            Role::From => text(siblings, "callerDisplayName"),
            Role::Participant | Role::User => text(siblings, "displayName"),
            _ => None,
        })
    }

    fn take(&mut self, role: Role, id: Result<AcsId>, display_name: Option<&str>, mismatch: Option<Mismatch>) {
        let acs_id = match id {
            Ok(acs_id) => acs_id,
            Err(reason) => return self.reject(reason),
        };
        let at = *self.places.entry((role.clone(), acs_id.clone())).or_insert(self.participants.len());
        if at == self.participants.len() {
            self.participants.push(Participant { role, acs_id, display_name: None, mismatch: None });
        }
        let known = &mut self.participants[at];
        if known.display_name.is_none() {
            known.display_name = display_name.map(str::to_owned);
        }
        known.mismatch = known.mismatch.or(mismatch);
    }

    fn reject(&mut self, reason: Error) {
        let mut path = String::new();
        for step in &self.path {
            // Writing to a `String` cannot fail.
            let _ = match step {
                Step::Property(key) if path.is_empty() => write!(path, "{key}"),
                Step::Property(key) if is_plain(key) => write!(path, ".{key}"),
                Step::Property(key) => write!(path, "[{}]", Redacted(key)),
                Step::Index(at) => write!(path, "[{at}]"),
            };
        }
        self.rejected.push(RejectedId { path, reason });
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}
