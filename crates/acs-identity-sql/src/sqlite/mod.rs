//! SQLite.

mod fault;
mod migrations;
mod open;
mod options;
mod statements;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments, Row as _};
use tokio::runtime::Handle;

use crate::dialect::{Dialect, Row, Statements, Value, WrongType};
use crate::error::Failure;
use crate::store::SqlStore;
use fault::failure;
pub use options::{SqliteOptions, Synchronous};

/// A [`MappingStore`](acs_identity_core::MappingStore) in SQLite: in a file, or in the memory of this process.
///
/// A file may be used by many processes of one machine at once. It is put into WAL mode: readers don't wait for the
/// writer, and there is one writer at a time, in this process and among all of them. A write that returned has been
/// synced to the disk (see [`Synchronous`]). Times and expiries are by this machine's clock.
///
/// A memory database has one connection for everything and is gone when the store is.
///
/// # Change feed
/// Triggers write every change to a log, whoever makes it and however, and subscribers poll that. It keeps the last
/// 10,000 changes of all namespaces together; who falls further behind is told so. Not seen are: a change of the tables
/// themselves, a database file put in place of the open one, and changes made while the triggers were dropped.
///
/// # Deadlines
/// A call has a deadline (see [`SqliteOptions::call_deadline`]). `link_many`, `import`, `unlink_customer` and
/// `purge_expired` work in transactions of some hundred rows, each of which has the deadline; the first one that fails ends the
/// call, and what was not tried is `Unavailable`.
///
/// # Cancellation
/// A call that is dropped is finished or given up in the background: its connection comes back whole, and a write is
/// applied wholly or not at all.
///
/// ```
/// use acs_identity_core::{Link, MappingStore, Resolver};
/// use acs_identity_sql::SqliteStore;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = SqliteStore::in_memory().await?;
/// store.link(Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?)).await?;
/// let found = store.resolve(&"8:acs:r_1".parse()?).await?.unwrap();
/// assert_eq!(found.customer_id().as_str(), "bob@contoso.com");
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
pub type SqliteStore = SqlStore<Sqlite>;

/// The dialect of [`SqliteStore`].
#[derive(Debug)]
pub enum Sqlite {}

impl Dialect for Sqlite {
    const BACKEND: &'static str = "sqlite";

    type Pool = SqlitePool;
    type Connection = PoolConnection<sqlx::Sqlite>;
    type Transaction = Transaction;
    type Row = SqliteRow;

    fn statements() -> &'static Statements {
        &statements::STATEMENTS
    }

    fn migrations() -> &'static [&'static [&'static str]] {
        migrations::MIGRATIONS
    }

    async fn acquire(pool: &Self::Pool) -> Result<Self::Connection, Failure> {
        pool.acquire().await.map_err(failure)
    }

    async fn begin(mut connection: Self::Connection) -> Result<Self::Transaction, Failure> {
        // Immediate: a transaction that reads first and asks for the write lock later fails at once if somebody else
        // wrote in between, whatever the busy timeout is.
        Self::execute(&mut connection, "BEGIN IMMEDIATE", &[]).await?;
        Ok(Transaction(Some(connection)))
    }

    async fn commit(mut transaction: Self::Transaction) -> Result<(), Failure> {
        match Self::execute(&mut transaction, "COMMIT", &[]).await {
            Ok(_) => {
                transaction.0 = None;
                Ok(())
            }
            // Still open: the commit did not begin.
            Err(locked @ Failure::Locked { .. }) => {
                Self::rollback(transaction).await;
                Err(locked)
            }
            // The log may or may not have reached the disk.
            Err(_) => {
                Self::rollback(transaction).await;
                Err(Failure::OutcomeUnknown)
            }
        }
    }

    async fn rollback(mut transaction: Self::Transaction) {
        if let Some(mut connection) = transaction.0.take() {
            // Some failures have rolled back already; that this one then fails says that all is well.
            let _ = Self::execute(&mut connection, "ROLLBACK", &[]).await;
        }
    }

    async fn fetch_all(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Self::Row>, Failure> {
        sqlx::query_with(sql, arguments(values)?).fetch_all(&mut **connection).await.map_err(failure)
    }

    async fn fetch_optional(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Self::Row>, Failure> {
        sqlx::query_with(sql, arguments(values)?).fetch_optional(&mut **connection).await.map_err(failure)
    }

    async fn execute(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let done = sqlx::query_with(sql, arguments(values)?).execute(&mut **connection).await.map_err(failure)?;
        Ok(done.rows_affected())
    }

    fn is_closed(pool: &Self::Pool) -> bool {
        pool.is_closed()
    }

    fn closed(pool: &Self::Pool) -> impl Future<Output = ()> + Send + 'static {
        pool.close_event()
    }

    fn close(pool: &Self::Pool) -> impl Future<Output = ()> + Send {
        pool.close()
    }
}

fn arguments(values: &[Value<'_>]) -> Result<SqliteArguments, Failure> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            // One allocation; a `&str` would be copied into a `String` in an `Arc`.
            Value::Text(text) => arguments.add(Arc::<str>::from(*text)),
            Value::Integer(number) => arguments.add(*number),
            Value::Null => arguments.add(None::<i64>),
        };
        added.map_err(|_| Failure::Driver)?;
    }
    Ok(arguments)
}

impl Row for SqliteRow {
    fn text(&self, column: usize) -> Result<Option<&str>, WrongType> {
        self.try_get(column).map_err(|_| WrongType)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, WrongType> {
        self.try_get(column).map_err(|_| WrongType)
    }
}

/// A connection with an open transaction; there until the transaction has ended.
// Not the driver's own transaction: that one loses count where SQLite rolled back by itself, after a full disk for
// instance, and its connection then begins no other.
#[derive(Debug)]
pub struct Transaction(Option<PoolConnection<sqlx::Sqlite>>);

const ENDED: &str = "a transaction is used only while it is open";

impl Deref for Transaction {
    type Target = PoolConnection<sqlx::Sqlite>;
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect(ENDED)
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().expect(ENDED)
    }
}

/// For a task that panicked half-way; everyone else commits or rolls back.
impl Drop for Transaction {
    fn drop(&mut self) {
        if let (Some(connection), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(Sqlite::rollback(Self(Some(connection))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use acs_identity_core::{
        AcsId, Clock, ErrorKind, Link, MappingStore, Properties, Resolver, SystemClock, Timestamp,
    };

    use super::*;

    fn link(n: usize) -> Link {
        Link::create(AcsId::new(n.to_string()).unwrap(), "bob".parse().unwrap())
    }

    async fn in_memory_and_in_file() -> (tempfile::TempDir, [SqliteOptions; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteOptions::file(folder.path().join("a.db"));
        (folder, [SqliteOptions::in_memory(), file])
    }

    #[tokio::test]
    async fn a_database_in_memory_has_one_connection_and_keeps_it() {
        let store = SqliteStore::in_memory().await.unwrap();
        let pool = &store.shared().reader;
        let options = pool.options();
        assert_eq!((options.get_max_connections(), options.get_idle_timeout()), (1, None));
        assert_eq!(options.get_max_lifetime(), None);
        let links: Vec<Link> = (0..64).map(link).collect();
        futures::future::join_all(links.iter().map(|link| store.link(link.clone()))).await;
        let found = futures::future::join_all(links.iter().map(|link| store.resolve(&link.acs_id))).await;
        assert!(found.into_iter().all(|found| found.unwrap().is_some()));
        assert_eq!(pool.size(), 1);
    }

    #[tokio::test]
    async fn a_full_database_refuses_writes_and_takes_them_when_there_is_room() {
        let (_folder, options) = in_memory_and_in_file().await;
        for options in options {
            let store = options.open().await.unwrap();
            store.link(link(0)).await.unwrap();
            let set_limit = async |sql| {
                let mut connection = Sqlite::acquire(&store.shared().writer).await.unwrap();
                Sqlite::fetch_all(&mut connection, sql, &[]).await.unwrap();
            };
            // The smallest that there can be: as many pages as there are.
            set_limit("PRAGMA max_page_count = 1").await;
            let large = Properties::new([("name", "x".repeat(4000))]).unwrap();
            let links: Vec<_> = (1..100).map(|n| link(n).with_properties(large.clone())).collect();
            for answer in store.link_many(&links).await {
                assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
            }
            assert!(store.resolve(&links[0].acs_id).await.unwrap().is_none());
            set_limit("PRAGMA max_page_count = 1000000").await;
            assert!(store.link_many(&links).await.into_iter().all(|answer| answer.unwrap().changed));
            assert!(store.resolve(&link(0).acs_id).await.unwrap().is_some());
        }
    }

    /// Panics when it is told to.
    #[derive(Debug, Default)]
    struct BadClock(AtomicBool);

    impl Clock for BadClock {
        fn now(&self) -> Timestamp {
            assert!(!self.0.load(Ordering::Relaxed), "out of order");
            SystemClock.now()
        }

        fn monotonic(&self) -> Duration {
            SystemClock.monotonic()
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_transaction_is_an_error_and_leaves_nothing_behind() {
        let (_folder, options) = in_memory_and_in_file().await;
        for options in options {
            let clock = Arc::new(BadClock::default());
            let store = options.clock(clock.clone()).open().await.unwrap();
            store.link(link(0)).await.unwrap();
            clock.0.store(true, Ordering::Relaxed);
            assert_eq!(store.link(link(1)).await.unwrap_err().kind(), ErrorKind::Internal);
            assert_eq!(store.link(link(2)).await.unwrap_err().kind(), ErrorKind::Internal);
            clock.0.store(false, Ordering::Relaxed);
            store.link(link(3)).await.unwrap();
            let ids: Vec<AcsId> = (0..4).map(|n| link(n).acs_id).collect();
            let found: Vec<bool> = store.resolve_many(&ids).await.into_iter().map(|it| it.unwrap().is_some()).collect();
            assert_eq!(found, [true, false, false, true]);
        }
    }

    #[tokio::test]
    async fn a_dropped_transaction_is_rolled_back() {
        let store = SqliteStore::in_memory().await.unwrap();
        let mut transaction = Sqlite::begin(Sqlite::acquire(&store.shared().writer).await.unwrap()).await.unwrap();
        let sql = "INSERT INTO acs_identity_mappings VALUES ('default', 'a', 'bob', NULL, 0, NULL, 1)";
        assert_eq!(Sqlite::execute(&mut transaction, sql, &[]).await.unwrap(), 1);
        drop(transaction);
        assert!(store.resolve(&"a".parse().unwrap()).await.unwrap().is_none());
        store.link(link(1)).await.unwrap();
    }
}
