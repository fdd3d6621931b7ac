//! The two keys of every mapping: [`AcsId`] and [`CustomerId`].

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::redact::{Excerpt, Redacted};
use crate::text::Text;
use crate::wire::unquoted;
use crate::{CommunicationIdentifier, Error, IdentityType, Result};

/// The most bytes of an [`AcsId`] or a [`CustomerId`].
pub const MAX_ID_BYTES: usize = 512;

/// Checks the rule that both kinds of ID share: 1 to 512 bytes without control characters.
fn check(what: &str, text: &str) -> Result<()> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(Error::invalid_input(format!("{what} is empty")));
    }
    if bytes.len() > MAX_ID_BYTES {
        return Err(Error::invalid_input(format!(
            "{what} has {} bytes, more than {MAX_ID_BYTES}: {}",
            bytes.len(),
            Excerpt(bytes)
        )));
    }
    // Nearly every ID is printable ASCII. This loop has no early exit, so that it is compiled to vector instructions.
    if bytes.iter().fold(true, |plain, byte| plain & (0x20..=0x7e).contains(byte)) {
        return Ok(());
    }
    let control = text.char_indices().find(|(_, one)| one.is_control()).map(|(at, _)| at);
    match control {
        Some(at) => Err(Error::invalid_input(format!(
            "{what} has a control character at byte {at}: {}",
            Excerpt(&bytes[..=at])
        ))),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident($text:ty), $what:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name($text);

        impl $name {
            /// Checks and takes a text.
            ///
            /// # Errors
            /// `InvalidInput` if it is empty, longer than [`MAX_ID_BYTES`], or holds a control character.
            pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self> {
                check($what, text.as_ref())?;
                Ok(Self(Text::new(text)))
            }

            /// Checks bytes and takes them as a text.
            ///
            /// # Errors
            /// As [`new`](Self::new), and `InvalidInput` if they are not UTF-8.
            pub fn from_utf8(bytes: &[u8]) -> Result<Self> {
                let text = std::str::from_utf8(bytes).map_err(|error| {
                    let at = error.valid_up_to();
                    Error::invalid_input(format!(concat!($what, " is not UTF-8 at byte {}: {}"), at, Excerpt(bytes)))
                })?;
                Self::new(text)
            }

            /// The text itself, byte for byte as it was given. The only way to it: `Debug` does not show it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        // Not derived, so that `Hash` and `Eq` are `str`'s and a map can be asked with a `&str`.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                *self.0 == *other.0
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        /// By bytes.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.cmp(&other.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("the text of a valid ", $what))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor).map_err(unquoted)
            }
        }
    };
}

text_id! {
    /// The raw ID of an ACS identifier, kept byte for byte: the key of every mapping.
    ///
    /// Any text of 1 to 512 bytes without control characters is one; what it means is read from it by
    /// [`identifier`](Self::identifier) and never stored, since the reading has changed between
    /// releases of the official SDKs. Compared byte for byte: `4:+14255550123` and `4:14255550123` are
    /// two IDs (see [`same_phone_number`](Self::same_phone_number)). Cheap to clone. `Debug` shows the
    /// kind, the length and a tag, not the text, which may hold a phone number.
    ///
    /// ```
    /// use acs_identity_core::{AcsId, IdentityType};
    /// let id: AcsId = "8:acs:5c6d1a2b-0000-4000-8000-000000000001_00000008-578d-7caf-07fd-084822001724".parse()?;
    /// assert_eq!(id.identity_type(), IdentityType::User);
    /// assert_eq!(id.identifier().to_raw_id(), id.as_str());
    /// # Ok::<(), acs_identity_core::Error>(())
    /// ```
    // Those of communication users have 79 bytes, and 84 in the longest-named cloud.
    AcsId(Text<84>), "ACS ID"
}

impl AcsId {
    /// What kind of identifier this is, and its parts. Borrows from the ID and allocates nothing.
    pub fn identifier(&self) -> CommunicationIdentifier<'_> {
        CommunicationIdentifier::parse(&self.0)
    }

    /// Whether it is of a communication user: one that an ACS resource has made, and not a phone, a Teams user or a bot.
    pub fn is_communication_user(&self) -> bool {
        matches!(self.identifier(), CommunicationIdentifier::CommunicationUser { .. })
    }

    /// User, Pstn or Bot, as the draft groups the kinds.
    pub fn identity_type(&self) -> IdentityType {
        self.identifier().identity_type()
    }
}

impl fmt::Debug for AcsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcsId({} {})", self.identifier().kind(), Redacted(&self.0))
    }
}

text_id! {
    /// The application's own ID of a user: opaque UTF-8 of 1 to 512 bytes without control characters.
    ///
    /// Compared byte for byte: `Bob` and `bob` are two customers. Cheap to clone. `Debug` shows the
    /// length and a tag, not the text, which may be an e-mail address.
    ///
    /// ```
    /// use acs_identity_core::CustomerId;
    /// let bob: CustomerId = "bob@contoso.com".parse()?;
    /// assert!(!format!("{bob:?}").contains("bob"));
    /// assert_eq!(CustomerId::from(42_u64).as_str(), "42");
    /// # Ok::<(), acs_identity_core::Error>(())
    /// ```
    // A UUID has 36 bytes, and few e-mail addresses have more.
    CustomerId(Text<36>), "customer ID"
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerId({})", Redacted(&self.0))
    }
}

/// In decimal.
impl From<u64> for CustomerId {
    fn from(number: u64) -> Self {
        Self(Text::new(number.to_string()))
    }
}

/// In the usual lower-case form with hyphens.
#[cfg(feature = "uuid")]
impl From<uuid::Uuid> for CustomerId {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(Text::new(uuid.hyphenated().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_limits_are_one_and_512_bytes() {
        assert!(AcsId::new("x").is_ok());
        assert!(AcsId::new("é".repeat(256)).is_ok());
        for bad in [String::new(), "x".repeat(513), "x".repeat(10_000_000)] {
            let error = AcsId::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().len() < 160, "{error}");
        }
    }

    #[test]
    fn control_characters_are_refused_and_their_neighbours_are_not() {
        for bad in ["a\0", "\n", "a\u{1f}b", "\u{7f}", "\u{80}", "x\u{9f}"] {
            assert!(CustomerId::new(bad).is_err(), "{bad:?}");
        }
        for good in [" ", "~", "\u{a0}", "à", "\u{2028}", "🙂"] {
            assert!(CustomerId::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused_with_its_place() {
        let error = AcsId::from_utf8(b"8:acs:\xff").unwrap_err();
        assert!(error.to_string().contains("not UTF-8 at byte 6"), "{error}");
    }

    #[test]
    fn a_communication_user_is_one_of_a_resource() {
        let is_one = |id: &str| AcsId::new(id).unwrap().is_communication_user();
        assert!(
            ["8:acs:a_b", "8:gcch-acs:a_b", "8:dod-acs:a_b", "8:spool:a_b", "8:acs:a_wf_b_c"].into_iter().all(is_one)
        );
        assert!(
            !["8:acs:a_b_c", "8:orgid:u", "8:teamsvisitor:u", "4:+1425", "28:orgid:a", "48:x"].into_iter().any(is_one)
        );
    }

    #[test]
    fn a_set_can_be_asked_with_a_str() {
        let set: HashSet<AcsId> = [AcsId::new("8:acs:a_b").unwrap()].into();
        assert!(set.contains("8:acs:a_b"));
    }

    #[test]
    fn serde_checks() {
        assert_eq!(serde_json::from_str::<AcsId>(r#""8:acs:\u0061""#).unwrap().as_str(), "8:acs:a");
        assert!(serde_json::from_str::<AcsId>(r#""""#).is_err());
        assert!(serde_json::from_str::<CustomerId>(r#""a\nb""#).is_err());
        assert_eq!(serde_json::to_string(&CustomerId::from(7)).unwrap(), r#""7""#);
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn a_uuid_is_hyphenated() {
        assert_eq!(CustomerId::from(uuid::Uuid::nil()).as_str(), "00000000-0000-0000-0000-000000000000");
    }

    proptest! {
        #[test]
        fn exactly_the_texts_without_control_characters_are_taken(text in any::<String>()) {
            let legal = !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control);
            prop_assert_eq!(AcsId::new(text.as_str()).is_ok(), legal);
        }

        #[test]
        fn debug_never_shows_the_text(text in "[a-zA-Z0-9@.+]{6,40}") {
            let shown = format!("{:?} {:?}", AcsId::new(text.as_str()).unwrap(), CustomerId::new(text.as_str()).unwrap());
            prop_assert!(!shown.contains(&text));
        }
    }
}
