//! [`Emulator`]: one that runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::service::{KEYS_PATH, Service};
use crate::{Call, EmulatorBuilder, Faults, IssuedToken, KeyType, User, identities, token};

/// An emulated resource of Azure Communication Services that runs on a port of 127.0.0.1, in the runtime that started
/// it.
///
/// It ends when it is dropped, at once; [`stop`](Self::stop) lets the requests under way end first. It keeps
/// everything in memory.
///
/// ```
/// use acs_identity_emulator::Emulator;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let emulator = Emulator::start().await?;
/// assert!(emulator.connection_string().starts_with("endpoint=http://127.0.0.1:"));
/// // Hand the connection string to a client here, and look at what it did:
/// assert!(emulator.users().is_empty() && emulator.calls().is_empty());
/// emulator.stop().await;
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
pub struct Emulator {
    service: Arc<Service>,
    endpoint: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Emulator {
    /// Starts one on a free port, with [`DEFAULT_KEY`](crate::DEFAULT_KEY). Takes a few milliseconds.
    ///
    /// # Errors
    /// `Unavailable` if no port can be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without I/O and time.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Says how it is to be before it starts.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    pub(crate) fn new(service: Arc<Service>, port: u16, stop: CancellationToken, server: JoinHandle<()>) -> Self {
        Self { service, endpoint: format!("http://127.0.0.1:{port}"), stop, server }
    }

    /// The URL to send requests to, such as `http://127.0.0.1:50123`, without a slash at its end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What the official clients take in `from_connection_string`: endpoint and primary access key, in the form of the
    /// portal.
    pub fn connection_string(&self) -> String {
        format!("endpoint={}/;accesskey={}", self.endpoint, self.key())
    }

    /// The primary access key, in base64 with padding.
    pub fn key(&self) -> String {
        self.service.keys.base64(KeyType::Primary)
    }

    /// The secondary access key, in base64 with padding. It is another one in each emulator.
    pub fn secondary_key(&self) -> String {
        self.service.keys.base64(KeyType::Secondary)
    }

    /// Puts a new key in the place of one, and returns it. From now on requests that are signed with the old one are
    /// refused, and the tokens that were issued with it are revoked, after the delay of revocations.
    /// [Source](https://learn.microsoft.com/azure/communication-services/concepts/authentication).
    pub fn regenerate_key(&self, which: KeyType) -> String {
        self.service.keys.replace(which, &self.service.ids.key());
        let from = self.service.clock.now().saturating_add(self.service.revocation_delay);
        self.service.world().revoke_all_of(which, from);
        self.service.keys.base64(which)
    }

    /// The immutable ID of the resource.
    pub fn resource_id(&self) -> &str {
        &self.service.resource_id
    }

    /// Where the keys are with which the tokens can be verified (a JSON Web Key Set).
    pub fn keys_url(&self) -> String {
        format!("{}{KEYS_PATH}", self.endpoint)
    }

    /// The users of the resource that are there, in the order of their creation. A Teams user who got a token is none of
    /// them.
    pub fn users(&self) -> Vec<User> {
        let mut users = self.service.world().users();
        users.retain(|user| self.is_own(user.id().as_str()));
        users
    }

    /// The user of the resource with this raw ID.
    pub fn user(&self, id: impl AsRef<str>) -> Option<User> {
        let id = Some(id.as_ref()).filter(|id| self.is_own(id))?;
        self.service.world().user(id).cloned()
    }

    fn is_own(&self, id: &str) -> bool {
        identities::is_own(&self.service.resource_id, id)
    }

    /// The tokens of a user of the resource or of Teams, in the order in which they were issued. Those that expired more
    /// than an hour ago may be missing, those of a deleted user are.
    pub fn tokens_of(&self, id: impl AsRef<str>) -> Vec<IssuedToken> {
        self.service.world().tokens(id.as_ref(), self.service.clock.now())
    }

    /// Whether a token was issued here, its user is still there, and it is neither revoked nor expired.
    pub fn is_token_valid(&self, token: impl AsRef<str>) -> bool {
        let content = token::verify(token.as_ref());
        content.is_some_and(|(id, number)| self.service.world().is_valid(id.as_str(), number, self.service.clock.now()))
    }

    /// The calls so far, the oldest first: at most the latest 10,000, and 16 MiB of them.
    pub fn calls(&self) -> Vec<Call> {
        self.service.calls.all()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.service.calls.clear();
    }

    /// Where faults are ordered.
    pub fn faults(&self) -> &Faults {
        &self.service.faults
    }

    /// A token as Entra ID issues it to a user who signs in to an application, to be exchanged here. Nobody has
    /// signed it: the emulator does not look.
    pub fn entra_token(&self, tenant_id: &str, object_id: &str, client_id: &str, life: Duration) -> String {
        token::entra(tenant_id, object_id, client_id, self.service.clock.now().saturating_add(life))
    }

    /// Accepts no more requests, waits for those under way at most five seconds, and closes all connections.
    ///
    /// If this future is dropped, the emulator ends at once.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // An error is a server that was aborted, which has ended as well.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("endpoint", &self.endpoint)
            .field("resource_id", &self.service.resource_id)
            .field("users", &self.users().len())
            .finish_non_exhaustive()
    }
}
