//! The application: what all requests share, and what takes more than one step.

use std::sync::Arc;
use std::time::Duration;

use acs_identity::client::azure_core::credentials::AccessToken;
use acs_identity::{AcsId, CustomerId, MappingStore};
use acs_identity_examples::complain;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::accounts::{Accounts, Mappings};
use crate::inbox::Inbox;
use crate::locks::Locks;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::sessions::Sessions;
use crate::users::Users;

/// How long what is under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) users: Users,
    pub(crate) sessions: Sessions,
    pub(crate) inbox: Inbox,
    pub(crate) webhook: Secret,
    pub(crate) accounts: Accounts,
    pub(crate) locks: Locks,
    pub(crate) tasks: TaskTracker,
}

impl App {
    pub(crate) fn mappings(&self) -> &Mappings {
        &self.accounts.mappings
    }

    /// The customer's ACS user, which is made at the first login, and a token for it.
    pub(crate) async fn token(self: &Arc<Self>, customer: CustomerId) -> Result<(AcsId, AccessToken), Refusal> {
        let app = self.clone();
        self.to_its_end(async move {
            let _turn = app.locks.turn(&customer).await;
            app.check_exists(&customer)?;
            Ok(app.accounts.token(&customer).await?)
        })
        .await
    }

    /// Deletes all that is the customer's. User and sessions come last: until then, a deletion that failed can be repeated.
    pub(crate) async fn delete_account(self: &Arc<Self>, customer: CustomerId) -> Result<(), Refusal> {
        let app = self.clone();
        self.to_its_end(async move {
            let _turn = app.locks.turn(&customer).await;
            app.check_exists(&customer)?;
            let ids = app.accounts.ids(&customer).await?;
            app.inbox.forget(&ids);
            app.accounts.erase(&customer, &ids).await?;
            // In this order, so that no session is begun any more once they are all ended.
            app.users.remove(&customer);
            app.sessions.end_all(&customer);
            Ok(())
        })
        .await
    }

    /// The account may have been deleted while this request waited for its turn.
    fn check_exists(&self, customer: &CustomerId) -> Result<(), Refusal> {
        if self.users.exists(customer) { Ok(()) } else { Err(Refusal::no_session()) }
    }

    /// Runs something to its end, even if the client leaves: an ACS user of which nobody has noted the ID would be lost.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.tasks.spawn(work).await.unwrap_or_else(|lost| Err(Refusal::internal(&lost)))
    }

    /// Lets what is under way end, and closes cache and store. No request may come any more.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        if timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            complain("something that was under way at the end was given up");
        }
        self.mappings().close().await;
    }
}
