//! The SQLite store keeps the promises of a store, in a file and in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{ChangeFeed, MappingStore, Namespace};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use acs_identity_testkit::{Faults, Fixture, ManualClock, Verdict, conformance_main};
use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::OnceCell;

fn options(options: SqliteOptions, clock: &ManualClock) -> SqliteOptions {
    // A machine whose disk is busy may take a while; what it may not do is never come back.
    options
        .clock(Arc::new(clock.clone()))
        .poll_interval(Duration::from_millis(5))
        .call_deadline(Duration::from_secs(20))
}

/// A file; each client has connections of its own, as another process has.
struct File {
    folder: TempDir,
    path: Mutex<PathBuf>,
    clock: ManualClock,
}

impl File {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = Mutex::new(folder.path().join("mappings.db"));
        Self { folder, path, clock: ManualClock::new() }
    }

    fn path(&self) -> PathBuf {
        self.path.lock().expect("nobody panics while it is held").clone()
    }

    async fn client(&self, namespace: Namespace) -> SqliteStore {
        let opened = options(SqliteOptions::file(self.path()), &self.clock).namespace(namespace).open().await;
        opened.expect("the store opens")
    }
}

#[async_trait]
impl Fixture for File {
    fn name(&self) -> &str {
        "sqlite"
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        Arc::new(self.client(namespace).await)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.client(namespace).await))
    }

    fn clock(&self) -> Option<ManualClock> {
        Some(self.clock.clone())
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
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
        *self.path.lock().expect("nobody panics while it is held") = left;
        Ok(())
    }
}

/// A database in memory; its clients share the one connection, and are closed together.
struct InMemory {
    store: OnceCell<SqliteStore>,
    clock: ManualClock,
}

impl InMemory {
    fn new() -> Self {
        Self { store: OnceCell::new(), clock: ManualClock::new() }
    }

    async fn client(&self, namespace: Namespace) -> SqliteStore {
        let open = || async { options(SqliteOptions::in_memory(), &self.clock).open().await.expect("the store opens") };
        self.store.get_or_init(open).await.in_namespace(namespace)
    }
}

#[async_trait]
impl Fixture for InMemory {
    fn name(&self) -> &str {
        "sqlite_in_memory"
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        Arc::new(self.client(namespace).await)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.client(namespace).await))
    }

    fn clock(&self) -> Option<ManualClock> {
        Some(self.clock.clone())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

conformance_main!(File::new(), InMemory::new());
