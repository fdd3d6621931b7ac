//! [`CustomIdResolver`]: asks ACS itself who an ACS ID is.

use acs_identity_core::{AcsId, Resolution, Resolver, Result};
use async_trait::async_trait;

use crate::api_version::Feature;
use crate::{IdentityClient, ServiceError};

/// A [`Resolver`] that needs no store: users are made with a
/// [`custom_id`](crate::IdentityClientCreateUserOptions::custom_id), and ACS is asked for it.
///
/// Each answer is a request over the network, within ACS's limits, so put a cache in front of it.
///
/// | ACS ID | answer |
/// |---|---|
/// | a communication user with a custom ID | found: the custom ID is the customer |
/// | a communication user without one | absent |
/// | anything else: a phone, a bot, a Teams user, an unknown kind | absent, without I/O: ACS keeps custom IDs for communication users alone |
/// | a communication user that the service does not know (404 with the code `IdentityNotFound`), such as a deleted one | absent |
/// | a communication user that the service will not tell about: of another resource, perhaps a deleted one | `Denied`: the answer (401) is the same as to a wrong key, and a failure is never reported as absent |
///
/// ```no_run
/// use acs_identity_client::{ApiVersion, CustomIdResolver, IdentityClient, IdentityClientOptions};
/// use acs_identity_core::{AcsId, IdentityMap};
///
/// # async fn who(connection_string: &str, sender: AcsId) -> acs_identity_core::Result<()> {
/// let options = IdentityClientOptions { api_version: ApiVersion::V2025_03_02_PREVIEW, ..Default::default() };
/// let client = IdentityClient::from_connection_string(connection_string, Some(options))?;
/// let map = IdentityMap::new(CustomIdResolver::new(client)?);
/// let who = map.from_acs_id(sender).identity().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct CustomIdResolver {
    client: IdentityClient,
}

impl CustomIdResolver {
    /// A resolver that asks through this client.
    ///
    /// # Errors
    /// `Unsupported` unless its api-version has the detail of a user.
    pub fn new(client: IdentityClient) -> Result<Self> {
        client.api_version().require(Feature::CustomIds)?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Resolver for CustomIdResolver {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        if !id.is_communication_user() {
            return Ok(None);
        }
        match self.client.get_user(id, None).await {
            Ok(found) => Ok(found.custom_id.map(Resolution::from)),
            Err(error) if ServiceError::of(&error).is_some_and(ServiceError::is_not_found) => Ok(None),
            Err(error) => Err(error.in_operation("resolve")),
        }
    }

    fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
        (!id.is_communication_user()).then_some(None)
    }
}
