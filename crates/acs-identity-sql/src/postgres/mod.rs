//! PostgreSQL.

mod fault;
mod feed;
mod migrations;
mod statements;

use std::str::FromStr;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Executor, Row as _, SqlSafeStr, SqlStr};

use crate::dialect::{Dialect, Row, Statements, Value, WrongType};
use crate::error::{Code, Failure};
use crate::feed::Reading;
use crate::remote::{self, Held, Remote, RemoteOptions, Transaction};
use crate::store::SqlStore;

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
/// subscriber listens on a connection of its own, and looks into the log once a second, or every
/// [`poll_interval`](RemoteOptions::poll_interval) if that is longer, also if nothing was heard. It sees what has been committed
/// since it looked last, also if that has a lower number than what it saw before. The log keeps about the last 10,000 changes
/// of all namespaces, for an hour; who falls further behind is told so. A `TRUNCATE` is told as
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
/// the log and the tombstones at most as many as its limit. The bytes stay in the table's files and the write-ahead log until
/// `VACUUM` and checkpoints reuse them.
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
    const SCHEMA_IN_TRANSACTIONS: bool = true;
    const NAMESPACE_ONCE: bool = true;

    type Pool = PgPool;
    type Connection = Held<sqlx::Postgres>;
    type Transaction = Transaction<sqlx::Postgres>;
    type Row = PgRow;
    type LogPosition = feed::LogPosition;
    type Wakeup = feed::Wakeup;

    fn statements() -> &'static Statements {
        &statements::STATEMENTS
    }

    fn migrations() -> &'static [&'static [&'static str]] {
        migrations::MIGRATIONS
    }

    async fn acquire(pool: &Self::Pool) -> Result<Self::Connection, Failure> {
        remote::acquire::<Self>(pool).await
    }

    async fn begin(connection: Self::Connection) -> Result<Self::Transaction, Failure> {
        remote::begin::<Self>(connection).await.map_err(|failure| match failure {
            // What a standby says to READ WRITE.
            Failure::Database { source: Code::Postgres(state), .. } if state == fault::UNSUPPORTED => {
                Failure::ReadOnly { source: Code::Postgres(state) }
            }
            failure => failure,
        })
    }

    async fn commit(transaction: Self::Transaction) -> Result<(), Failure> {
        remote::commit::<Self>(transaction).await
    }

    async fn rollback(transaction: Self::Transaction) {
        remote::rollback::<Self>(transaction).await;
    }

    async fn begin_migration(connection: Self::Connection, limit: Duration) -> Result<Self::Transaction, Failure> {
        let mut transaction = Self::begin(connection).await?;
        let row = Self::fetch_optional(&mut transaction, "SELECT current_setting('lock_timeout')", &[]).await?;
        let row = row.ok_or(Failure::Unreadable("lock_timeout"))?;
        let lock_timeout = row.text(0).ok().flatten().ok_or(Failure::Unreadable("lock_timeout"))?;
        // Until the transaction ends.
        let limit = limit.as_millis();
        let sql = format!("SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}");
        remote::say::<Self>(&mut transaction, AssertSqlSafe(sql)).await?;
        Self::execute(&mut transaction, migrations::LOCK, &[]).await?;
        // A table is waited for no longer than at other times: behind one who waits, all others would have to.
        let sql = "SELECT set_config('lock_timeout', $1, true)";
        Self::fetch_all(&mut transaction, sql, &[Value::Text(lock_timeout)]).await?;
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
        remote::answered::<Self, _>(connection, row)
    }

    async fn execute(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let done = match values {
            [] => Self::say(connection.begin(), sql.into_sql_str()).await,
            values => {
                let done = sqlx::query_with(sql, arguments(values)?).execute(connection.begin()).await;
                done.map(|done| done.rows_affected())
            }
        };
        remote::answered::<Self, _>(connection, done)
    }

    async fn read_log(
        connection: &mut Self::Connection,
        namespace: &str,
        position: Option<&Self::LogPosition>,
    ) -> Result<Reading<Self::LogPosition>, Failure> {
        feed::read(connection, namespace, position).await
    }

    async fn wakeup(store: &SqlStore<Self>) -> Result<Self::Wakeup, Failure> {
        feed::wakeup(store).await
    }

    async fn woken(wakeup: &mut Self::Wakeup, store: &SqlStore<Self>) -> Result<(), Failure> {
        feed::woken(wakeup, store).await
    }
}

impl Remote for Postgres {
    type Database = sqlx::Postgres;

    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

    fn connect_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_str(url)
    }

    fn set_up(deadline: Duration) -> String {
        // A lookup always has an index for it. A plan made while the table was small, and kept, must not read all of it when
        // it has grown. Nothing runs long enough to be worth compiling, which a table of one row without an index would be.
        let limit = deadline.as_millis();
        format!(
            "SET enable_seqscan = off; SET jit = off; SET statement_timeout = {limit}; SET lock_timeout = {limit}; \
            SET idle_in_transaction_session_timeout = {limit}"
        )
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

    async fn say(connection: &mut PgConnection, sql: SqlStr) -> Result<u64, sqlx::Error> {
        Ok(connection.execute(sql).await?.rows_affected())
    }

    fn refused(error: &dyn DatabaseError) -> Failure {
        fault::refused(error)
    }

    fn commit_refused(error: &dyn DatabaseError) -> Option<Failure> {
        fault::commit_refused(error)
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
        remote::answered::<Self, _>(connection, rows)
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
