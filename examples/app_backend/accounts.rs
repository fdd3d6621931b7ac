//! What customers have at Azure Communication Services (ACS): a user, made when it is first needed; its tokens; its end.
//!
//! All of it is to be called for one customer at a time within a process, and not to be dropped half-way.

use acs_identity::cache::ReadThrough;
use acs_identity::client::azure_core::credentials::AccessToken;
use acs_identity::client::{IdentityClient, ServiceError, TokenScope};
use acs_identity::sql::SqliteStore;
use acs_identity::{AcsId, CustomerId, Error, ErrorKind, Expect, Link, Linked, MappingStore, MappingStoreExt, Result};
use acs_identity_examples::{complain, told};

/// The mappings in a store, behind a cache.
pub(crate) type Mappings = ReadThrough<SqliteStore>;

const SCOPES: [TokenScope; 2] = [TokenScope::CHAT, TokenScope::VOIP];

/// How often a link is tried whose outcome stays unknown.
const LINK_TRIES: u32 = 3;

#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) client: IdentityClient,
    pub(crate) mappings: Mappings,
}

impl Accounts {
    /// The customer's ACS user, and a token for it.
    pub(crate) async fn token(&self, customer: &CustomerId) -> Result<(AcsId, AccessToken)> {
        let user = self.user(customer).await?;
        match self.client.issue_token(&user, &SCOPES, None).await {
            Err(error) if is_gone(&error) => {
                // Somebody has deleted the user at ACS; or this is another emulator than the last time.
                self.mappings.unlink(&user, Expect::Customer(customer.clone())).await?;
            }
            issued => return Ok((user, issued?)),
        }
        let user = self.user(customer).await?;
        let token = self.client.issue_token(&user, &SCOPES, None).await?;
        Ok((user, token))
    }

    /// All ACS IDs of a customer, as the store has them.
    pub(crate) async fn ids(&self, customer: &CustomerId) -> Result<Vec<AcsId>> {
        let mappings = self.mappings.inner().all_mappings_of(customer).await?;
        Ok(mappings.into_iter().map(|mapping| mapping.acs_id).collect())
    }

    /// Deletes the customer's ACS users, and then the mappings. In this order, so that it can be repeated after a failure: what is
    /// not deleted yet is still found. What else is the customer's, such as a phone number, is only no longer mapped.
    pub(crate) async fn erase(&self, customer: &CustomerId, ids: &[AcsId]) -> Result<()> {
        for user in ids.iter().filter(|id| id.is_communication_user()) {
            self.delete(user).await?;
        }
        self.mappings.unlink_customer(customer).await.map(drop)
    }

    async fn user(&self, customer: &CustomerId) -> Result<AcsId> {
        match first_user(&self.mappings, customer).await? {
            Some(user) => Ok(user),
            None => self.create(customer).await,
        }
    }

    /// A new ACS user for the customer; or that of another process, which was faster. The oldest mapping counts, in all processes.
    ///
    /// An `OutcomeUnknown` of ACS may leave a user behind whose ID nobody knows. It costs nothing and nobody can use it, so the customer
    /// is asked to try again all the same, and each try may leave one more.
    async fn create(&self, customer: &CustomerId) -> Result<AcsId> {
        let mine = self.client.create_user(None).await?.id;
        if let Err(error) = self.link(&mine, customer).await {
            // A mapping that may be there keeps its user.
            if error.kind() != ErrorKind::OutcomeUnknown {
                self.discard(&mine).await;
            }
            return Err(error);
        }
        // Past the cache, which may not have heard of the other process yet.
        match first_user(self.mappings.inner(), customer).await? {
            Some(winner) if winner != mine => {
                // The user first: as long as it is there, the mapping tells whose it is when the account is deleted.
                if self.discard(&mine).await {
                    self.mappings.unlink(&mine, Expect::Customer(customer.clone())).await?;
                }
                Ok(winner)
            }
            _ => Ok(mine),
        }
    }

    /// Only if nobody has the ACS ID, so it can be repeated if its outcome is unknown.
    async fn link(&self, user: &AcsId, customer: &CustomerId) -> Result<Linked> {
        let mut tries = 1;
        loop {
            match self.mappings.link(Link::create(user.clone(), customer.clone())).await {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown && tries < LINK_TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// Deletes an ACS user that is not needed, and says whether it is gone.
    async fn discard(&self, user: &AcsId) -> bool {
        let outcome = self.delete(user).await;
        if let Err(error) = &outcome {
            complain(&format!("an ACS user that is not needed stays: {}", told(error)));
        }
        outcome.is_ok()
    }

    async fn delete(&self, user: &AcsId) -> Result<()> {
        match self.client.delete_user(user, None).await {
            Err(error) if is_gone(&error) => Ok(()),
            outcome => outcome,
        }
    }
}

/// The customer's first user at ACS; not a phone number or a user of Teams, who gets tokens elsewhere.
async fn first_user(store: &impl MappingStore, customer: &CustomerId) -> Result<Option<AcsId>> {
    let mappings = store.all_mappings_of(customer).await?;
    Ok(mappings.into_iter().map(|mapping| mapping.acs_id).find(AcsId::is_communication_user))
}

/// Whether ACS says that it does not have that user. Any other error, another 404 included, is one: a proxy in between that is set up
/// wrongly must not make anybody lose a user. A 401 is one, too: a wrong key is answered with it, besides perhaps a user who is gone.
/// Whoever sees an account that cannot be deleted for it, with the key being right, unlinks its mappings by hand.
fn is_gone(error: &Error) -> bool {
    ServiceError::of(error).is_some_and(|service| (service.status(), service.code()) == (404, "IdentityNotFound"))
}
