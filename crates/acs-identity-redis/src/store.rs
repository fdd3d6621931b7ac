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
use tokio::time::{Instant, timeout_at};

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

/// A [`MappingStore`] in Redis or Valkey, version 7.0 or later (Valkey 7.2): on one server, on the primary that
/// Sentinel names, or in a cluster.
///
/// Times and expiries are by the servers' clocks: that of the node which has the record. IDs are compared byte for
/// byte. In a cluster those of the nodes should agree to a few seconds: an index entry is made by one node's clock, and
/// its record by another's. What survives a crash or a failover is what the servers are set to keep; see
/// [`replica_acknowledgements`](crate::RedisOptions::replica_acknowledgements).
///
/// # Connections and TLS
/// Each node has one connection that all calls share, and a second one for writes if replicas have to acknowledge them;
/// so has each seed and each sentinel that is asked where the nodes are. They speak RESP3, are made when they are
/// needed, and made again, with growing pauses of up to half a second, when they are lost. `rediss://` is TLS by
/// rustls: the certificate and its name are always checked, by the system's authorities or by those of
/// [`certificate_authority`](crate::RedisOptions::certificate_authority). If the application has not chosen rustls's
/// default provider of cryptography by then, ring becomes it.
///
/// # Change feed
/// Each master tells a subscriber, on a connection of its own, of the keys of the namespace that are changed, whoever
/// changes them (`CLIENT TRACKING` in broadcast mode). A record's key is told as
/// [`Change::Acs`](acs_identity_core::Change::Acs), a part of a customer's index as
/// [`Change::Customer`](acs_identity_core::Change::Customer). A connection that ends, a change of the cluster or of the
/// primary, `FLUSHALL`, and 10,000 keys that wait for a slow subscriber are told as
/// [`Change::Lost`](acs_identity_core::Change::Lost). Not seen is that a mapping has expired: only its purge shows as a
/// change.
///
/// # What is kept of what was removed
/// - After an unlink, the ACS ID and its last revision (a tombstone), without the customer ID and the properties: for
///   one hour, after which Redis drops it.
/// - An expired mapping, wholly, until [`purge_expired`](MappingStore::purge_expired), a new link of its ACS ID or
///   `unlink_customer` replaces it. Redis drops nothing by itself that has expired, so that the purge finds whose it
///   was: call it about once an hour, until it answers 0.
/// - In a cluster, in the customer's index, ACS IDs of writes that were not finished: until somebody lists the
///   customer's mappings, or unlinks the customer, ten minutes after the last such write at the earliest. Before that
///   [`unlink_customer`](MappingStore::unlink_customer) is `Unavailable`, although his mappings are unlinked: repeat
///   it.
///
/// Files of Redis (`appendonly`, snapshots) hold what was removed until they are rewritten.
///
/// # Deadlines and lost connections
/// A call has a deadline (see [`call_deadline`](crate::RedisOptions::call_deadline)). Until then, what was certainly
/// not done is sent again, also a write: when no connection can be made, when keys have moved, when a replica has to
/// take over. A read whose answer was lost is sent once more; a write whose answer was lost is `OutcomeUnknown`. In a
/// batch each ID has its own answer: a node that is away fails its own IDs alone: those whose record, or whose
/// customer's index, is there.
///
/// # Cancellation
/// A write that is dropped is finished in the background, by its deadline; of a batch, the part of 2000 that is under
/// way, and those behind it are not begun. [`close`](MappingStore::close) waits for what is under way.
///
/// ```no_run
/// # async fn open() -> acs_identity_core::Result<()> {
/// use acs_identity_redis::RedisOptions;
/// let store = RedisOptions::cluster(["rediss://app:secret@10.0.0.1:6379", "rediss://app:secret@10.0.0.2:6379"])
///     .certificate_authority("/etc/app/authority.pem")
///     .open()
///     .await?;
/// # Ok(()) }
/// ```
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

    /// Makes the index by customer anew where an entry is missing, and answers with how many mappings it has looked at,
    /// those included that have expired and are not purged. To be called after a failover that has lost writes, when
    /// the record of an ACS ID may be on its node while the entry was lost with another one: until then
    /// [`mappings_of`](MappingStore::mappings_of) may leave it out. May be repeated, and may run while the store is in
    /// use.
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

    /// Carries out a command that changes nothing.
    pub(crate) async fn ask_one(&self, ask: Ask, end: Instant) -> Result<Value, Failure> {
        self.ask(&[ask], end).await.pop().unwrap_or(Err(Failure::Answer))
    }

    /// Carries out commands that change nothing.
    pub(crate) async fn ask(&self, asks: &[Ask], end: Instant) -> Vec<Result<Value, Failure>> {
        self.nodes().each(asks, Sort::Read, end).await
    }

    /// Does a piece of work that writes, in a task of its own, so that it is finished even if the caller leaves. It has
    /// to begin by its end.
    pub(crate) async fn run<T, W>(&self, end: Instant, work: impl FnOnce(Self) -> W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        if self.nodes().is_closed() {
            return Err(Failure::Closed);
        }
        let permit = timeout_at(end, self.shared.writes.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| Failure::NoAnswer)?.map_err(|_| Failure::Closed)?;
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
        scan::page(self, &page, scan::Listed::Present).await.map_err(named("scan"))
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

#[cfg(test)]
mod tests {
    use acs_identity_core::ErrorKind;
    use acs_identity_servers::{Kind, url};

    use super::*;
    use crate::RedisOptions;

    #[tokio::test]
    async fn a_write_for_which_there_is_no_room_until_its_deadline_is_not_done() {
        let namespace = Namespace::new(&format!("full-{}", std::process::id())).unwrap();
        let options = RedisOptions::url(url(Kind::Redis)).namespace(namespace);
        let store = options.call_deadline(Duration::from_millis(300)).open().await.unwrap();
        let id: AcsId = "8:acs:r_1".parse().unwrap();
        let link = Link::create(id.clone(), "ann".parse().unwrap());
        let under_way = store.shared.writes.acquire_many(WRITES).await.unwrap();
        assert_eq!(store.link(link.clone()).await.unwrap_err().kind(), ErrorKind::Timeout);
        let [many] = <[_; 1]>::try_from(store.link_many(std::slice::from_ref(&link)).await).unwrap();
        assert_eq!(many.unwrap_err().kind(), ErrorKind::Timeout);
        // Lookups need none.
        assert!(store.resolve(&id).await.unwrap().is_none());
        drop(under_way);
        assert!(store.link(link).await.unwrap().changed);
    }
}
