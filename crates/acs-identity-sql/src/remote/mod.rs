//! What databases at the other end of a network have in common.

mod held;
mod open;
mod options;
pub(crate) mod tls;

use std::future::Future;
use std::time::Duration;

use sqlx::{Connection, Database, Pool};

use crate::dialect::Dialect;
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

    /// What a connection of our own pool is made with.
    fn connect_options(
        url: &str,
    ) -> Result<<<Self::Database as Database>::Connection as Connection>::Options, sqlx::Error>;

    /// Sets up a new connection of our own pool: with limits, so that the server ends what nobody waits for any more.
    fn set_up(
        connection: &mut <Self::Database as Database>::Connection,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Refuses a server that can't keep the promises of a store, or a pool whose connections are set up so that they can't.
    fn check(connection: &mut Self::Connection) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives a connection its last word to the server: nothing but a `ROLLBACK`.
    fn roll_back(
        connection: &mut <Self::Database as Database>::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// What an error means to a caller, if it was not a commit's.
    fn failure(error: sqlx::Error) -> Failure;
}

/// Takes a connection out of the pool.
pub(crate) async fn acquire<R: Remote>(pool: &R::Pool) -> Result<R::Connection, Failure> {
    pool.acquire().await.map(Held::new).map_err(R::failure)
}

/// Ends a transaction without a commit. If the server does not answer, its connection is closed, which does the same.
pub(crate) async fn rollback<R: Remote>(mut transaction: R::Transaction) {
    let done = R::roll_back(transaction.begin()).await;
    if transaction.end(done).is_ok() {
        transaction.ended();
    }
}

/// How many connections are taken out of the pool.
pub(crate) fn in_use<D: Database>(pool: &Pool<D>) -> u32 {
    pool.size().saturating_sub(u32::try_from(pool.num_idle()).unwrap_or(u32::MAX))
}
