//! What an ACS ID says: the kinds of identifier, read from the raw ID and written back to it.

use std::borrow::Cow;
use std::fmt;

use crate::redact::Redacted;
use crate::{CloudEnvironment, IdentityType};

/// The typed reading of an [`AcsId`](crate::AcsId), borrowed from it: always derived, never stored.
///
/// The names are those of the official SDKs (`CommunicationIdentifier` and its kinds). An ID is read
/// exactly as `@azure/communication-common` 2.5 and `Azure.Communication.Common` read it where the two
/// agree: upper and lower case differ, nothing is trimmed, no part has to be a GUID, and a phone number
/// need not be E.164. A later SDK may read the same raw ID as another kind (three-part `8:acs:` IDs have
/// changed so), which is why the raw ID is the key and this is not.
///
/// Where the two SDKs disagree, the reading loses nothing:
/// - an empty part is kept: `8:orgid:`, `28:dod:`, `8:acs:a_b_` and `4:` are typed, with an empty text in
///   them, as in JavaScript; .NET throws;
/// - the cloud of a Teams visitor, which its raw ID does not tell, is [`CloudEnvironment::Public`] as in
///   .NET; JavaScript leaves it unset;
/// - `4:x_` has no asserted ID, as in JavaScript.
///
/// `Debug` shows the kind, the cloud and the flags, but of the texts only length and tag.
///
/// ```
/// use acs_identity_core::{AcsId, CloudEnvironment, CommunicationIdentifier};
/// let id = AcsId::new("28:dod:01234567-89ab-cdef-0123-456789abcdef")?;
/// let CommunicationIdentifier::MicrosoftTeamsApp { app_id, cloud } = id.identifier() else { panic!() };
/// assert_eq!((app_id, cloud), ("01234567-89ab-cdef-0123-456789abcdef", CloudEnvironment::Dod));
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommunicationIdentifier<'a> {
    /// A user of an ACS resource: `8:acs:`, `8:dod-acs:`, `8:gcch-acs:`, `8:spool:`.
    CommunicationUser {
        /// The whole raw ID.
        id: &'a str,
    },
    /// A telephone number: `4:`.
    PhoneNumber {
        /// Everything after `4:`, as it is: a `+` is neither added nor taken away, and the tail with the
        /// asserted ID is part of it.
        value: &'a str,
        /// Whether the caller withheld the number: the raw ID is exactly `4:anonymous`.
        is_anonymous: bool,
        /// What tells apart several legs of one number in a call: the text after the last `_`, if there is any.
        asserted_id: Option<&'a str>,
    },
    /// A user of Microsoft Teams: `8:orgid:`, `8:dod:`, `8:gcch:`, `8:teamsvisitor:`.
    MicrosoftTeamsUser {
        /// The object ID in Entra ID, or the ID of the visit of an anonymous user.
        user_id: &'a str,
        /// Whether this is a visitor who did not sign in.
        is_anonymous: bool,
        /// The cloud of the user.
        cloud: CloudEnvironment,
    },
    /// An application in Microsoft Teams, such as a bot: `28:orgid:`, `28:dod:`, `28:gcch:`.
    MicrosoftTeamsApp {
        /// The ID of the application.
        app_id: &'a str,
        /// The cloud of the application.
        cloud: CloudEnvironment,
    },
    /// A Teams user who calls through an ACS resource (Teams Phone extensibility): an `8:acs:`,
    /// `8:dod-acs:` or `8:gcch-acs:` ID whose rest has exactly three parts between `_`.
    TeamsExtensionUser {
        /// The object ID of the user in Entra ID.
        user_id: &'a str,
        /// The tenant of the user.
        tenant_id: &'a str,
        /// The ACS resource.
        resource_id: &'a str,
        /// The cloud of the user.
        cloud: CloudEnvironment,
    },
    /// Anything else.
    Unknown {
        /// The whole raw ID.
        id: &'a str,
    },
}

impl<'a> CommunicationIdentifier<'a> {
    /// Reads a raw ID.
    pub(crate) fn parse(raw_id: &'a str) -> Self {
        if let Some(value) = raw_id.strip_prefix("4:") {
            return Self::phone_number(value);
        }
        // The SDKs ask for exactly three parts between colons. What follows the last colon holds none, and
        // each of the prefixes below holds one, so a match has three parts.
        let (prefix, rest) = raw_id.rsplit_once(':').unwrap_or_default();
        match prefix {
            "8:acs" => Self::acs_user(raw_id, rest, CloudEnvironment::Public),
            "8:dod-acs" => Self::acs_user(raw_id, rest, CloudEnvironment::Dod),
            "8:gcch-acs" => Self::acs_user(raw_id, rest, CloudEnvironment::Gcch),
            "8:spool" => Self::CommunicationUser { id: raw_id },
            "8:orgid" => Self::teams_user(rest, false, CloudEnvironment::Public),
            "8:dod" => Self::teams_user(rest, false, CloudEnvironment::Dod),
            "8:gcch" => Self::teams_user(rest, false, CloudEnvironment::Gcch),
            "8:teamsvisitor" => Self::teams_user(rest, true, CloudEnvironment::Public),
            "28:orgid" => Self::MicrosoftTeamsApp { app_id: rest, cloud: CloudEnvironment::Public },
            "28:dod" => Self::MicrosoftTeamsApp { app_id: rest, cloud: CloudEnvironment::Dod },
            "28:gcch" => Self::MicrosoftTeamsApp { app_id: rest, cloud: CloudEnvironment::Gcch },
            _ => Self::Unknown { id: raw_id },
        }
    }

    fn phone_number(value: &'a str) -> Self {
        let asserted_id = value.rsplit_once('_').map(|(_, tail)| tail).filter(|tail| !tail.is_empty());
        Self::PhoneNumber { value, is_anonymous: value == "anonymous", asserted_id }
    }

    fn acs_user(raw_id: &'a str, rest: &'a str, cloud: CloudEnvironment) -> Self {
        let mut parts = rest.split('_');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(resource_id), Some(tenant_id), Some(user_id), None) => {
                Self::TeamsExtensionUser { user_id, tenant_id, resource_id, cloud }
            }
            _ => Self::CommunicationUser { id: raw_id },
        }
    }

    fn teams_user(user_id: &'a str, is_anonymous: bool, cloud: CloudEnvironment) -> Self {
        Self::MicrosoftTeamsUser { user_id, is_anonymous, cloud }
    }

    /// The raw ID of this identifier, by the rules of the SDKs.
    ///
    /// The inverse of [`AcsId::identifier`](crate::AcsId::identifier): `id.identifier().to_raw_id()` is
    /// `id`, of every ID. Of an identifier put together by hand: the flags of a phone number are not in its
    /// raw ID, and an anonymous Teams user is `8:teamsvisitor:` in every cloud.
    ///
    /// ```
    /// use acs_identity_core::{AcsId, CommunicationIdentifier, CloudEnvironment};
    /// let app = CommunicationIdentifier::MicrosoftTeamsApp { app_id: "echo", cloud: CloudEnvironment::Public };
    /// assert_eq!(AcsId::new(app.to_raw_id())?.as_str(), "28:orgid:echo");
    /// # Ok::<(), acs_identity_core::Error>(())
    /// ```
    pub fn to_raw_id(&self) -> Cow<'a, str> {
        use CloudEnvironment::{Dod, Gcch, Public};
        match *self {
            Self::CommunicationUser { id } | Self::Unknown { id } => Cow::Borrowed(id),
            Self::PhoneNumber { value, .. } => Cow::Owned(format!("4:{value}")),
            Self::MicrosoftTeamsUser { user_id, is_anonymous, cloud } => {
                let prefix = match cloud {
                    _ if is_anonymous => "8:teamsvisitor",
                    Public => "8:orgid",
                    Dod => "8:dod",
                    Gcch => "8:gcch",
                };
                Cow::Owned(format!("{prefix}:{user_id}"))
            }
            Self::MicrosoftTeamsApp { app_id, cloud } => {
                let prefix = match cloud {
                    Public => "28:orgid",
                    Dod => "28:dod",
                    Gcch => "28:gcch",
                };
                Cow::Owned(format!("{prefix}:{app_id}"))
            }
            Self::TeamsExtensionUser { user_id, tenant_id, resource_id, cloud } => {
                let prefix = match cloud {
                    Public => "8:acs",
                    Dod => "8:dod-acs",
                    Gcch => "8:gcch-acs",
                };
                Cow::Owned(format!("{prefix}:{resource_id}_{tenant_id}_{user_id}"))
            }
        }
    }

    /// The name of the kind on the wire, such as `communicationUser`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CommunicationUser { .. } => "communicationUser",
            Self::PhoneNumber { .. } => "phoneNumber",
            Self::MicrosoftTeamsUser { .. } => "microsoftTeamsUser",
            Self::MicrosoftTeamsApp { .. } => "microsoftTeamsApp",
            Self::TeamsExtensionUser { .. } => "teamsExtensionUser",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// User, Pstn or Bot, as the draft groups the kinds.
    pub const fn identity_type(&self) -> IdentityType {
        match self {
            Self::CommunicationUser { .. } | Self::MicrosoftTeamsUser { .. } | Self::TeamsExtensionUser { .. } => {
                IdentityType::User
            }
            Self::PhoneNumber { .. } => IdentityType::Pstn,
            Self::MicrosoftTeamsApp { .. } => IdentityType::Bot,
            Self::Unknown { .. } => IdentityType::Unknown,
        }
    }
}

impl fmt::Debug for CommunicationIdentifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CommunicationUser { id } => f.debug_struct("CommunicationUser").field("id", &Redacted(id)).finish(),
            Self::PhoneNumber { value, is_anonymous, asserted_id } => f
                .debug_struct("PhoneNumber")
                .field("value", &Redacted(value))
                .field("is_anonymous", &is_anonymous)
                .field("asserted_id", &asserted_id.map(Redacted))
                .finish(),
            Self::MicrosoftTeamsUser { user_id, is_anonymous, cloud } => f
                .debug_struct("MicrosoftTeamsUser")
                .field("user_id", &Redacted(user_id))
                .field("is_anonymous", &is_anonymous)
                .field("cloud", &cloud)
                .finish(),
            Self::MicrosoftTeamsApp { app_id, cloud } => {
                f.debug_struct("MicrosoftTeamsApp").field("app_id", &Redacted(app_id)).field("cloud", &cloud).finish()
            }
            Self::TeamsExtensionUser { user_id, tenant_id, resource_id, cloud } => f
                .debug_struct("TeamsExtensionUser")
                .field("user_id", &Redacted(user_id))
                .field("tenant_id", &Redacted(tenant_id))
                .field("resource_id", &Redacted(resource_id))
                .field("cloud", &cloud)
                .finish(),
            Self::Unknown { id } => f.debug_struct("Unknown").field("id", &Redacted(id)).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_empty_text_is_unknown_and_an_illegal_acs_id() {
        assert_eq!(CommunicationIdentifier::parse(""), CommunicationIdentifier::Unknown { id: "" });
        assert!(crate::AcsId::new("").is_err());
    }

    #[test]
    fn debug_shows_kind_cloud_and_flags_but_no_text() {
        let shown = format!("{:?}", CommunicationIdentifier::parse("8:gcch-acs:resource_tenant_person"));
        assert!(shown.starts_with("TeamsExtensionUser") && shown.contains("cloud: Gcch"), "{shown}");
        assert!(!["<resource", "tenant_person", "\"person"].iter().any(|text| shown.contains(text)), "{shown}");
        let shown = format!("{:?}", CommunicationIdentifier::parse("4:+14255550123_leg"));
        assert!(
            shown.contains("is_anonymous: false") && !shown.contains("4255550") && !shown.contains("leg"),
            "{shown}"
        );
    }

    /// Texts put together from what the grammar is made of, so that its edges are met often.
    fn grammar_text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "4",
            "8",
            "28",
            "48",
            ":",
            "::",
            "_",
            "__",
            "acs",
            "dod-acs",
            "gcch-acs",
            "spool",
            "orgid",
            "dod",
            "gcch",
            "teamsvisitor",
            "anonymous",
            "+",
            "4:",
            "8:acs:",
            "8:dod-acs:",
            "8:gcch-acs:",
            "8:spool:",
            "8:orgid:",
            "8:dod:",
            "8:gcch:",
            "8:teamsvisitor:",
            "28:orgid:",
            "28:dod:",
            "28:gcch:",
            "28:gcch-global:",
            "a",
            "é",
            " ",
            "14255550123",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_raw_id_made_of_the_grammars_pieces_comes_back(text in grammar_text()) {
            prop_assert_eq!(CommunicationIdentifier::parse(&text).to_raw_id(), text.as_str());
        }

        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(CommunicationIdentifier::parse(&text).to_raw_id(), text.as_str());
        }

        #[test]
        fn a_known_kind_has_one_of_the_known_prefixes(text in grammar_text()) {
            let prefixes = ["4:", "8:acs:", "8:dod-acs:", "8:gcch-acs:", "8:spool:", "8:orgid:", "8:dod:", "8:gcch:",
                "8:teamsvisitor:", "28:orgid:", "28:dod:", "28:gcch:"];
            let typed = prefixes.iter().any(|prefix| text.starts_with(prefix))
                && (text.starts_with("4:") || text.matches(':').count() == 2);
            let known = CommunicationIdentifier::parse(&text).identity_type() != IdentityType::Unknown;
            prop_assert_eq!(known, typed);
        }
    }
}
