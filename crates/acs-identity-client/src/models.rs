//! What goes to the service and what comes back.

use std::fmt;
use std::marker::PhantomData;

use acs_identity_core::{AcsId, CustomerId, Error, Redacted, Result};
use azure_core::credentials::{AccessToken, Secret};
use azure_core::time::{OffsetDateTime, parse_rfc3339};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A user of ACS, as the Identity service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The user's ACS ID.
    pub id: AcsId,
    /// The application's own ID, if the user was made with one and the api-version has them; as the service has it.
    pub custom_id: Option<CustomerId>,
    /// When the user was last given a token, where the service tells in the documented form.
    pub last_token_issued_at: Option<OffsetDateTime>,
}

/// A new user with its first access token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UserAndToken {
    /// The user.
    pub user: User,
    /// The token, which `Debug` does not show, and when it expires.
    pub token: AccessToken,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) create_token_with_scopes: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_minutes: Option<u16>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssueRequest<'a> {
    pub(crate) scopes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_minutes: Option<u16>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExchangeRequest<'a> {
    pub(crate) token: &'a str,
    pub(crate) app_id: &'a str,
    pub(crate) user_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    pub(crate) identity: Object<WireUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedWithToken {
    pub(crate) identity: Object<WireUser>,
    pub(crate) access_token: Object<WireToken>,
}

/// What is a JSON object on the wire, and not an array of the same values, which serde would take, too.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(Fields(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireUser {
    id: AcsId,
    /// Made elsewhere, it may be one that is no customer ID here.
    custom_id: Option<String>,
    #[serde(default, deserialize_with = "if_readable")]
    last_token_issued_at: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireToken {
    #[serde(deserialize_with = "not_empty")]
    token: Secret,
    expires_on: Time,
}

/// RFC 3339, with as many digits of a second as the service gives.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Time(OffsetDateTime);

impl TryFrom<String> for Time {
    type Error = azure_core::Error;
    fn try_from(text: String) -> azure_core::Result<Self> {
        parse_rfc3339(&text).map(Self)
    }
}

/// A user must not get lost for a time.
fn if_readable<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<Time>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

fn not_empty<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Secret, D::Error> {
    let token = String::deserialize(from)?;
    if token.is_empty() { Err(D::Error::custom("an empty token")) } else { Ok(token.into()) }
}

impl WireUser {
    /// The user, who was made with this custom ID; `None` if it is the user of another one.
    pub(crate) fn made_with(self, sent: Option<CustomerId>) -> Option<User> {
        let found = self.custom_id.as_deref().map(CustomerId::new);
        let custom_id = match (found, sent) {
            // Not even if only the case differs: two customers are never to share a user unsaid.
            (Some(Ok(found)), Some(sent)) if found != sent => return None,
            (Some(Ok(found)), _) => Some(found),
            // The user must not get lost.
            (Some(Err(_)), sent) => sent,
            (None, _) => None,
        };
        Some(self.with(custom_id))
    }

    /// The user.
    ///
    /// # Errors
    /// `Unsupported` if the custom ID is no customer ID.
    pub(crate) fn read(self) -> Result<User> {
        let custom_id = self.custom_id.as_deref().map(CustomerId::new).transpose().map_err(|_| {
            Error::unsupported(
                "the user's custom ID, made elsewhere, is longer than 512 bytes or has control characters",
            )
        })?;
        Ok(self.with(custom_id))
    }

    fn with(self, custom_id: Option<CustomerId>) -> User {
        User { id: self.id, custom_id, last_token_issued_at: self.last_token_issued_at.map(|time| time.0) }
    }
}

impl From<WireToken> for AccessToken {
    fn from(token: WireToken) -> Self {
        Self::new(token.token, token.expires_on.0)
    }
}

/// What a Teams user's token is exchanged with: see
/// [`IdentityClient::exchange_teams_user_token`](crate::IdentityClient::exchange_teams_user_token).
#[derive(Clone)]
pub struct TeamsUserToken {
    /// The Entra ID access token of the Teams user.
    pub token: Secret,
    /// The client ID of the Entra ID application that the token was issued to.
    pub app_id: String,
    /// The object ID of the Teams user in Entra ID.
    pub user_id: String,
}

impl fmt::Debug for TeamsUserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TeamsUserToken")
            .field("token", &self.token)
            .field("app_id", &Redacted(&self.app_id))
            .field("user_id", &Redacted(&self.user_id))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::ErrorKind;

    use super::*;

    #[test]
    fn a_recorded_answer_is_read_to_the_last_digit() {
        let body = r#"{"identity": {"id": "8:acs:r_u", "new": 1}, "accessToken": {"token": "secret-token",
            "expiresOn": "2023-06-28T07:30:11.8919724\u002B00:00"}}"#;
        let created: CreatedWithToken = serde_json::from_str(body).unwrap();
        let token = AccessToken::from(created.access_token.0);
        assert_eq!(token.expires_on.unix_timestamp_nanos(), 1_687_937_411_891_972_400);
        assert_eq!(created.identity.0.read().unwrap().custom_id, None);
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn a_custom_id_that_is_no_customer_id_does_not_lose_a_user_who_was_just_made() {
        let wire = |custom_id: String| WireUser {
            id: "8:acs:r_u".parse().unwrap(),
            custom_id: Some(custom_id),
            last_token_issued_at: None,
        };
        let sent: CustomerId = "bob".parse().unwrap();
        for bad in ["\u{1f600}".repeat(256), "two\nlines".into(), String::new()] {
            let error = wire(bad.clone()).read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(wire(bad).made_with(Some(sent.clone())).unwrap().custom_id, Some(sent.clone()));
        }
        assert_eq!(wire("bob".into()).read().unwrap().custom_id, Some(sent));
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        let request = CreateRequest { custom_id: None, create_token_with_scopes: None, expires_in_minutes: None };
        assert_eq!(serde_json::to_string(&request).unwrap(), "{}");
        let request = IssueRequest { scopes: vec!["chat", "voip"], expires_in_minutes: Some(60) };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"scopes":["chat","voip"],"expiresInMinutes":60}"#);
    }

    #[test]
    fn a_teams_users_token_is_not_shown() {
        let token =
            TeamsUserToken { token: Secret::new("hidden"), app_id: "hidden-app".into(), user_id: "hidden-user".into() };
        assert!(!format!("{token:?}").contains("hidden"));
    }
}
