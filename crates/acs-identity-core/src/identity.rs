//! The draft's `IIdentity`: a user, a phone number or a bot, and who is behind it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::redact::Redacted;
use crate::{
    AcsId, CloudEnvironment, CommunicationIdentifier, CustomerId, Error, IdentityMap, IdentityType, MappingStoreExt,
    Result,
};

/// A user, a phone number or a bot, as the application addresses it or as ACS hands it out.
///
/// Made by one of the constructors here or by an [`IdentityMap`]. Who is behind a user is asked of the map that the
/// identity is bound to, and only when [`identity`](Self::identity) is called. Two identities are equal if they are
/// of the same key (the customer ID, or the ACS ID), whatever map they are bound to. Cheap to clone.
///
/// ```
/// use acs_identity_core::{Identity, IdentityType};
/// let pstn = Identity::pstn("+14259871234")?;
/// assert_eq!(pstn.identity_type(), IdentityType::Pstn);
/// assert_eq!(pstn, Identity::from_acs_id("4:+14259871234".parse()?));
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    key: Key,
    map: Option<IdentityMap>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A user by the application's own ID.
    Customer(CustomerId),
    /// Anything by its ACS ID; what it is, is read from that.
    Acs(AcsId),
}

/// Who is behind an [`Identity`]. `Debug` shows no text; [`as_str`](Self::as_str) does.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityValue {
    /// A user of the application.
    Customer(CustomerId),
    /// A phone number as ACS writes it, with or without `+`, and with the tail by which ACS tells apart several legs of
    /// one number in a call.
    Phone(Arc<str>),
    /// A bot.
    Bot {
        /// Its application ID.
        app_id: Arc<str>,
        /// The cloud in which it lives.
        cloud: CloudEnvironment,
    },
}

impl IdentityValue {
    /// The customer ID, the phone number or the application ID.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Customer(customer) => customer.as_str(),
            Self::Phone(number) => number,
            Self::Bot { app_id, .. } => app_id,
        }
    }
}

impl fmt::Debug for IdentityValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(customer) => customer.fmt(f),
            Self::Phone(number) => write!(f, "Phone({})", Redacted(number)),
            Self::Bot { app_id, cloud } => write!(f, "Bot({} in {})", Redacted(app_id), cloud.as_str()),
        }
    }
}

impl Identity {
    /// A user, by the application's own ID: a text, a [`CustomerId`], a number.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a legal customer ID.
    pub fn user(customer: impl TryInto<CustomerId, Error: Into<Error>>) -> Result<Self> {
        Ok(Self { key: Key::Customer(customer.try_into().map_err(Into::into)?), map: None })
    }

    /// A phone number. It is taken as it is: ACS does not ask for E.164, and a number with `+` is another one than
    /// without. Its ACS ID is `4:` and the number.
    ///
    /// # Errors
    /// `InvalidInput` if it is empty, too long, or has a control character.
    pub fn pstn(number: &str) -> Result<Self> {
        if number.is_empty() {
            return Err(Error::invalid_input("a phone number is empty"));
        }
        Ok(Self::from_acs_id(AcsId::new(format!("4:{number}"))?))
    }

    /// A bot of the public cloud, by its application ID. Its ACS ID is `28:orgid:` and the application ID.
    ///
    /// # Errors
    /// `InvalidInput` if it is empty, too long, or has a `:` or a control character.
    pub fn bot(app_id: &str) -> Result<Self> {
        Self::bot_in(app_id, CloudEnvironment::Public)
    }

    /// A bot of some cloud, by its application ID.
    ///
    /// # Errors
    /// As [`bot`](Self::bot).
    pub fn bot_in(app_id: &str, cloud: CloudEnvironment) -> Result<Self> {
        if app_id.is_empty() || app_id.contains(':') {
            // With a further colon it would read as an unknown identifier, not as a bot.
            return Err(Error::invalid_input("an application ID is not empty and has no colon"));
        }
        let raw_id = CommunicationIdentifier::MicrosoftTeamsApp { app_id, cloud }.to_raw_id();
        Ok(Self::from_acs_id(AcsId::new(&*raw_id)?))
    }

    /// An identity as ACS hands it out, in an event or a roster.
    pub fn from_acs_id(id: AcsId) -> Self {
        Self { key: Key::Acs(id), map: None }
    }

    /// The same identity, resolved by this map.
    #[must_use]
    pub fn bound_to(mut self, map: &IdentityMap) -> Self {
        self.map = Some(map.clone());
        self
    }

    /// User, Pstn or Bot; Unknown for an ACS ID of a kind that is not known.
    pub fn identity_type(&self) -> IdentityType {
        match &self.key {
            Key::Customer(_) => IdentityType::User,
            Key::Acs(id) => id.identity_type(),
        }
    }

    /// The ACS ID, if the identity was made from one or has one by its kind; not of a user that was made from a
    /// customer ID, which may have several: see [`acs_ids`](Self::acs_ids).
    pub fn acs_id(&self) -> Option<&AcsId> {
        match &self.key {
            Key::Customer(_) => None,
            Key::Acs(id) => Some(id),
        }
    }

    /// Who is behind it: the customer, the phone number or the bot. `None` for an ACS ID that is not mapped, and for an
    /// anonymous caller.
    ///
    /// Phone numbers, bots and users made from a customer ID are answered at once, with no I/O. A user's ACS ID is asked
    /// of the resolver, and so is one of an unknown kind, which may be a kind of user that is newer than this library.
    /// May be cancelled at any point.
    ///
    /// It does not say whether the answer is [stale](crate::Freshness::Stale), as a cache may be set up to answer during an outage: ask
    /// [`IdentityMap::resolve`] where that matters.
    ///
    /// # Errors
    /// `Unsupported` if the resolver would have to be asked and the identity is not bound to a map; the resolver's error.
    pub async fn identity(&self) -> Result<Option<IdentityValue>> {
        let id = match &self.key {
            Key::Customer(customer) => return Ok(Some(IdentityValue::Customer(customer.clone()))),
            Key::Acs(id) => id,
        };
        match id.identifier() {
            CommunicationIdentifier::PhoneNumber { is_anonymous: true, .. } => Ok(None),
            CommunicationIdentifier::PhoneNumber { value, .. } => Ok(Some(IdentityValue::Phone(value.into()))),
            CommunicationIdentifier::MicrosoftTeamsApp { app_id, cloud } => {
                Ok(Some(IdentityValue::Bot { app_id: app_id.into(), cloud }))
            }
            _ => {
                let found = self.map()?.resolve(id).await?;
                Ok(found.map(|resolution| IdentityValue::Customer(resolution.customer_id().clone())))
            }
        }
    }

    /// The ACS IDs by which it can be addressed. Of an identity that was made from an ACS ID, and of a phone number or a
    /// bot, that one, with no I/O; of a customer, those that the store has, oldest first. May be cancelled at any point.
    ///
    /// # Errors
    /// `Unsupported` for a customer if the identity is not bound to a map that has a store; the store's error.
    pub async fn acs_ids(&self) -> Result<Vec<AcsId>> {
        match &self.key {
            Key::Acs(id) => Ok(vec![id.clone()]),
            Key::Customer(customer) => {
                let store = self.map()?.store().ok_or_else(|| {
                    Error::unsupported(
                        "the ACS IDs of a customer are known to a store, and this map has only a resolver",
                    )
                })?;
                let mappings = store.all_mappings_of(customer).await?;
                Ok(mappings.into_iter().map(|mapping| mapping.acs_id).collect())
            }
        }
    }

    fn map(&self) -> Result<&IdentityMap> {
        self.map.as_ref().ok_or_else(|| Error::unsupported("the identity is not bound to a map"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Key::Customer(customer) => write!(f, "Identity({customer:?})"),
            Key::Acs(id) => write!(f, "Identity({id:?})"),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// `{"type":"User","customerId":…}` or `{"type":…,"acsId":…}`.
impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Identity", 2)?;
        object.serialize_field("type", &self.identity_type())?;
        match &self.key {
            Key::Customer(customer) => object.serialize_field("customerId", customer)?,
            Key::Acs(id) => object.serialize_field("acsId", id)?,
        }
        object.end()
    }
}
