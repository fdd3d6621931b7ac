//! SQLite, in a file and in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{ChangeFeed, MappingStore, Namespace};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use acs_identity_testkit::{Faults, Fixture, ManualClock, Verdict};
use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::lock;

/// Where the mappings are.
enum Place {
    /// A file; each client has connections of its own, as another process has.
    File(File),
    /// The memory of this process; the clients share the one connection, and are closed together.
    Memory(OnceCell<SqliteStore>),
}

struct File {
    folder: TempDir,
    path: Mutex<PathBuf>,
}

pub(crate) struct Sqlite {
    name: &'static str,
    place: Place,
    clock: ManualClock,
    /// One handle for each set of connections.
    opened: Mutex<Vec<SqliteStore>>,
}

impl Sqlite {
    fn new(name: &'static str, place: Place) -> Self {
        Self { name, place, clock: ManualClock::new(), opened: Mutex::default() }
    }

    pub(crate) fn in_file() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = Mutex::new(folder.path().join("mappings.db"));
        Self::new("sqlite", Place::File(File { folder, path }))
    }

    pub(crate) fn in_memory() -> Self {
        Self::new("sqlite_in_memory", Place::Memory(OnceCell::new()))
    }

    async fn connect(&self, options: SqliteOptions) -> SqliteStore {
        // A machine whose disk is busy may take a while; what it may not do is never come back.
        // Two clients that both write all the time have no turns: one may be without luck for as long as the other goes on.
        let options = options.clock(Arc::new(self.clock.clone())).busy_timeout(Duration::from_secs(20));
        let options = options.call_deadline(Duration::from_secs(20));
        let store = options.poll_interval(Duration::from_millis(5)).open().await.expect("the store opens");
        lock(&self.opened).push(store.clone());
        store
    }

    async fn client(&self, namespace: Namespace) -> SqliteStore {
        match &self.place {
            Place::File(file) => self.connect(SqliteOptions::file(file.path()).namespace(namespace)).await,
            Place::Memory(only) => {
                only.get_or_init(|| self.connect(SqliteOptions::in_memory())).await.in_namespace(namespace)
            }
        }
    }
}

#[async_trait]
impl Fixture for Sqlite {
    fn name(&self) -> &str {
        self.name
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        Arc::new(self.client(namespace).await)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.client(namespace).await))
    }

    fn feed_keeps(&self) -> Option<u32> {
        Some(10_000)
    }

    fn clock(&self) -> Option<ManualClock> {
        Some(self.clock.clone())
    }

    fn faults(&self) -> Option<&dyn Faults> {
        match &self.place {
            Place::File(file) => Some(file),
            Place::Memory(_) => None,
        }
    }

    fn connections(&self) -> Option<u32> {
        Some(lock(&self.opened).iter().map(SqliteStore::connections_in_use).sum())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

impl File {
    fn path(&self) -> PathBuf {
        lock(&self.path).clone()
    }
}

#[async_trait]
impl Faults for File {
    /// Goes on with what is on the disk while the clients still hold the database open: what a process leaves behind that
    /// is killed, its log not yet written back.
    async fn restart(&self) -> Verdict {
        let left = self.folder.path().join("left.db");
        let with = |path: &Path, end: &str| PathBuf::from(format!("{}{end}", path.display()));
        for end in ["", "-wal"] {
            std::fs::copy(with(&self.path(), end), with(&left, end)).expect("the database and its log are there");
        }
        *lock(&self.path) = left;
        Ok(())
    }
}
