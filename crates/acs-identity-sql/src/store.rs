//! [`SqlStore`]: the handle, and the traits it implements.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Answers, Capabilities, Change, ChangeFeed, Clock, CustomerId, Error, Expect, Imported, Link, Linked,
    Mapping, MappingStore, Namespace, Page, PageRequest, Resolution, Resolver, Result, Timestamp,
};
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::dialect::{Connections, Dialect, Row};
use crate::error::Failure;
use crate::handover::Handover;
use crate::run::{CallState, run};
use crate::sweep::Sweeper;
use crate::{erase, feed, read, schema, write};

/// A [`MappingStore`] in the tables of a database; which one is in the type.
///
/// Cheap to clone; clones share the connections. Made by its database's own functions, for instance
/// `SqliteStore::open`.
pub struct SqlStore<D: Dialect> {
    shared: Arc<Shared<D>>,
    namespace: Namespace,
}

/// What all handles share.
pub(crate) struct Shared<D: Dialect> {
    pub(crate) reader: D::Pool,
    /// `None` if the readers' connections are written on, too.
    pub(crate) writer: Option<D::Pool>,
    /// Where the readers' connections go from one call to the next.
    pub(crate) handover: Handover<D::Connection>,
    /// The host's, if the database has none of its own.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) deadline: Duration,
    pub(crate) poll_interval: Duration,
    /// Whether subscribers listen for the database's own notifications, where it has any.
    pub(crate) notifications: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) sweeper: Sweeper,
}

impl<D: Dialect> Shared<D> {
    pub(crate) fn writer(&self) -> &D::Pool {
        self.writer.as_ref().unwrap_or(&self.reader)
    }
}

impl<D: Dialect> SqlStore<D> {
    pub(crate) fn new(shared: Shared<D>, namespace: Namespace) -> Self {
        Self { shared: Arc::new(shared), namespace }
    }

    /// A handle of another namespace of this database, on the same connections. It is closed with this one.
    pub fn in_namespace(&self, namespace: Namespace) -> Self {
        Self { shared: self.shared.clone(), namespace }
    }

    /// How many connections are in use at this moment, by all handles that share them, and by the application itself if the
    /// pool is its own; for an operator's gauge. A call has one at a time, also one that was dropped, until it is finished or
    /// given up in the background; a subscriber of the change feed has one while it looks. Where it stays at the most there
    /// are, calls wait for each other.
    pub fn connections_in_use(&self) -> u32 {
        let taken = self.shared.reader.in_use() + self.shared.writer.as_ref().map_or(0, D::Pool::in_use);
        taken.saturating_sub(self.shared.handover.spare())
    }

    /// The statements that make the tables, to be read or run by a database administrator: version by version, in rising
    /// order. Where there are tables of an older version already, only the versions above it are run, which is the highest
    /// number in `acs_identity_schema`. A store that finds the tables made changes nothing of them.
    ///
    /// In PostgreSQL and SQLite each version is one transaction. In MySQL and MariaDB each statement commits by itself; a
    /// version that was made by half is made again from its start. Their triggers are printed as the client `mysql` or
    /// `mariadb` reads them, between two `DELIMITER`, which is a command of the client and none of the server.
    pub fn schema_sql() -> String {
        schema::sql::<D>()
    }

    pub(crate) fn shared(&self) -> &Shared<D> {
        &self.shared
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_str()
    }

    /// A connection for reading, for a task whose caller still waits.
    pub(crate) async fn reader(&self, state: &CallState) -> Result<D::Connection, Failure> {
        let (pool, handover) = (&self.shared.reader, &self.shared.handover);
        let connection = match handover.take() {
            Some(connection) => connection,
            None if pool.is_exhausted() => handover.or(D::acquire(pool)).await?,
            None => D::acquire(pool).await?,
        };
        state.check()?;
        Ok(connection)
    }

    /// Takes a reader's connection back, once the answer to its last statement has been read.
    pub(crate) fn hand_on(&self, connection: D::Connection) {
        if !self.is_closed() {
            // Who waits at the pool is not to wait for one that is kept.
            let may_be_kept = !self.shared.reader.is_exhausted();
            self.shared.handover.hand_on(connection, may_be_kept);
        }
    }

    /// A connection for writing, for a task whose caller still waits.
    pub(crate) async fn writer(&self, state: &CallState) -> Result<D::Connection, Failure> {
        let spare = if self.shared.writer.is_none() { self.shared.handover.take() } else { None };
        let connection = match spare {
            Some(connection) => connection,
            None => D::acquire(self.shared.writer()).await?,
        };
        state.check()?;
        Ok(connection)
    }

    /// Runs one piece of work in a task of its own, within the deadline. It is begun again if something got in its way.
    pub(crate) async fn run<T, W>(&self, work: impl Fn(Self, CallState) -> W + Send + 'static) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let store = self.clone();
        run(self.shared.deadline, D::REMOTE, move |state| work(store.clone(), state)).await
    }

    /// The host's time, if that is the one that counts.
    pub(crate) fn host_time(&self) -> Option<Timestamp> {
        self.shared.clock.as_ref().map(|clock| clock.now())
    }

    /// The store's time.
    pub(crate) async fn now(&self, connection: &mut D::Connection) -> Result<Timestamp, Failure> {
        match (self.host_time(), D::statements().now) {
            (Some(now), _) => Ok(now),
            (None, Some(sql)) => {
                let row = D::fetch_optional(connection, sql, &[]).await?;
                let micros = row.and_then(|row| row.integer(0).ok().flatten());
                micros
                    .and_then(|now| u64::try_from(now).ok())
                    .map(Timestamp::from_micros)
                    .ok_or(Failure::Unreadable("now"))
            }
            (None, None) => Err(Failure::Unreadable("now")),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.reader.is_closed()
    }
}

impl<D: Dialect> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        self.in_namespace(self.namespace.clone())
    }
}

/// Without the path or the address of the database.
impl<D: Dialect> fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore")
            .field("backend", &D::BACKEND)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// The error with the operation in which it happened.
fn named<D: Dialect>(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.in_operation(operation).in_backend(D::BACKEND)
}

fn each_named<D: Dialect, T>(operation: &'static str, answers: Vec<Result<T>>) -> Vec<Result<T>> {
    answers.into_iter().map(|answer| answer.map_err(named::<D>(operation))).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<D: Dialect> Resolver for SqlStore<D> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        read::resolve(self, id).await.map_err(Error::from).map_err(named::<D>("resolve"))
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        match read::resolve_many(self, ids).await {
            Ok(found) => Answers::each_by_id(
                ids,
                found.into_iter().map(|(id, answer)| (id, answer.map_err(named::<D>("resolve_many")))),
                &Ok(None),
            ),
            Err(failure) => Answers::failed(ids, &named::<D>("resolve_many")(failure.into())),
        }
    }

    fn resolve_now(&self, _: &AcsId) -> Option<Option<Resolution>> {
        None
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<D: Dialect> MappingStore for SqlStore<D> {
    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        write::one(self, link, write::link).await.map_err(named::<D>("link"))
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        each_named::<D, _>("link_many", write::many(self, links, write::link).await)
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        each_named::<D, _>("import", write::many(self, mappings, write::import).await)
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        write::one(self, (id.clone(), expect), write::unlink).await.map_err(named::<D>("unlink"))
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        erase::unlink_customer(self, customer).await.map_err(named::<D>("unlink_customer"))
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        read::mappings_of(self, customer, &page).await.map_err(named::<D>("mappings_of"))
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        read::scan(self, &page).await.map_err(named::<D>("scan"))
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        erase::purge_expired(self, limit).await.map_err(Error::from).map_err(named::<D>("purge_expired"))
    }

    async fn ping(&self) -> Result<()> {
        read::ping(self).await.map_err(Error::from).map_err(named::<D>("ping"))
    }

    async fn close(&self) {
        // Each waits for the tasks that have one of its connections, and lets no other have one.
        let closed = futures::future::join(self.shared.reader.close(), self.shared.writer().close());
        self.shared.handover.clear();
        // A task has the deadline to the full and then still has to roll back; what takes longer hangs.
        let _ = tokio::time::timeout(2 * self.shared.deadline, closed).await;
    }
}

impl<D: Dialect> ChangeFeed for SqlStore<D> {
    fn changes(&self) -> BoxStream<'static, Change> {
        feed::subscribe(self.clone())
    }
}
