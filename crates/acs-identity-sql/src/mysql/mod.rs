//! MySQL and MariaDB.

mod fault;
mod feed;
mod holes;
mod migrations;
mod statements;

use std::str::FromStr;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, Executor, Row as _, SqlSafeStr, SqlStr};

use crate::dialect::{Dialect, Row, Statements, Value, WrongType};
use crate::error::Failure;
use crate::feed::Reading;
use crate::remote::{self, Held, Remote, RemoteOptions, Transaction};
use crate::store::SqlStore;

/// A [`MappingStore`](acs_identity_core::MappingStore) in MySQL (8.0.1 or later) or MariaDB (10.6 or later).
///
/// Times and expiries are by the server's clock, in UTC. IDs are bytes in the tables, so that no character set, collation or
/// `sql_mode` matters. Transactions say their isolation level themselves. What survives a crash is what
/// `innodb_flush_log_at_trx_commit` promises; with 1, the default, all that returned.
///
/// # Connections and TLS
/// The URL is `mysql://user:password@host:port/database?ssl-mode=VERIFY_IDENTITY`. Without `ssl-mode` TLS is used if the server
/// offers it, and its certificate is not checked; `VERIFY_IDENTITY` checks it by the system's certificate authorities and by
/// those in the file that `ssl-ca` names. Without TLS, the password methods of MySQL 8 that need RSA are not supported.
///
/// # What the server needs
/// InnoDB with pages of at least 8 KiB; `binlog_format` not `STATEMENT`, if it has a binary log, and then also
/// `log_bin_trust_function_creators` or the privilege to make triggers.
///
/// # Change feed
/// Triggers write every change to a log, whoever makes it, and subscribers poll that. A change whose transaction is committed
/// after a later one's is seen, too. The log keeps about the last 10,000 changes of all namespaces, for an hour, or fewer
/// if many were rolled back, which use up numbers, too; who falls further behind is told so. Nobody may `TRUNCATE` the log, since its numbers would begin again.
///
/// Not seen are: a `TRUNCATE` of the mappings, changes by foreign-key cascades, changes made while the triggers are dropped, and
/// in a cluster with several primaries those of another node that come over ten seconds late.
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
/// the log and the tombstones at most as many as its limit.
///
/// # Rows changed by hand, deadlines, lost connections, contention, cancellation
/// As `PostgresStore`: what can't be read is `Corrupt`; a call is begun again until its deadline if its connection was lost or
/// another transaction was in its way; a commit is sent once, and is `OutcomeUnknown` if its answer is lost; a dropped call is
/// finished or given up in the background.
///
/// ```no_run
/// # async fn open() -> acs_identity_core::Result<()> {
/// use acs_identity_sql::MySqlOptions;
/// let url = "mysql://app:secret@db.example.com/app?ssl-mode=VERIFY_IDENTITY";
/// let store = MySqlOptions::url(url).max_connections(20).open().await?;
/// # Ok(()) }
/// ```
pub type MySqlStore = SqlStore<MySql>;

/// How a [`MySqlStore`] is opened.
pub type MySqlOptions = RemoteOptions<MySql>;

/// The dialect of [`MySqlStore`].
#[derive(Debug)]
pub enum MySql {}

impl Dialect for MySql {
    const BACKEND: &'static str = "mysql";
    const REMOTE: bool = true;
    const SCHEMA_IN_TRANSACTIONS: bool = false;
    // A row made of `VALUES` in a subquery would make the insert an `INSERT … SELECT`, at which the log waits for the whole batch.
    const NAMESPACE_ONCE: bool = false;

    type Pool = MySqlPool;
    type Connection = Held<sqlx::MySql>;
    type Transaction = Transaction<sqlx::MySql>;
    type Row = MySqlRow;
    type LogPosition = feed::LogPosition;
    type Wakeup = ();

    fn statements() -> &'static Statements {
        &statements::STATEMENTS
    }

    fn migrations() -> &'static [&'static [&'static str]] {
        migrations::MIGRATIONS
    }

    fn in_a_file(sql: &str) -> String {
        // The client would take a semicolon in a trigger for the end of the statement.
        match sql.contains(';') {
            true => format!("DELIMITER //\n{sql} //\nDELIMITER ;\n\n"),
            false => format!("{sql};\n\n"),
        }
    }

    async fn acquire(pool: &Self::Pool) -> Result<Self::Connection, Failure> {
        remote::acquire::<Self>(pool).await
    }

    async fn begin(connection: Self::Connection) -> Result<Self::Transaction, Failure> {
        remote::begin::<Self>(connection).await
    }

    async fn commit(transaction: Self::Transaction) -> Result<(), Failure> {
        remote::commit::<Self>(transaction).await
    }

    async fn rollback(transaction: Self::Transaction) {
        remote::rollback::<Self>(transaction).await;
    }

    async fn begin_migration(connection: Self::Connection, limit: Duration) -> Result<Self::Transaction, Failure> {
        // Each statement that changes the schema commits, but whoever fails closes the connection, as with any transaction.
        let mut transaction = Self::begin(connection).await?;
        // How long a statement waits for a table stays as it is: behind one that waits, all others would have to.
        let (seconds, milliseconds) = (limit.as_secs().max(1), limit.as_millis());
        let sql = format!(
            "SET @acs_identity_migrates = 1 \
                /*M! , max_statement_time = {seconds} */ /*!80000 , max_execution_time = {milliseconds} */"
        );
        remote::say::<Self>(&mut transaction, AssertSqlSafe(sql)).await?;
        let seconds = Value::Integer(i64::try_from(seconds).unwrap_or(i64::MAX));
        let row = Self::fetch_optional(&mut transaction, migrations::LOCK, &[seconds]).await?;
        match row.map(|row| row.integer(0)) {
            Some(Ok(Some(1))) => Ok(transaction),
            _ => Err(Failure::Migrating),
        }
    }

    async fn end_migration(mut transaction: Self::Transaction) -> Result<(), Failure> {
        // Dropped and not ended, so that the connection is closed: with it go the lock and the longer limits.
        remote::commit_only::<Self>(&mut transaction).await
    }

    async fn fetch_all(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Self::Row>, Failure> {
        let rows = sqlx::query_with(sql, arguments(values)?).fetch_all(connection.begin()).await;
        remote::answered::<Self, _>(connection, rows)
    }

    async fn fetch_optional(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Self::Row>, Failure> {
        // All of the answer is read: the driver would leave its end on the connection.
        Ok(Self::fetch_all(connection, sql, values).await?.into_iter().next())
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

    async fn trim(connection: &mut Self::Connection, limit: usize) -> Result<u64, Failure> {
        feed::trim(connection, limit).await
    }

    async fn read_log(
        connection: &mut Self::Connection,
        namespace: &str,
        position: Option<&Self::LogPosition>,
    ) -> Result<Reading<Self::LogPosition>, Failure> {
        feed::read(connection, namespace, position).await
    }

    async fn wakeup(_: &SqlStore<Self>) -> Result<(), Failure> {
        Ok(())
    }

    async fn woken((): &mut (), store: &SqlStore<Self>) -> Result<(), Failure> {
        tokio::time::sleep(store.shared().poll_interval).await;
        Ok(())
    }
}

impl Remote for MySql {
    type Database = sqlx::MySql;

    const SCHEMES: &'static [&'static str] = &["mysql", "mariadb"];
    const BEGIN: &'static str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION READ WRITE";

    fn connect_options(url: &str) -> Result<MySqlConnectOptions, sqlx::Error> {
        // Nothing of what the driver would set by default matters to bytes.
        let options = MySqlConnectOptions::from_str(url)?;
        Ok(options.pipes_as_concat(false).no_engine_substitution(false).timezone(None).set_names(false))
    }

    fn set_up(deadline: Duration) -> String {
        let (seconds, milliseconds) = (deadline.as_secs().max(1), deadline.as_millis());
        let fraction = deadline.as_secs_f64();
        // MariaDB ends any statement, MySQL one that only reads. Each runs the comment that is for it, and skips the other. The
        // rest is what `REFUSED` wants, whatever the server's defaults are.
        format!(
            "SET autocommit = 1, innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}, \
                net_read_timeout = {seconds}, net_write_timeout = {seconds}, \
                sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', sql_select_limit = 18446744073709551615, \
                completion_type = 0, sql_big_selects = 1 \
                /*M! , max_statement_time = {fraction} */ /*!80000 , max_execution_time = {milliseconds} */; \
            SET SESSION TRANSACTION READ WRITE"
        )
    }

    async fn check(connection: &mut Self::Connection) -> Result<(), Failure> {
        let row = Self::fetch_optional(connection, SETTINGS, &[]).await?.ok_or(Failure::Unreadable("version"))?;
        let version = row.text(0).ok().flatten().ok_or(Failure::Unreadable("version"))?;
        if !is_known(version) {
            return Err(Failure::Setup("MySQL 8.0.1 or MariaDB 10.6, or later, is needed"));
        }
        for (column, what) in (1..).zip(REFUSED) {
            if !matches!(row.integer(column), Ok(Some(0))) {
                return Err(Failure::Setup(what));
            }
        }
        Ok(())
    }

    async fn say(connection: &mut MySqlConnection, sql: SqlStr) -> Result<u64, sqlx::Error> {
        Ok(connection.execute(sql).await?.rows_affected())
    }

    fn refused(error: &dyn DatabaseError) -> Failure {
        fault::refused(error)
    }

    fn commit_refused(error: &dyn DatabaseError) -> Option<Failure> {
        fault::commit_refused(error)
    }
}

/// The version, and which of the settings that are refused there are.
const SETTINGS: &str = "SELECT CAST(VERSION() AS BINARY), DATABASE() IS NULL, @@autocommit = 0, \
    @@sql_select_limit < 18446744073709551615, @@sql_mode LIKE '%EMPTY_STRING_IS_NULL%', \
    @@completion_type <> 'NO_CHAIN', @@sql_big_selects = 0, \
    /*M! @@tx_read_only */ /*!80000 @@transaction_read_only */ <> 0";

/// What is wrong with each of these settings.
const REFUSED: [&str; 7] = [
    "the URL names no database",
    "connections whose autocommit is off cannot be used",
    "connections with a sql_select_limit cannot be used",
    "connections whose sql_mode has EMPTY_STRING_IS_NULL cannot be used",
    "connections whose completion_type is not NO_CHAIN cannot be used",
    "connections whose sql_big_selects is off cannot be used",
    "connections whose transactions are read-only by default cannot be used",
];

/// Whether a server's version is one that the statements were written for. MariaDB says its name in it.
fn is_known(version: &str) -> bool {
    let numbers: Vec<u32> =
        version.split(|c: char| !c.is_ascii_digit()).take(3).map_while(|n| n.parse().ok()).collect();
    let needed: &[u32] = if version.contains("MariaDB") { &[10, 6] } else { &[8, 0, 1] };
    numbers.as_slice() >= needed
}

fn arguments(values: &[Value<'_>]) -> Result<MySqlArguments, Failure> {
    let mut arguments = MySqlArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Text(text) => arguments.add(text.as_bytes()),
            Value::Integer(number) => arguments.add(*number),
            Value::Null => arguments.add(None::<i64>),
            // Its statements have none.
            Value::Texts(_) | Value::Integers(_) => return Err(Failure::Driver),
        };
        added.map_err(|_| Failure::Driver)?;
    }
    Ok(arguments)
}

impl Row for MySqlRow {
    fn text(&self, column: usize) -> Result<Option<&str>, WrongType> {
        let bytes: Option<&[u8]> = self.try_get(column).map_err(|_| WrongType)?;
        bytes.map(str::from_utf8).transpose().map_err(|_| WrongType)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, WrongType> {
        self.try_get(column).map_err(|_| WrongType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_known_by_their_version() {
        for version in ["10.11.14-MariaDB-0+deb12u2", "11.4.2-MariaDB", "8.0.36", "8.4.0", "9.1.0-log"] {
            assert!(is_known(version), "{version}");
        }
        for version in ["10.5.29-MariaDB", "5.7.44", "8.0.0", "", "x"] {
            assert!(!is_known(version), "{version}");
        }
    }
}
