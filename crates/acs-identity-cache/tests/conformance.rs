//! The cache in front of a store changes no promise of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{ChangeFeed, MappingStore, MemoryStore, Namespace};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use acs_identity_testkit::{Fixture, ManualClock, conformance_main};
use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

type Cache = ReadThrough<Arc<dyn MappingStore>>;

/// Clients are clones of one cache for each namespace: without a feed, a write is seen at once only by those.
struct Cached<B> {
    name: &'static str,
    backend: B,
    clock: ManualClock,
    caches: Mutex<HashMap<Namespace, Cache>>,
}

/// What is behind the cache.
#[async_trait]
trait Backend: Send + Sync {
    type Store: MappingStore + ChangeFeed + 'static;

    /// How many changes its feed keeps.
    const FEED_KEEPS: u32;

    async fn store(&self, clock: &ManualClock, namespace: Namespace) -> Self::Store;
}

impl<B: Backend> Cached<B> {
    fn new(name: &'static str, backend: B) -> Self {
        Self { name, backend, clock: ManualClock::new(), caches: Mutex::default() }
    }
}

#[async_trait]
impl<B: Backend> Fixture for Cached<B> {
    fn name(&self) -> &str {
        self.name
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        let mut caches = self.caches.lock().await;
        if let Some(cache) = caches.get(&namespace) {
            return Arc::new(cache.clone());
        }
        let store: Arc<dyn MappingStore> = Arc::new(self.backend.store(&self.clock, namespace.clone()).await);
        let cache = ReadThrough::builder(store).clock(Arc::new(self.clock.clone())).build();
        caches.insert(namespace, cache.clone());
        Arc::new(cache)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.backend.store(&self.clock, namespace).await))
    }

    fn feed_keeps(&self) -> Option<u32> {
        Some(B::FEED_KEEPS)
    }

    fn clock(&self) -> Option<ManualClock> {
        Some(self.clock.clone())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[derive(Default)]
struct Memory(OnceCell<MemoryStore>);

#[async_trait]
impl Backend for Memory {
    type Store = MemoryStore;
    const FEED_KEEPS: u32 = 4096;

    async fn store(&self, clock: &ManualClock, namespace: Namespace) -> MemoryStore {
        let store = self.0.get_or_init(|| async { MemoryStore::with_clock(Arc::new(clock.clone())) }).await;
        store.second_client().in_namespace(namespace)
    }
}

/// In a file of this folder, or in memory.
struct Sqlite(Option<TempDir>, OnceCell<SqliteStore>);

impl Sqlite {
    fn file() -> Self {
        Self(Some(TempDir::new().expect("a temporary folder")), OnceCell::new())
    }

    fn in_memory() -> Self {
        Self(None, OnceCell::new())
    }
}

#[async_trait]
impl Backend for Sqlite {
    type Store = SqliteStore;
    const FEED_KEEPS: u32 = 10_000;

    async fn store(&self, clock: &ManualClock, namespace: Namespace) -> SqliteStore {
        let open = || async {
            let options = match &self.0 {
                Some(folder) => SqliteOptions::file(folder.path().join("mappings.db")),
                None => SqliteOptions::in_memory(),
            };
            let options = options.clock(Arc::new(clock.clone())).poll_interval(Duration::from_millis(5));
            options.call_deadline(Duration::from_secs(20)).open().await.expect("the store opens")
        };
        self.1.get_or_init(open).await.in_namespace(namespace)
    }
}

conformance_main!(
    Cached::new("cached_memory", Memory::default()),
    Cached::new("cached_sqlite", Sqlite::file()),
    Cached::new("cached_sqlite_in_memory", Sqlite::in_memory()),
);
