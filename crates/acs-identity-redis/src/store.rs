//! [`RedisStore`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Answers, Capabilities, Capability, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, MappingStore,
    Namespace, Page, PageRequest, Resolution, Resolver, Result,
};
use async_trait::async_trait;
use redis::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::error::Failure;
use crate::keys::Keys;
use crate::nodes::{Ask, Nodes, Sort};
use crate::{purge, read, repair, reverse, scan, write};

/// The backend's name in errors.
const BACKEND: &str = "redis";

const CAPABILITIES: Capabilities = Capabilities::none()
    .with(Capability::Durable)
    .with(Capability::ChangeFeed)
    .without(Capability::ScanExactlyOnce, "SCAN may give a key twice while the server's table grows or shrinks");

/// A [`MappingStore`] in Redis or Valkey: on one server, on the primary that Sentinel names, or in a cluster.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
    namespace: Namespace,
    keys: Keys,
}

/// What the handles of all namespaces share.
pub(crate) struct Shared {
    pub(crate) nodes: Nodes,
    pub(crate) deadline: Duration,
    /// One for each write that is under way, so that closing can wait for them.
    writes: Arc<Semaphore>,
}

/// The most writes under way at once.
const WRITES: u32 = 1 << 16;

impl RedisStore {
    pub(crate) fn new(nodes: Nodes, deadline: Duration, namespace: Namespace) -> Self {
        let writes = Arc::new(Semaphore::new(WRITES as usize));
        let keys = Keys::new(&namespace);
        Self { shared: Arc::new(Shared { nodes, deadline, writes }), namespace, keys }
    }

    /// The same servers, with the mappings of another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: Namespace) -> Self {
        let keys = Keys::new(&namespace);
        Self { shared: self.shared.clone(), namespace, keys }
    }

    /// Makes the index by customer anew where an entry is missing, and answers with how many mappings it has looked at. To be
    /// called after a failover that has lost writes, when the record of an ACS ID may be on its node while the entry was lost with
    /// another one: until then [`mappings_of`](MappingStore::mappings_of) may leave it out. May be repeated, and may run
    /// while the store is in use.
    ///
    /// # Errors
    /// As [`scan`](MappingStore::scan). After an error some may have been made.
    pub async fn rebuild_reverse(&self) -> Result<u64> {
        repair::rebuild(self).await.map_err(named("rebuild_reverse"))
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.shared.nodes
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// When a call that begins now has to end.
    pub(crate) fn end(&self) -> Instant {
        Instant::now() + self.shared.deadline
    }

    /// Carries out commands that change nothing.
    pub(crate) async fn ask(&self, asks: &[Ask], end: Instant) -> Vec<Result<Value, Failure>> {
        self.nodes().each(asks, Sort::Read, end).await
    }

    /// Does a piece of work that writes, in a task of its own, so that it is finished even if the caller leaves.
    pub(crate) async fn run<T, W>(&self, work: impl FnOnce(Self) -> W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        if self.nodes().is_closed() {
            return Err(Failure::Closed);
        }
        let permit = self.shared.writes.clone().acquire_owned().await.map_err(|_| Failure::Closed)?;
        let work = work(self.clone());
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(permit);
            done
        });
        task.await.map_err(|_| Failure::Task)
    }
}

/// Without the addresses of the servers.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The error with the operation in which it happened.
pub(crate) fn named<F: Into<Error>>(operation: &'static str) -> impl Fn(F) -> Error {
    move |failure| failure.into().in_operation(operation).in_backend(BACKEND)
}

fn each_named<T>(operation: &'static str, answers: Vec<Result<T>>) -> Vec<Result<T>> {
    answers.into_iter().map(|answer| answer.map_err(named(operation))).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Resolver for RedisStore {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        read::resolve(self, id).await.map_err(named("resolve"))
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let found = read::resolve_many(self, ids).await;
        let found = found.into_iter().map(|(id, answer)| (id, answer.map_err(named("resolve_many"))));
        Answers::each_by_id(ids, found, &Ok(None))
    }

    fn resolve_now(&self, _: &AcsId) -> Option<Option<Resolution>> {
        None
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MappingStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        write::one(self, link).await.map_err(named("link"))
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        each_named("link_many", write::many(self, links).await)
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        each_named("import", write::many(self, mappings).await)
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        write::one(self, write::Unlink(id.clone(), expect)).await.map_err(named("unlink"))
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        reverse::unlink_customer(self, customer).await.map_err(named("unlink_customer"))
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        reverse::mappings_of(self, customer, &page).await.map_err(named("mappings_of"))
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        scan::page(self, &page).await.map_err(named("scan"))
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        purge::expired(self, limit).await.map_err(named("purge_expired"))
    }

    async fn ping(&self) -> Result<()> {
        read::ping(self).await.map_err(named("ping"))
    }

    async fn close(&self) {
        let all = self.shared.writes.acquire_many(WRITES);
        // A write ends at its deadline; what takes longer hangs.
        let finished = tokio::time::timeout(2 * self.shared.deadline, all).await;
        self.shared.writes.close();
        self.nodes().close();
        drop(finished);
    }
}
