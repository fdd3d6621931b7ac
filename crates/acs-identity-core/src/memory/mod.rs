//! [`MemoryStore`]: a store in the memory of this process.

mod feed;
mod reverse;
mod shard;
mod space;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    AcsId, Answers, Capabilities, Capability, Change, ChangeFeed, Clock, CustomerId, Error, ErrorKind, Expect,
    Imported, Link, Linked, Mapping, MappingStore, Namespace, Page, PageRequest, Resolution, Resolver, Result,
    SystemClock, rules,
};
use space::Space;

const BACKEND: &str = "memory";

/// A [`MappingStore`] in the memory of this process: for tests, and for applications that load their mappings at start.
///
/// Keeps every promise of a store but durability. Both directions change in one step; readers don't wait for each other, and a
/// writer holds up only the readers of a small part of the data. Every answer is at hand at once, so
/// [`resolve_now`](Resolver::resolve_now) always has one. Cheap to clone; clones share the mappings.
///
/// ```
/// use acs_identity_core::{Link, MappingStore, MemoryStore, Resolver};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// store.link(Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?)).await?;
/// let found = store.resolve(&"8:acs:r_1".parse()?).await?.unwrap();
/// assert_eq!(found.customer_id().as_str(), "bob@contoso.com");
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    data: Arc<Data>,
    namespace: Namespace,
    space: Arc<Space>,
    closed: Arc<AtomicBool>,
}

/// What all handles share.
struct Data {
    clock: Arc<dyn Clock>,
    spaces: RwLock<HashMap<Namespace, Arc<Space>>>,
}

impl Data {
    fn space(&self, namespace: &Namespace) -> Arc<Space> {
        if let Some(space) = read(&self.spaces).get(namespace) {
            return space.clone();
        }
        write(&self.spaces).entry(namespace.clone()).or_insert_with(|| Arc::new(Space::new(self.clock.clone()))).clone()
    }
}

impl MemoryStore {
    /// An empty store, in the default namespace, on the clock of the operating system.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on another clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let data = Arc::new(Data { clock, spaces: RwLock::default() });
        let namespace = Namespace::default();
        Self { space: data.space(&namespace), data, namespace, closed: Arc::default() }
    }

    /// A handle of another namespace of this store. It is closed with this one.
    pub fn in_namespace(&self, namespace: Namespace) -> Self {
        Self { space: self.data.space(&namespace), namespace, data: self.data.clone(), closed: self.closed.clone() }
    }

    /// Another handle of the same mappings that is closed on its own: what a second client is to a server. For tests of
    /// what several processes see.
    #[must_use]
    pub fn second_client(&self) -> Self {
        Self { closed: Arc::default(), ..self.clone() }
    }

    fn open(&self, operation: &'static str) -> Result<&Space> {
        if self.closed.load(Ordering::Acquire) {
            let error = Error::new(ErrorKind::Unavailable, "the store is closed");
            return Err(error.in_operation(operation).in_backend(BACKEND));
        }
        Ok(&self.space)
    }

    /// Runs one step for each item of a batch, but for those whose ID is in it twice.
    fn each<I, T>(
        &self,
        operation: &'static str,
        items: &[I],
        id: impl Fn(&I) -> &AcsId,
        step: impl Fn(&Space, &I) -> Result<T>,
    ) -> Vec<Result<T>> {
        let refused = rules::duplicates(items.iter().map(id));
        let one = |(item, refused): (&I, bool)| {
            let space = self.open(operation)?;
            if refused { Err(rules::duplicate_error()) } else { step(space, item) }
        };
        items.iter().zip(refused).map(|item| one(item).map_err(|error| name(error, operation))).collect()
    }
}

fn name(error: Error, operation: &'static str) -> Error {
    error.in_operation(operation).in_backend(BACKEND)
}

// A panic while a lock is held can only come from a clock that someone else wrote, and that is asked before anything is changed.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Resolver for MemoryStore {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        Ok(self.open("resolve")?.resolve(id))
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        match self.open("resolve_many") {
            Ok(space) => Answers::by_id(ids, ids.iter().filter_map(|id| Some((id.as_str(), space.resolve(id)?)))),
            Err(error) => Answers::failed(ids, &error),
        }
    }

    fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
        self.open("resolve").ok().map(|space| space.resolve(id))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MappingStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .with(Capability::ScanExactlyOnce)
            .with(Capability::ChangeFeed)
            .without(Capability::Durable, "the mappings live in the memory of one process")
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        self.open("link")?.link(&link).map_err(|error| name(error, "link"))
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        self.each("link_many", links, |link| &link.acs_id, Space::link)
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        self.each("import", mappings, |mapping| &mapping.acs_id, Space::import)
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        self.open("unlink")?.unlink(id, &expect).map_err(|error| name(error, "unlink"))
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        self.open("unlink_customer")?.unlink_customer(customer).map_err(|error| name(error, "unlink_customer"))
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        self.open("mappings_of")?.mappings_of(customer, &page).map_err(|error| name(error, "mappings_of"))
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        self.open("scan")?.scan(&page).map_err(|error| name(error, "scan"))
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        Ok(self.open("purge_expired")?.purge_expired(limit))
    }

    async fn ping(&self) -> Result<()> {
        self.open("ping").map(|_| ())
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Feeds of all handles look whether theirs has been closed.
        for space in read(&self.data.spaces).values() {
            space.wake_feeds();
        }
    }
}

impl ChangeFeed for MemoryStore {
    fn changes(&self) -> BoxStream<'static, Change> {
        feed::subscribe(self.space.clone(), self.closed.clone())
    }
}
