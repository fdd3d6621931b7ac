//! How a SQLite store is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Clock, Error, Namespace, Result, SystemClock};

use super::SqliteStore;
use crate::limits::{MAX_WAIT, check_wait};

/// When a write is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// When it returns: it survives the loss of power. SQLite's `synchronous = FULL`.
    #[default]
    Full,
    /// Some time after it returned: it survives the end of the process, but the last writes may be lost with the power.
    /// The database stays whole. SQLite's `synchronous = NORMAL`.
    Normal,
}

/// How a [`SqliteStore`] is opened. What is not set has a default that suits a server.
///
/// ```no_run
/// # async fn open() -> acs_identity_core::Result<()> {
/// use acs_identity_sql::SqliteOptions;
/// let store = SqliteOptions::file("mappings.db").namespace("tenant-7".parse()?).open().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteOptions {
    /// `None` is a database in memory.
    pub(super) path: Option<PathBuf>,
    pub(super) namespace: Namespace,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) readers: u32,
    pub(super) synchronous: Synchronous,
    pub(super) busy_timeout: Duration,
    pub(super) call_deadline: Duration,
    pub(super) poll_interval: Duration,
}

impl SqliteOptions {
    /// The most connections for reading.
    pub const MAX_READERS: u32 = 64;
    /// The longest deadline and the longest interval: one hour.
    pub const MAX_WAIT: Duration = MAX_WAIT;

    /// A database file, which is made if it is not there; its folder has to be.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Some(path.into()))
    }

    /// A database in the memory of this process, with one connection, gone when the store is.
    pub fn in_memory() -> Self {
        Self::new(None)
    }

    fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            namespace: Namespace::default(),
            clock: Arc::new(SystemClock),
            readers: 4,
            synchronous: Synchronous::default(),
            busy_timeout: Duration::from_secs(2),
            call_deadline: Duration::from_secs(5),
            poll_interval: Duration::from_millis(100),
        }
    }

    /// The namespace of the handle; by default `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// The clock by which mappings expire; by default the operating system's. All processes that use one file should
    /// have the same time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The most connections for reading, each with a thread of its own; by default 4. Without effect in memory.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// When a write is on the disk; by default when it returns. Without effect in memory.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How long to wait for another process that holds the database locked, before a call is `Unavailable`; by default
    /// two seconds. Should be shorter than the deadline, since a call that reached that is a `Timeout`.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How long a call may take before it is a `Timeout`, waiting for a connection included; by default five seconds.
    #[must_use]
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// How often a subscriber of the change feed looks for changes; by default ten times a second.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Opens the database, and makes or updates its tables. Safe when many processes do so at once.
    ///
    /// # Errors
    /// `InvalidInput` if an option is out of range or the path can't be one. `Misconfigured` if the folder is not there,
    /// the file is not a SQLite database, has a newer schema than this release knows, or cannot be put into WAL mode (some
    /// network file systems). `Denied` if it may not be written, `Corrupt` if it is damaged, `Unavailable` if the disk is full or
    /// another process holds it locked, `Timeout` if it takes longer than twice the deadline.
    ///
    /// # Cancellation
    /// Dropped, it is finished in the background, and what was opened is closed.
    pub async fn open(self) -> Result<SqliteStore> {
        self.check()?;
        super::open::open(self).await
    }

    fn check(&self) -> Result<()> {
        if self.readers == 0 || self.readers > Self::MAX_READERS {
            return Err(Error::invalid_input(format!("there are 1 to {} readers", Self::MAX_READERS)));
        }
        check_wait("busy timeout", self.busy_timeout)?;
        check_wait("call deadline", self.call_deadline)?;
        check_wait("poll interval", self.poll_interval)?;
        match &self.path {
            None => Ok(()),
            Some(path) if path.as_os_str().is_empty() => Err(Error::invalid_input("the path is empty")),
            Some(path) if path.as_os_str() == ":memory:" => {
                Err(Error::invalid_input("a database in memory is opened with `in_memory`"))
            }
            Some(path) => match path.to_str() {
                None => Err(Error::invalid_input("the path is not UTF-8")),
                Some(text) if text.contains('\0') => Err(Error::invalid_input("the path has a NUL character")),
                Some(_) => Ok(()),
            },
        }
    }
}

/// Without the path, which may hold a person's name.
impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("in_memory", &self.path.is_none())
            .field("namespace", &self.namespace)
            .field("clock", &self.clock)
            .field("readers", &self.readers)
            .field("synchronous", &self.synchronous)
            .field("busy_timeout", &self.busy_timeout)
            .field("call_deadline", &self.call_deadline)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_wrong_option_is_refused_before_any_file_is_touched() {
        for wrong in [
            SqliteOptions::file(""),
            SqliteOptions::file(":memory:"),
            SqliteOptions::file("a\0b"),
            SqliteOptions::in_memory().readers(0),
            SqliteOptions::in_memory().readers(65),
            SqliteOptions::in_memory().busy_timeout(Duration::MAX),
            SqliteOptions::in_memory().call_deadline(Duration::ZERO),
            SqliteOptions::in_memory().poll_interval(Duration::ZERO),
        ] {
            assert_eq!(wrong.open().await.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn debug_shows_no_path() {
        assert!(!format!("{:?}", SqliteOptions::file("/home/bob/x.db")).contains("bob"));
    }
}
