//! What databases at the other end of a network have in common.

mod held;
mod open;
mod options;
pub(crate) mod tls;

use std::future::Future;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::{Connection, Database, Pool, SqlSafeStr, SqlStr};

use crate::dialect::{Connections, Dialect};
use crate::error::Failure;
pub(crate) use held::{Held, Transaction};
pub use options::RemoteOptions;

/// A dialect whose database is a server.
// Public only because `RemoteOptions` names it; it can't be reached from outside.
pub trait Remote:
    Dialect<Pool = Pool<Self::Database>, Connection = Held<Self::Database>, Transaction = Transaction<Self::Database>>
{
    type Database: Database;

    /// The schemes of its URLs.
    const SCHEMES: &'static [&'static str];

    /// Begins a transaction that writes, at READ COMMITTED. Said each time, so that no default of the server, the database or
    /// the session counts. Rows are held before anything is decided on them, which is all that is needed.
    const BEGIN: &'static str;

    /// What a connection of our own pool is made with.
    fn connect_options(
        url: &str,
    ) -> Result<<<Self::Database as Database>::Connection as Connection>::Options, sqlx::Error>;

    /// Sets up a new connection of our own pool: with limits, so that the server ends what nobody waits for any more.
    fn set_up(deadline: Duration) -> String;

    /// Refuses a server that can't keep the promises of a store, or a pool whose connections are set up so that they can't.
    fn check(connection: &mut Self::Connection) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs statements that are said once, and are not kept prepared. Answers with the number of rows that were changed.
    fn say(
        connection: &mut <Self::Database as Database>::Connection,
        sql: SqlStr,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// What the server's errors mean to a caller, by their codes.
    fn refused(error: &dyn DatabaseError) -> Failure;

    /// The same of a commit, if it is certain that it was not carried out.
    fn commit_refused(error: &dyn DatabaseError) -> Option<Failure>;
}

/// A driver's error as a failure. Only its code is kept.
pub(crate) fn failure<R: Remote>(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::PoolClosed => Failure::Closed,
        sqlx::Error::PoolTimedOut => Failure::NoConnection,
        sqlx::Error::Io(error) => tls::broken(&error),
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Failure::Cut { source: None },
        sqlx::Error::Tls(_) => tls::UNUSABLE,
        sqlx::Error::Configuration(_) => Failure::Setup("the connection's options cannot be used"),
        sqlx::Error::Database(error) => R::refused(&*error),
        _ => Failure::Driver,
    }
}

fn commit_failure<R: Remote>(error: &sqlx::Error) -> Failure {
    let refused = error.as_database_error().and_then(R::commit_refused);
    refused.unwrap_or(Failure::OutcomeUnknown)
}

/// Takes a connection out of the pool.
pub(crate) async fn acquire<R: Remote>(pool: &R::Pool) -> Result<R::Connection, Failure> {
    pool.acquire().await.map(Held::new).map_err(|error| match failure::<R>(error) {
        // The pool waits for a server that takes no connections as it does for one that is given back.
        Failure::NoConnection if pool.in_use() < pool.options().get_max_connections() => Failure::Unreachable,
        failure => failure,
    })
}

/// Notes the answer of a statement on its connection.
pub(crate) fn answered<R: Remote, T>(
    connection: &mut R::Connection,
    answer: Result<T, sqlx::Error>,
) -> Result<T, Failure> {
    connection.end(answer).map_err(failure::<R>).inspect_err(|failure| {
        if let Failure::ReadOnly { .. } | Failure::Stale { .. } = failure {
            // Another server may take the writes now, which only a new connection finds; and only a new one has nothing prepared.
            connection.condemn();
        }
    })
}

/// Runs statements without parameters that are said once. Answers with the number of rows that were changed.
pub(crate) async fn say<R: Remote>(connection: &mut R::Connection, sql: impl SqlSafeStr) -> Result<u64, Failure> {
    let done = R::say(connection.begin(), sql.into_sql_str()).await;
    answered::<R, _>(connection, done)
}

pub(crate) async fn begin<R: Remote>(mut connection: R::Connection) -> Result<R::Transaction, Failure> {
    match say::<R>(&mut connection, R::BEGIN).await {
        Ok(_) => Ok(Transaction::of(connection)),
        Err(failure) => {
            // A part of it may have been carried out.
            connection.condemn();
            Err(failure)
        }
    }
}

pub(crate) async fn commit<R: Remote>(mut transaction: R::Transaction) -> Result<(), Failure> {
    commit_only::<R>(&mut transaction).await?;
    transaction.ended();
    Ok(())
}

/// Commits, and leaves the connection to be closed.
pub(crate) async fn commit_only<R: Remote>(transaction: &mut R::Transaction) -> Result<(), Failure> {
    let done = R::say(transaction.begin(), "COMMIT".into_sql_str()).await;
    transaction.end(done).map(drop).map_err(|error| commit_failure::<R>(&error))
}

/// Ends a transaction without a commit. If the server does not answer, its connection is closed, which does the same.
pub(crate) async fn rollback<R: Remote>(mut transaction: R::Transaction) {
    let done = R::say(transaction.begin(), "ROLLBACK".into_sql_str()).await;
    if transaction.end(done).is_ok() {
        transaction.ended();
    }
}

#[cfg(all(test, feature = "mysql"))]
mod tests {
    use acs_identity_core::{Error, ErrorKind};

    use super::*;
    use crate::mysql::MySql;

    #[test]
    fn a_commit_that_broke_off_is_unknown() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(commit_failure::<MySql>(&sqlx::Error::Io(broken)), Failure::OutcomeUnknown));
    }

    #[test]
    fn a_pool_without_a_free_connection_is_a_timeout() {
        assert_eq!(Error::from(failure::<MySql>(sqlx::Error::PoolTimedOut)).kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_drivers_text_goes_nowhere() {
        let error = Error::from(failure::<MySql>(sqlx::Error::Protocol("bob@contoso.com".into())));
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("bob"));
    }
}
