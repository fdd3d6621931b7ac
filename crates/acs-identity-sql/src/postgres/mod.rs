//! PostgreSQL.

mod fault;
mod feed;
mod migrations;
mod statements;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::{Arguments, Executor, Row as _, SqlSafeStr};

use crate::dialect::{Dialect, Row, Statements, Value, WrongType};
use crate::error::Failure;
use crate::feed::Reading;
use crate::remote::{self, Held, Remote, RemoteOptions, Transaction};
use crate::store::SqlStore;
use fault::{commit_failure, failure};

/// A [`MappingStore`](acs_identity_core::MappingStore) in PostgreSQL, version 14 or later.
///
/// Times and expiries are by the server's clock, in UTC. IDs are compared byte for byte, whatever the collation of the
/// database is; its encoding has to be `UTF8`. Transactions say their isolation level themselves, so that the server's default
/// does not matter. What survives a crash is what `synchronous_commit` and the disk promise; by default all that returned.
///
/// # Connections and TLS
/// The URL is `postgres://user:password@host:port/database?sslmode=verify-full`. Without `sslmode` TLS is used if the server
/// offers it, and its certificate is not checked; `verify-full` checks it by the system's certificate authorities and by those
/// in the file that `sslrootcert` names. `sslcert` and `sslkey` name a client's own. The pool opens up to
/// [`max_connections`](RemoteOptions::max_connections), each with limits near the deadline for statements, locks and idle
/// transactions, and with sequential scans and `jit` off, as each statement of the store has an index and is short.
///
/// # Change feed
/// Triggers write every change to a log, whoever makes it, and notify the channel `acs_identity` of how far the log goes. A
/// subscriber listens on a connection of its own, and looks into the log at least once a second. It sees what has been committed
/// since it looked last, also if that has a lower number than what it saw before. The log keeps about the last 10,000 changes of all
/// namespaces, for an hour; who falls further behind is told so. A `TRUNCATE` is told as
/// [`Change::All`](acs_identity_core::Change::All). Not seen are changes made while the triggers are off: disabled ones,
/// `session_replication_role = replica`, and what a logical replication applies.
///
/// A notification takes a lock of the whole server for a moment when it is committed. Where very many clients write at once,
/// `ALTER DATABASE … SET acs_identity.notify = off` (or a role's or a session's setting) turns it off;
/// [`notifications(false)`](RemoteOptions::notifications) makes a subscriber look into the log every
/// [`poll_interval`](RemoteOptions::poll_interval) instead.
///
/// # What is kept of what was removed
/// - After an unlink, the ACS ID and its last revision (a tombstone), without the customer ID and the properties: for one hour by
///   the server's clock, and then until some dozen more rows were written by one process. The same after `unlink_customer`, which
///   leaves nothing of the customer's expired mappings either.
/// - In the log of changes, the ACS ID and the customer IDs before and after each change, without properties: for one hour or the
///   next 10,000 changes, and then until some dozen more rows were written by one process.
/// - An expired mapping, wholly, until `purge_expired`, a new link of its ACS ID or `unlink_customer` replaces it.
///
/// So on a database that is hardly written to, an application calls
/// [`purge_expired`](acs_identity_core::MappingStore::purge_expired) now and then: it deletes all that is over an hour old, of
/// the log and the tombstones at most as many as its limit. The bytes stay in the table's files and the write-ahead log until `VACUUM` and
/// checkpoints reuse them.
///
/// # Rows changed by hand
/// What can't be read as a mapping is `Corrupt`, never absent. But a row of which only the properties can't be read may
/// be replaced and unlinked; the mapping that a write then answers with is without properties.
///
/// # Deadlines, lost connections and contention
/// A call has a deadline (see [`call_deadline`](RemoteOptions::call_deadline)). Until then it is begun again if its connection
/// was lost or another transaction was in its way, which is safe as nothing was committed. A commit is sent once: if the
/// connection is lost in it, or the deadline passes, the call is `OutcomeUnknown`. `link_many`, `import`,
/// `unlink_customer` and `purge_expired` work in transactions of up to a thousand rows, each of which has the deadline; the
/// first one that fails ends the call, and what was not tried is `Unavailable`.
///
/// # Cancellation
/// A call that is dropped is finished or given up in the background: its connection comes back whole or is closed, and a write is
/// applied wholly or not at all.
///
/// ```no_run
/// # async fn open() -> acs_identity_core::Result<()> {
/// use acs_identity_sql::PostgresOptions;
/// let url = "postgres://app:secret@db.example.com/app?sslmode=verify-full";
/// let store = PostgresOptions::url(url).max_connections(20).open().await?;
/// # Ok(()) }
/// ```
pub type PostgresStore = SqlStore<Postgres>;

/// How a [`PostgresStore`] is opened.
pub type PostgresOptions = RemoteOptions<Postgres>;

/// The dialect of [`PostgresStore`].
#[derive(Debug)]
pub enum Postgres {}

impl RemoteOptions<Postgres> {
    /// Whether subscribers of the change feed listen for the database's notifications; by default they do, each on a connection
    /// of its own beside the pool. Without it they poll the log. The database notifies in either case; see
    /// [`PostgresStore`] for how to switch that off.
    #[must_use]
    pub fn notifications(mut self, notifications: bool) -> Self {
        self.notifications = notifications;
        self
    }
}

impl Dialect for Postgres {
    const BACKEND: &'static str = "postgres";
    const REMOTE: bool = true;

    type Pool = PgPool;
    type Connection = Held<sqlx::Postgres>;
    type Transaction = Transaction<sqlx::Postgres>;
    type Row = PgRow;
    type Place = feed::Place;
    type Bell = feed::Bell;

    fn statements() -> &'static Statements {
        &statements::STATEMENTS
    }

    fn migrations() -> &'static [&'static [&'static str]] {
        migrations::MIGRATIONS
    }

    async fn acquire(pool: &Self::Pool) -> Result<Self::Connection, Failure> {
        remote::acquire::<Self>(pool).await
    }

    async fn begin(mut connection: Self::Connection) -> Result<Self::Transaction, Failure> {
        // Said each time, so that no default of the server, the database or the role counts. Rows are held before anything is
        // decided on them, which is all that is needed; a stricter level would only fail more often.
        let begun = connection.begin().execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
        connection.end(begun).map_err(failure)?;
        Ok(Transaction::of(connection))
    }

    async fn commit(mut transaction: Self::Transaction) -> Result<(), Failure> {
        let done = transaction.begin().execute("COMMIT").await;
        transaction.end(done).map_err(commit_failure)?;
        transaction.ended();
        Ok(())
    }

    async fn rollback(transaction: Self::Transaction) {
        remote::rollback::<Self>(transaction).await;
    }

    async fn begin_migration(connection: Self::Connection) -> Result<Self::Transaction, Failure> {
        let mut transaction = Self::begin(connection).await?;
        Self::execute(&mut transaction, migrations::LOCK, &[]).await?;
        Ok(transaction)
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
        let row = sqlx::query_with(sql, arguments(values)?).fetch_optional(connection.begin()).await;
        connection.end(row).map_err(failure)
    }

    async fn execute(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let done = match values {
            // Said once, and not kept prepared.
            [] => connection.begin().execute(sql).await,
            values => sqlx::query_with(sql, arguments(values)?).execute(connection.begin()).await,
        };
        Ok(connection.end(done).map_err(failure)?.rows_affected())
    }

    async fn read_log(
        connection: &mut Self::Connection,
        namespace: &str,
        place: Option<&Self::Place>,
    ) -> Result<Reading<Self::Place>, Failure> {
        feed::read(connection, namespace, place).await
    }

    async fn bell(store: &SqlStore<Self>) -> Result<Self::Bell, Failure> {
        feed::bell(store).await
    }

    async fn ring(bell: &mut Self::Bell, store: &SqlStore<Self>) -> Result<(), Failure> {
        feed::ring(bell, store).await
    }

    fn in_use(pool: &Self::Pool) -> u32 {
        remote::in_use(pool)
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

impl Remote for Postgres {
    type Database = sqlx::Postgres;

    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];

    fn connect_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_str(url)
    }

    async fn set_up(connection: &mut PgConnection, deadline: Duration) -> Result<(), sqlx::Error> {
        // A lookup always has an index for it. A plan made while the table was small, and kept, must not read all of it when
        // it has grown. Nothing runs long enough to be worth compiling, which a table of one row without an index would be.
        let limit = deadline.as_millis();
        let sql = format!(
            "SET enable_seqscan = off; SET jit = off; SET statement_timeout = {limit}; SET lock_timeout = {limit}; \
            SET idle_in_transaction_session_timeout = {limit}"
        );
        connection.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)
    }

    async fn check(connection: &mut Self::Connection) -> Result<(), Failure> {
        let sql = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::bigint";
        let row = Self::fetch_optional(connection, sql, &[]).await?.ok_or(Failure::Unreadable("server_encoding"))?;
        match (row.text(0), row.integer(1)) {
            (_, Ok(Some(version))) if version < 140_000 => Err(Failure::Setup("PostgreSQL 14 or later is needed")),
            (Ok(Some("UTF8")), Ok(Some(_))) => Ok(()),
            (Ok(Some(_)), Ok(Some(_))) => {
                Err(Failure::Setup("the database's encoding is not UTF8: IDs could not be kept byte for byte"))
            }
            _ => Err(Failure::Unreadable("server_encoding")),
        }
    }

    async fn roll_back(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        connection.execute("ROLLBACK").await.map(drop)
    }

    fn failure(error: sqlx::Error) -> Failure {
        failure(error)
    }
}

impl Postgres {
    /// All rows of a statement, which may have been made at run time.
    pub(crate) async fn fetch(
        connection: &mut Held<sqlx::Postgres>,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, Failure> {
        let rows = sqlx::query_with(sql, arguments(values)?).fetch_all(connection.begin()).await;
        connection.end(rows).map_err(failure)
    }
}

fn arguments(values: &[Value<'_>]) -> Result<PgArguments, Failure> {
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Text(text) => arguments.add(*text),
            Value::Integer(number) => arguments.add(*number),
            Value::Null => arguments.add(None::<i64>),
            Value::Texts(texts) => arguments.add(*texts),
            Value::Integers(numbers) => arguments.add(*numbers),
        };
        added.map_err(|_| Failure::Driver)?;
    }
    Ok(arguments)
}

impl Row for PgRow {
    fn text(&self, column: usize) -> Result<Option<&str>, WrongType> {
        self.try_get(column).map_err(|_| WrongType)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, WrongType> {
        self.try_get(column).map_err(|_| WrongType)
    }
}
