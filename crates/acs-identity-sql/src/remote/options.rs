//! How a store on a server is opened.

use std::fmt;
use std::time::Duration;

use acs_identity_core::{Error, Namespace, Result};

use super::Remote;
use crate::limits::{MAX_WAIT, check_wait};
use crate::store::SqlStore;

/// How a store on a database server is opened; which one is in the type. What is not set has a default that suits an
/// application's backend.
pub struct RemoteOptions<R: Remote> {
    pub(super) source: Source<R>,
    pub(super) namespace: Namespace,
    pub(super) max_connections: u32,
    pub(super) acquire_timeout: Duration,
    pub(super) call_deadline: Duration,
    pub(super) poll_interval: Duration,
    pub(crate) notifications: bool,
    pub(super) migrate: bool,
    pub(super) migration_deadline: Duration,
}

/// Where the connections come from.
pub(super) enum Source<R: Remote> {
    Url(String),
    Pool(R::Pool),
}

impl<R: Remote> Clone for Source<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Url(url) => Self::Url(url.clone()),
            Self::Pool(pool) => Self::Pool(pool.clone()),
        }
    }
}

impl<R: Remote> Clone for RemoteOptions<R> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), namespace: self.namespace.clone(), ..*self }
    }
}

impl<R: Remote> RemoteOptions<R> {
    /// The most connections of a pool.
    pub const MAX_CONNECTIONS: u32 = 1000;
    /// The longest deadline and the longest interval: one hour.
    pub const MAX_WAIT: Duration = MAX_WAIT;

    /// A database by its URL, with a pool of the store's own. The URL's parameters say how TLS is used, among others; see
    /// the store's own documentation.
    pub fn url(url: impl Into<String>) -> Self {
        Self::new(Source::Url(url.into()))
    }

    /// A pool that the application has already. It is used as it is: its size, its limits and the settings of its
    /// connections are the application's affair, and [`close`](acs_identity_core::MappingStore::close) closes it.
    pub fn from_pool(pool: R::Pool) -> Self {
        Self::new(Source::Pool(pool))
    }

    fn new(source: Source<R>) -> Self {
        Self {
            source,
            namespace: Namespace::default(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(2),
            call_deadline: Duration::from_secs(5),
            poll_interval: Duration::from_millis(100),
            notifications: true,
            migrate: true,
            migration_deadline: Duration::from_secs(600),
        }
    }

    /// The namespace of the handle; by default `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// The most connections of the store's own pool; by default 10. Without effect on an application's pool.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long a call waits for one of the connections of the store's own pool while all of them are in use, before it is a
    /// `Timeout`; by default two seconds. Should be shorter than the deadline, until which a call goes on trying if there is
    /// room for a connection and none can be made. Without effect on an application's pool.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long a call may take in all before it is a `Timeout`, or `OutcomeUnknown` if its commit is under way; by
    /// default five seconds. Until then a call goes on trying where a lost connection or somebody else's transaction was in
    /// its way. The server is told, too (on connections of the store's own pool), so that it gives up soon after.
    #[must_use]
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// How often a subscriber of the change feed looks into the log of changes; by default every 100 milliseconds. One that
    /// listens for PostgreSQL's notifications looks when it is told to, and once a second, or every so long if that is longer.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Whether the schema is made or brought up to date where it is not; by default it is. Without it a database that
    /// lacks a version is `Misconfigured`: for a role that may not make tables, after an administrator has run
    /// [`schema_sql`](SqlStore::schema_sql).
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// How long the making of the schema, or of a new version of it, may take in all when the store is opened, also waiting
    /// for another process that does so; by default ten minutes. A version may have to read all mappings. Until then the
    /// server's own limits for statements are as long.
    #[must_use]
    pub fn migration_deadline(mut self, deadline: Duration) -> Self {
        self.migration_deadline = deadline;
        self
    }

    /// Opens the store: connects, checks that the server can keep a store's promises, and makes the tables if they are not
    /// there. Many processes may do so at once. It takes at most twice the [`call_deadline`](Self::call_deadline), and the
    /// [`migration_deadline`](Self::migration_deadline) if the tables have to be made; a failure is told after one
    /// `call_deadline` more at the latest.
    ///
    /// # Errors
    /// `InvalidInput` before any I/O if an option is out of its limits or the URL can't be one. `Unavailable` or `Timeout`
    /// if the server can't be reached in time (the error's source says what was in the way), or another process goes on
    /// making the tables; `Denied` if it refuses the credentials or the statements. `Misconfigured` if the database does not
    /// exist, can't keep the promises (each store says which settings are refused), or has a newer schema than this release
    /// knows, or if the TLS or the authentication that is demanded can't be had.
    ///
    /// # Cancellation
    /// Dropped, nothing is left open; what was made of the schema stays.
    pub async fn open(self) -> Result<SqlStore<R>> {
        self.check()?;
        super::open::open(self).await
    }

    fn check(&self) -> Result<()> {
        if self.max_connections == 0 || self.max_connections > Self::MAX_CONNECTIONS {
            let most = Self::MAX_CONNECTIONS;
            return Err(Error::invalid_input(format!("there are 1 to {most} connections")));
        }
        check_wait("acquire timeout", self.acquire_timeout)?;
        check_wait("call deadline", self.call_deadline)?;
        check_wait("poll interval", self.poll_interval)?;
        check_wait("migration deadline", self.migration_deadline)?;
        match &self.source {
            Source::Pool(_) => Ok(()),
            Source::Url(url) => {
                let scheme = url.split_once("://").map(|(scheme, _)| scheme);
                // Never the URL itself: it has a password in it.
                if !scheme.is_some_and(|scheme| R::SCHEMES.contains(&scheme)) {
                    let schemes = R::SCHEMES.join(":// or ");
                    return Err(Error::invalid_input(format!("the URL does not begin with {schemes}://")));
                }
                R::connect_options(url).map(drop).map_err(|_| Error::invalid_input("the URL cannot be read"))
            }
        }
    }
}

/// Without the URL, which may hold a password.
impl<R: Remote> fmt::Debug for RemoteOptions<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("backend", &R::BACKEND)
            .field("own_pool", &matches!(self.source, Source::Url(_)))
            .field("namespace", &self.namespace)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("call_deadline", &self.call_deadline)
            .field("poll_interval", &self.poll_interval)
            .field("notifications", &self.notifications)
            .field("migrate", &self.migrate)
            .field("migration_deadline", &self.migration_deadline)
            .finish_non_exhaustive()
    }
}
