//! SQLite.

mod fault;
mod feed;
mod migrations;
mod open;
mod options;
mod statements;
mod transaction;

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments, Row as _, SqlSafeStr};

use crate::dialect::{Dialect, Row, Statements, Value, WrongType};
use crate::error::{Code, Failure};
use crate::feed::Reading;
use crate::store::SqlStore;
use fault::failure;
pub use options::{SqliteOptions, Synchronous};
use transaction::Transaction;

/// A [`MappingStore`](acs_identity_core::MappingStore) in SQLite: in a file, or in the memory of this process.
///
/// A file may be used by many processes of one machine at once. It is put into WAL mode: readers don't wait for the
/// writer, and there is one writer at a time, in this process and among all of them. A write that returned has been
/// synced to the disk (see [`Synchronous`]). Times and expiries are by this machine's clock.
///
/// A memory database has one connection for everything and is gone when the store is. It should be used on one runtime: when
/// the runtime ends on which its connection was used last, the connection may be closed, the mappings are gone, and
/// every call is `Misconfigured`.
///
/// # Change feed
/// Triggers write every change to a log, whoever makes it and however, and subscribers poll that. It keeps the last
/// 10,000 changes of all namespaces together, for an hour; who falls further behind is told so. Not seen are: a change of
/// the tables themselves, changes made while the triggers were dropped, and whom an `UPDATE OR REPLACE` takes an ACS ID from.
/// An `INSERT OR REPLACE` or an upsert made by hand is told twice,
/// an `INSERT OR IGNORE` also where it changes nothing.
///
/// # What is kept of what was removed
/// - After an unlink, the ACS ID and its last revision (a tombstone), without the customer ID and the properties: for one
///   hour by the store's clock, and then until the next few writes of any namespace. The same after `unlink_customer`,
///   which leaves nothing of the customer's expired mappings either.
/// - In the log of changes, the ACS ID and the customer IDs before and after each change, without properties: for one hour
///   by SQLite's clock or the next 10,000 changes, and then until the next few changes.
/// - An expired mapping, wholly, until `purge_expired`, a new link of its ACS ID or `unlink_customer` replaces it.
///
/// So on a database that is hardly written to, an application calls
/// [`purge_expired`](acs_identity_core::MappingStore::purge_expired) now and then, also if no mapping of it expires: it
/// deletes all that is over an hour old, of the log and the tombstones at most as many as its limit. SQLite
/// itself leaves the bytes of what was deleted in the file until it uses their space again; `VACUUM` removes them.
///
/// # The file
/// It must stay where it is: SQLite does not notice that an open file was deleted, and writes to one that is gone are lost.
///
/// # Rows changed by hand
/// What can't be read as a mapping is `Corrupt`, never absent. But a row of which only the properties can't be read may
/// be replaced and unlinked; the mapping that a write then answers with is without properties.
///
/// # Deadlines
/// A call has a deadline (see [`SqliteOptions::call_deadline`]). `link_many`, `import`, `unlink_customer` and
/// `purge_expired` work in transactions of up to a thousand rows, each of which has the deadline; the first one that fails
/// ends the call, and what was not tried is `Unavailable`.
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
    const REMOTE: bool = false;
    const SCHEMA_IN_TRANSACTIONS: bool = true;
    const NAMESPACE_ONCE: bool = true;

    type Pool = SqlitePool;
    type Connection = PoolConnection<sqlx::Sqlite>;
    type Transaction = Transaction;
    type Row = SqliteRow;
    type LogPosition = i64;
    type Wakeup = ();

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
        Ok(Transaction::of(connection))
    }

    async fn commit(mut transaction: Self::Transaction) -> Result<(), Failure> {
        match Self::execute(&mut transaction, "COMMIT", &[]).await {
            Ok(_) => {
                drop(transaction.ended());
                Ok(())
            }
            Err(failure) => {
                Self::rollback(transaction).await;
                Err(match failure {
                    // Locked, out of memory, interrupted, disk full: SQLite has not committed, and says so by its code.
                    Failure::Locked { .. } => failure,
                    Failure::Database { source: Code::Sqlite(code), .. } if [7, 9, 13].contains(&(code & 0xff)) => {
                        failure
                    }
                    // The log may or may not have reached the disk.
                    Failure::Database { source, .. } => Failure::Unacknowledged { source },
                    _ => Failure::OutcomeUnknown,
                })
            }
        }
    }

    async fn rollback(transaction: Self::Transaction) {
        if let Some(connection) = transaction.ended() {
            transaction::roll_back(connection).await;
        }
    }

    async fn fetch_all(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Self::Row>, Failure> {
        Self::fetch(connection, sql, values).await
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

    async fn read_log(
        connection: &mut Self::Connection,
        namespace: &str,
        position: Option<&i64>,
    ) -> Result<Reading<i64>, Failure> {
        feed::read(connection, namespace, position.copied()).await
    }

    async fn wakeup(_: &SqlStore<Self>) -> Result<(), Failure> {
        Ok(())
    }

    async fn woken((): &mut (), store: &SqlStore<Self>) -> Result<(), Failure> {
        tokio::time::sleep(store.shared().poll_interval).await;
        Ok(())
    }
}

impl Sqlite {
    /// All rows of a statement, which may have been made at run time.
    pub(crate) async fn fetch(
        connection: &mut PoolConnection<sqlx::Sqlite>,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<SqliteRow>, Failure> {
        sqlx::query_with(sql, arguments(values)?).fetch_all(&mut **connection).await.map_err(failure)
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
            // Its statements have none.
            Value::Texts(_) | Value::Integers(_) => return Err(Failure::Driver),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use acs_identity_core::{
        AcsId, Clock, ErrorKind, Link, MappingStore, Properties, Resolver, SystemClock, Timestamp,
    };

    use super::*;
    use crate::dialect::Connections;

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
    async fn writes_have_their_turn_while_many_read() {
        let store = SqliteStore::in_memory().await.unwrap();
        store.link(link(0)).await.unwrap();
        let id = link(0).acs_id;
        let read = async || loop {
            assert!(store.resolve(&id).await.unwrap().is_some());
        };
        let readers = futures::future::join_all((0..32).map(|_| read()));
        let write = async {
            for n in 1..20 {
                store.link(link(n)).await.unwrap();
            }
        };
        futures::future::select(std::pin::pin!(readers), std::pin::pin!(write)).await;
    }

    #[tokio::test]
    async fn a_full_database_refuses_writes_and_takes_them_when_there_is_room() {
        let (_folder, options) = in_memory_and_in_file().await;
        for options in options {
            let store = options.open().await.unwrap();
            store.link(link(0)).await.unwrap();
            let set_limit = async |sql| {
                let mut connection = Sqlite::acquire(store.shared().writer()).await.unwrap();
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

    /// A connection comes back a little after the call that had it.
    async fn eventually(holds: impl Fn() -> bool) {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn connections_are_counted_while_they_are_in_use() {
        let (_folder, options) = in_memory_and_in_file().await;
        for options in options {
            let store = options.open().await.unwrap();
            store.link(link(0)).await.unwrap();
            eventually(|| store.connections_in_use() == 0).await;
            let connection = Sqlite::acquire(store.shared().writer()).await.unwrap();
            assert_eq!(store.in_namespace("other".parse().unwrap()).connections_in_use(), 1);
            drop(connection);
            eventually(|| store.connections_in_use() == 0).await;
        }
    }

    #[tokio::test]
    async fn a_link_made_while_a_customer_is_unlinked_stays() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::file(folder.path().join("a.db")).busy_timeout(Duration::from_secs(60));
        let options = options.call_deadline(Duration::from_secs(60));
        let (store, other) = (options.clone().open().await.unwrap(), options.open().await.unwrap());
        store.link(link(1)).await.unwrap();
        // Somebody else links one more, and commits after it was settled which there are at the start.
        let mut linking = Sqlite::begin(Sqlite::acquire(other.shared().writer()).await.unwrap()).await.unwrap();
        let sql = "INSERT INTO acs_identity_mappings VALUES ('default', '2', 'bob', NULL, 9000000000000000, NULL, 1)";
        Sqlite::execute(&mut linking, sql, &[]).await.unwrap();
        eventually(|| store.connections_in_use() == 0).await;
        let unlinking = tokio::spawn({
            let store = store.clone();
            async move { store.unlink_customer(&"bob".parse().unwrap()).await }
        });
        eventually(|| store.shared().writer().in_use() == 1).await;
        Sqlite::commit(linking).await.unwrap();
        assert_eq!(unlinking.await.unwrap().unwrap(), 1);
        let found = store.resolve_many(&[link(1).acs_id, link(2).acs_id]).await;
        assert!(matches!(&found[0], Ok(None)) && matches!(&found[1], Ok(Some(_))));
    }
}
