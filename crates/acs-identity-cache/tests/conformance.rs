//! The cache in front of a store changes no promise of it.

#[path = "common/watched.rs"]
#[allow(unreachable_pub)]
mod watched;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::{ReadThrough, TableKind};
use acs_identity_core::{Change, ChangeFeed, MappingStore, MemoryStore, Namespace, Resolver};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use acs_identity_testkit::{Fixture, ManualClock, ManualFeed, run};
use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};
use watched::Watched;

/// Clients are clones of one cache for each namespace: without a feed, a write is seen at once only by those.
struct Cached<B> {
    name: &'static str,
    backend: B,
    table: TableKind,
    clock: ManualClock,
    caches: Mutex<HashMap<Namespace, ReadThrough<Arc<dyn MappingStore>>>>,
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
    fn new(name: &'static str, backend: B, table: TableKind) -> Self {
        Self { name, backend, table, clock: ManualClock::new(), caches: Mutex::default() }
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
        let cache = ReadThrough::builder(store).clock(Arc::new(self.clock.clone())).table(self.table).build();
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

/// Each client is a cache of its own over a client of its own. They hear of each other's writes by a feed without delay.
struct Followers<B> {
    cached: Cached<B>,
    /// The news of each namespace, and how many caches follow them.
    news: Mutex<HashMap<Namespace, (ManualFeed, u64)>>,
}

impl<B: Backend> Followers<B> {
    fn new(name: &'static str, backend: B, table: TableKind) -> Self {
        Self { cached: Cached::new(name, backend, table), news: Mutex::default() }
    }
}

#[async_trait]
impl<B: Backend> Fixture for Followers<B> {
    fn name(&self) -> &str {
        self.cached.name
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        let Cached { backend, table, clock, .. } = &self.cached;
        let store = backend.store(clock, namespace.clone()).await;
        let mut news = self.news.lock().await;
        let (feed, followers) = news.entry(namespace).or_default();
        let store = Watched { store, watcher: feed.clone() };
        let builder = ReadThrough::builder(store).clock(Arc::new(clock.clone())).table(*table);
        let cache = builder.feed(feed.clone()).build();
        // It follows from the first question on, whatever the answer.
        let _ = cache.resolve(&"8:acs:first_question".parse().expect("an ID")).await;
        *followers += 1;
        feed.subscribed(*followers).await;
        feed.tell(Change::Live).await;
        assert!(cache.stats().feed_live);
        Arc::new(cache)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        self.cached.feed(namespace).await
    }

    fn feed_keeps(&self) -> Option<u32> {
        self.cached.feed_keeps()
    }

    fn clock(&self) -> Option<ManualClock> {
        self.cached.clock()
    }

    fn patience(&self) -> Duration {
        self.cached.patience()
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

fn main() -> ExitCode {
    const MOKA: TableKind = TableKind::Moka;
    #[cfg(feature = "quick-cache")]
    const QUICK: TableKind = TableKind::QuickCache;
    let fixtures: &[fn() -> Arc<dyn Fixture>] = &[
        || Arc::new(Cached::new("cached_memory", Memory::default(), MOKA)),
        || Arc::new(Cached::new("cached_sqlite", Sqlite::file(), MOKA)),
        || Arc::new(Cached::new("cached_sqlite_in_memory", Sqlite::in_memory(), MOKA)),
        || Arc::new(Followers::new("caches_with_feed_memory", Memory::default(), MOKA)),
        || Arc::new(Followers::new("caches_with_feed_sqlite", Sqlite::file(), MOKA)),
        #[cfg(feature = "quick-cache")]
        || Arc::new(Cached::new("quick_cached_memory", Memory::default(), QUICK)),
        #[cfg(feature = "quick-cache")]
        || Arc::new(Cached::new("quick_cached_sqlite", Sqlite::file(), QUICK)),
        #[cfg(feature = "quick-cache")]
        || Arc::new(Followers::new("quick_caches_with_feed_memory", Memory::default(), QUICK)),
    ];
    run(fixtures)
}
