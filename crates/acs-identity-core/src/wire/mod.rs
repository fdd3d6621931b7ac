//! The JSON form of an identifier, as the REST APIs, the SDKs and the events of ACS write it.

mod fields;
mod object;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::redact::Excerpt;
use crate::{AcsId, CommunicationIdentifier, Error, Result};

use fields::Fields;
pub(crate) use fields::{type_name, unquoted};
pub use object::IdentifierObject;
pub(crate) use object::OBJECTS;

/// An identifier as it stands in JSON; the model of the same name in ACS's REST specification.
///
/// Written exactly as the JavaScript SDK 2.5 writes it: `rawId`, then the object; `kind`, which only
/// responses need, comes first where [`with_kind`](Self::with_kind) asked for it or the input had it.
///
/// Read leniently, and checked whole while it is read, so that an [`AcsId`] always comes out:
/// - `null` is the same as absent, and other properties are ignored;
/// - a missing `isAnonymous` is `false` and a missing `cloud` is `public`, as the specification has it
///   (both SDKs refuse that for Teams users);
/// - more than one object is an error, and so is a required property that is missing or of a wrong type,
///   or an ID that no [`AcsId`] may be; the error names the property;
/// - `rawId` may be missing where the object says it all: not if there is no object, if `kind`
///   contradicts it, or if its cloud is one that this library does not know, since the raw ID of that
///   cannot be told (the SDKs silently take the public one);
/// - what contradicts itself is kept as it is, and [`mismatch`](Self::mismatch) reports it.
///
/// ```
/// use acs_identity_core::{AcsId, CommunicationIdentifierModel};
/// let model: CommunicationIdentifierModel = serde_json::from_str(r#"{"phoneNumber":{"value":"+14255550123"}}"#)?;
/// assert_eq!(model.acs_id().as_str(), "4:+14255550123");
///
/// let id: AcsId = "28:orgid:echo".parse()?;
/// assert_eq!(
///     serde_json::to_string(&CommunicationIdentifierModel::from(&id).with_kind())?,
///     r#"{"kind":"microsoftTeamsApp","rawId":"28:orgid:echo","microsoftTeamsApp":{"appId":"echo","cloud":"public"}}"#
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CommunicationIdentifierModel {
    kind: Option<String>,
    raw_id: Option<AcsId>,
    object: Option<IdentifierObject>,
    acs_id: AcsId,
}

impl CommunicationIdentifierModel {
    /// Reads it from JSON that is parsed already.
    pub(crate) fn from_value(value: &Value) -> Result<Self> {
        let fields = Fields::of_identifier(value)?;
        let mut present = OBJECTS.into_iter().filter(|name| fields.get(name).is_some());
        let object = present.next();
        if let (Some(one), Some(two)) = (object, present.next()) {
            return Err(Error::invalid_input(format!("`{one}` and `{two}` exclude each other")));
        }
        let kind = fields.text("kind")?.map(str::to_owned);
        let raw_id = fields.text("rawId")?.map(|text| legal("rawId", text)).transpose()?;
        let object = object.map(|name| IdentifierObject::from_fields(name, &fields.object(name)?)).transpose()?;
        Self::new(kind, raw_id, object)
    }

    fn new(kind: Option<String>, raw_id: Option<AcsId>, object: Option<IdentifierObject>) -> Result<Self> {
        let mut own = None;
        if let Some(object) = &object {
            let id = object.identifier().map(|typed| legal(object.kind(), typed.to_raw_id())).transpose()?;
            own = id.filter(|_| kind.as_deref().is_none_or(|kind| kind == object.kind()));
        }
        let acs_id = match (&raw_id, own) {
            // The ID of a communication user is its raw ID; of any other kind the given raw ID counts.
            (_, Some(own)) if matches!(object, Some(IdentifierObject::CommunicationUser { .. })) => own,
            (Some(raw_id), _) => raw_id.clone(),
            (None, Some(own)) => own,
            (None, None) => {
                return Err(Error::invalid_input(match object.as_ref().map(IdentifierObject::identifier) {
                    None => "`rawId` is missing, and no object stands for it",
                    Some(Some(_)) => "`rawId` is missing, and `kind` is not that of the object",
                    Some(None) => "`rawId` is missing, and `cloud` is none whose raw IDs are known",
                }));
            }
        };
        Ok(Self { kind, raw_id, object, acs_id })
    }

    /// The same with `kind` filled in, as ACS's responses have it; one that is there is kept.
    #[must_use]
    pub fn with_kind(mut self) -> Self {
        let kind = self.object.as_ref().map_or("unknown", IdentifierObject::kind);
        self.kind.get_or_insert_with(|| kind.to_owned());
        self
    }

    /// The kind, as given.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The raw ID, as given.
    pub fn raw_id(&self) -> Option<&AcsId> {
        self.raw_id.as_ref()
    }

    /// The object, as given but for its defaults.
    pub fn object(&self) -> Option<&IdentifierObject> {
        self.object.as_ref()
    }

    /// The ID that this identifier has: the `id` of a communication user, else `rawId`, else the raw ID
    /// that the SDKs make of the object.
    pub fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    /// What this identifier says, as the JavaScript and .NET SDKs agree.
    ///
    /// The kind is the given one, else that of the object. It is `Unknown` with the raw ID where there is
    /// no object (even if the raw ID would tell more: ask [`acs_id`](Self::acs_id) for that), where
    /// `kind` contradicts the object or is none that the SDKs know, and, unlike in the SDKs, where
    /// the cloud is one that [`CloudEnvironment`](crate::CloudEnvironment) cannot hold.
    pub fn identifier(&self) -> CommunicationIdentifier<'_> {
        let object = self.object.as_ref().filter(|object| self.kind().is_none_or(|kind| kind == object.kind()));
        // Without a usable object there is a raw ID, and it is `acs_id`.
        let unknown = CommunicationIdentifier::Unknown { id: self.acs_id.as_str() };
        object.and_then(IdentifierObject::identifier).unwrap_or(unknown)
    }

    /// Whether this identifier contradicts itself; of two contradictions, that of the kind.
    pub fn mismatch(&self) -> Option<Mismatch> {
        let kinds_agree = match (self.kind(), &self.object) {
            (Some(kind), Some(object)) => kind == object.kind(),
            (Some(kind), None) => !OBJECTS.contains(&kind),
            (None, _) => true,
        };
        if !kinds_agree {
            return Some(Mismatch::Kind);
        }
        let agrees = self.object.as_ref()?.agrees_with(self.raw_id().unwrap_or(&self.acs_id));
        (!agrees).then_some(Mismatch::RawId)
    }
}

/// Without `kind`, as the SDKs' serialisers write it.
impl From<&AcsId> for CommunicationIdentifierModel {
    fn from(id: &AcsId) -> Self {
        let object = IdentifierObject::of(&id.identifier());
        Self { kind: None, raw_id: Some(id.clone()), object, acs_id: id.clone() }
    }
}

impl From<&CommunicationIdentifierModel> for AcsId {
    fn from(model: &CommunicationIdentifierModel) -> Self {
        model.acs_id.clone()
    }
}

impl<'de> Deserialize<'de> for CommunicationIdentifierModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Taken apart by hand, since the messages of serde repeat a text of a wrong type whole.
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(|error| serde::de::Error::custom(error.message()))
    }
}

/// What both serialisers write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Form<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    raw_id: &'a str,
    #[serde(flatten)]
    object: Option<&'a IdentifierObject>,
}

impl Serialize for CommunicationIdentifierModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw_id = self.raw_id.as_ref().unwrap_or(&self.acs_id).as_str();
        Form { kind: self.kind(), raw_id, object: self.object() }.serialize(serializer)
    }
}

/// As [`CommunicationIdentifierModel`] without `kind`.
impl Serialize for CommunicationIdentifier<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = IdentifierObject::of(self);
        Form { kind: None, raw_id: &self.to_raw_id(), object: object.as_ref() }.serialize(serializer)
    }
}

impl fmt::Debug for CommunicationIdentifierModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommunicationIdentifierModel")
            .field("kind", &self.kind().map(|kind| Excerpt(kind.as_bytes())))
            .field("raw_id", &self.raw_id)
            .field("object", &self.object)
            .finish()
    }
}

/// How an identifier contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mismatch {
    /// `kind` is not that of the object, or names an object that is not there.
    Kind,
    /// `rawId`, or what the SDKs make of the object in its place, does not say what the object says: it is not the raw
    /// ID that they make of it, it has another asserted ID, or it does not bear out that the number is anonymous.
    /// Where they make none, since the cloud is unknown, it is of another kind or does not end in the object's IDs.
    RawId,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "the kind is not that of the object",
            Self::RawId => "the raw ID does not say what the object says",
        })
    }
}

/// Checks the rule of [`AcsId`], with the name of the property in the error.
fn legal(property: &str, text: impl AsRef<str> + Into<Arc<str>>) -> Result<AcsId> {
    AcsId::new(text).map_err(|error| Error::invalid_input(format!("`{property}`: {}", error.message())))
}
