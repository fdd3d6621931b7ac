//! The typed part of an identifier in JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::fields::Fields;
use crate::redact::{Excerpt, Redacted};
use crate::{AcsId, CloudEnvironment, CommunicationIdentifier, Error, Result};

/// The properties of which at most one holds the typed part, in the order in which the SDKs look for it.
pub(crate) const OBJECTS: [&str; 5] =
    ["communicationUser", "phoneNumber", "microsoftTeamsUser", "microsoftTeamsApp", "teamsExtensionUser"];

/// The typed part of an identifier in JSON. A `cloud` is kept as the text that it is on the wire, where new ones may appear.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum IdentifierObject {
    /// A user of an ACS resource.
    CommunicationUser {
        /// The raw ID.
        id: String,
    },
    /// A telephone number.
    PhoneNumber {
        /// The number, usually in E.164.
        value: String,
        /// Whether the caller withheld the number.
        is_anonymous: bool,
        /// What tells apart several legs of one number in a call.
        #[serde(skip_serializing_if = "Option::is_none")]
        asserted_id: Option<String>,
    },
    /// A user of Microsoft Teams.
    MicrosoftTeamsUser {
        /// The object ID in Entra ID, or the ID of the visit of an anonymous user.
        user_id: String,
        /// Whether this is a visitor who did not sign in.
        is_anonymous: bool,
        /// The cloud of the user.
        cloud: String,
    },
    /// An application in Microsoft Teams.
    MicrosoftTeamsApp {
        /// The ID of the application.
        app_id: String,
        /// The cloud of the application.
        cloud: String,
    },
    /// A Teams user who calls through an ACS resource.
    TeamsExtensionUser {
        /// The object ID of the user in Entra ID.
        user_id: String,
        /// The tenant of the user.
        tenant_id: String,
        /// The ACS resource.
        resource_id: String,
        /// The cloud of the user.
        cloud: String,
    },
}

impl IdentifierObject {
    /// The name of the property in which it stands, which is that of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CommunicationUser { .. } => "communicationUser",
            Self::PhoneNumber { .. } => "phoneNumber",
            Self::MicrosoftTeamsUser { .. } => "microsoftTeamsUser",
            Self::MicrosoftTeamsApp { .. } => "microsoftTeamsApp",
            Self::TeamsExtensionUser { .. } => "teamsExtensionUser",
        }
    }

    /// The same, borrowed; `None` if its cloud is one that this library does not know.
    pub(super) fn identifier(&self) -> Option<CommunicationIdentifier<'_>> {
        let known = |cloud: &str| cloud.parse::<CloudEnvironment>().ok();
        Some(match self {
            Self::CommunicationUser { id } => CommunicationIdentifier::CommunicationUser { id },
            Self::PhoneNumber { value, is_anonymous, asserted_id } => CommunicationIdentifier::PhoneNumber {
                value,
                is_anonymous: *is_anonymous,
                asserted_id: asserted_id.as_deref(),
            },
            Self::MicrosoftTeamsUser { user_id, is_anonymous, cloud } => CommunicationIdentifier::MicrosoftTeamsUser {
                user_id,
                is_anonymous: *is_anonymous,
                cloud: known(cloud)?,
            },
            Self::MicrosoftTeamsApp { app_id, cloud } => {
                CommunicationIdentifier::MicrosoftTeamsApp { app_id, cloud: known(cloud)? }
            }
            Self::TeamsExtensionUser { user_id, tenant_id, resource_id, cloud } => {
                CommunicationIdentifier::TeamsExtensionUser { user_id, tenant_id, resource_id, cloud: known(cloud)? }
            }
        })
    }

    /// Whether a raw ID says what this says, as far as raw IDs of this kind say it.
    pub(super) fn agrees_with(&self, raw_id: &AcsId) -> bool {
        let read = raw_id.identifier();
        let Some(own) = self.identifier() else {
            let is_kind = read.kind() == self.kind() || matches!(read, CommunicationIdentifier::Unknown { .. });
            return is_kind && raw_id.as_str().rsplit_once(':').is_some_and(|(_, rest)| rest == self.rest());
        };
        let flags_agree = match (own, read) {
            (
                CommunicationIdentifier::PhoneNumber { is_anonymous: claimed, asserted_id: given, .. },
                CommunicationIdentifier::PhoneNumber { is_anonymous, asserted_id, .. },
            ) => (is_anonymous || !claimed) && given.is_none_or(|given| given == asserted_id.unwrap_or_default()),
            _ => true,
        };
        flags_agree && own.to_raw_id() == raw_id.as_str()
    }

    /// What follows the prefix in a raw ID, whatever the cloud.
    fn rest(&self) -> Cow<'_, str> {
        match self {
            Self::CommunicationUser { id: rest }
            | Self::PhoneNumber { value: rest, .. }
            | Self::MicrosoftTeamsUser { user_id: rest, .. }
            | Self::MicrosoftTeamsApp { app_id: rest, .. } => rest.into(),
            Self::TeamsExtensionUser { user_id, tenant_id, resource_id, .. } => {
                format!("{resource_id}_{tenant_id}_{user_id}").into()
            }
        }
    }

    /// The object of an identifier; an unknown one has none.
    pub(super) fn of(identifier: &CommunicationIdentifier<'_>) -> Option<Self> {
        let own = str::to_owned;
        Some(match *identifier {
            CommunicationIdentifier::CommunicationUser { id } => Self::CommunicationUser { id: own(id) },
            CommunicationIdentifier::PhoneNumber { value, is_anonymous, asserted_id } => {
                Self::PhoneNumber { value: own(value), is_anonymous, asserted_id: asserted_id.map(own) }
            }
            CommunicationIdentifier::MicrosoftTeamsUser { user_id, is_anonymous, cloud } => {
                Self::MicrosoftTeamsUser { user_id: own(user_id), is_anonymous, cloud: cloud.to_string() }
            }
            CommunicationIdentifier::MicrosoftTeamsApp { app_id, cloud } => {
                Self::MicrosoftTeamsApp { app_id: own(app_id), cloud: cloud.to_string() }
            }
            CommunicationIdentifier::TeamsExtensionUser { user_id, tenant_id, resource_id, cloud } => {
                Self::TeamsExtensionUser {
                    user_id: own(user_id),
                    tenant_id: own(tenant_id),
                    resource_id: own(resource_id),
                    cloud: cloud.to_string(),
                }
            }
            CommunicationIdentifier::Unknown { .. } => return None,
        })
    }

    /// Reads the object that stands in the property `name`, which is one of [`OBJECTS`].
    pub(super) fn from_fields(name: &str, fields: &Fields<'_>) -> Result<Self> {
        let is_anonymous = || fields.flag("isAnonymous");
        let cloud = || Ok::<_, Error>(fields.text("cloud")?.unwrap_or(CloudEnvironment::default().as_str()).to_owned());
        Ok(match name {
            "communicationUser" => Self::CommunicationUser { id: fields.required("id")? },
            "phoneNumber" => Self::PhoneNumber {
                value: fields.required("value")?,
                is_anonymous: is_anonymous()?,
                asserted_id: fields.text("assertedId")?.map(str::to_owned),
            },
            "microsoftTeamsUser" => Self::MicrosoftTeamsUser {
                user_id: fields.required("userId")?,
                is_anonymous: is_anonymous()?,
                cloud: cloud()?,
            },
            "microsoftTeamsApp" => Self::MicrosoftTeamsApp { app_id: fields.required("appId")?, cloud: cloud()? },
            _ => Self::TeamsExtensionUser {
                user_id: fields.required("userId")?,
                tenant_id: fields.required("tenantId")?,
                resource_id: fields.required("resourceId")?,
                cloud: cloud()?,
            },
        })
    }
}

impl fmt::Debug for IdentifierObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.identifier(), self) {
            (Some(identifier), _) => identifier.fmt(f),
            (
                None,
                Self::MicrosoftTeamsUser { user_id: text, cloud, .. }
                | Self::MicrosoftTeamsApp { app_id: text, cloud }
                | Self::TeamsExtensionUser { user_id: text, cloud, .. },
            ) => write!(f, "{}({} in {})", self.kind(), Redacted(text), Excerpt(cloud.as_bytes())),
            (None, _) => f.write_str(self.kind()),
        }
    }
}
