//! A transaction of SQLite.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;

use super::Sqlite;
use crate::dialect::Dialect;

type Connection = PoolConnection<sqlx::Sqlite>;

/// A connection with an open transaction.
// Not the driver's own transaction: that one loses count where SQLite rolled back by itself, after a full disk for
// instance, and its connection then begins no other.
#[derive(Debug)]
pub struct Transaction(Option<Connection>);

impl Transaction {
    /// Of a connection on which one has just begun.
    pub(super) fn of(connection: Connection) -> Self {
        Self(Some(connection))
    }

    /// The connection, for whoever ends the transaction or has ended it.
    pub(super) fn ended(mut self) -> Option<Connection> {
        self.0.take()
    }
}

const OPEN: &str = "the connection is taken only by what consumes the transaction";

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect(OPEN)
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().expect(OPEN)
    }
}

/// For a task that panicked half-way or whose runtime ends; everyone else commits or rolls back.
impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        match Handle::try_current() {
            // Without this type around the connection: a runtime that ends drops at once what it is given.
            Ok(runtime) => drop(runtime.spawn(roll_back(connection))),
            // Nothing can be awaited and nothing given back to the pool. To close it rolls back, too.
            Err(_) => drop(connection.detach()),
        }
    }
}

pub(super) async fn roll_back(mut connection: Connection) {
    // Some failures have rolled back already; that this one then fails says that all is well.
    let _ = Sqlite::execute(&mut connection, "ROLLBACK", &[]).await;
}

#[cfg(test)]
mod tests {
    use acs_identity_core::{Link, MappingStore, Resolver};

    use super::super::{SqliteOptions, SqliteStore};
    use super::*;

    async fn insert(store: &SqliteStore) -> Transaction {
        let mut transaction = Sqlite::begin(Sqlite::acquire(store.shared().writer()).await.unwrap()).await.unwrap();
        let sql = "INSERT INTO acs_identity_mappings VALUES ('default', 'a', 'bob', NULL, 0, NULL, 1)";
        assert_eq!(Sqlite::execute(&mut transaction, sql, &[]).await.unwrap(), 1);
        transaction
    }

    async fn assert_rolled_back(store: &SqliteStore) {
        assert!(store.resolve(&"a".parse().unwrap()).await.unwrap().is_none());
        let linked = store.link(Link::create("a".parse().unwrap(), "al".parse().unwrap())).await;
        assert!(linked.unwrap().changed);
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[tokio::test]
    async fn a_dropped_transaction_is_rolled_back() {
        let store = SqliteStore::in_memory().await.unwrap();
        drop(insert(&store).await);
        assert_rolled_back(&store).await;
    }

    #[test]
    fn a_transaction_dropped_outside_of_any_runtime_is_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let store = runtime.block_on(SqliteOptions::file(folder.path().join("a.db")).open()).unwrap();
        drop(runtime.block_on(insert(&store)));
        runtime.block_on(assert_rolled_back(&store));
    }

    #[test]
    fn a_transaction_whose_runtime_ends_is_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = runtime();
        let store = first.block_on(SqliteOptions::file(folder.path().join("a.db")).open()).unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        first.spawn({
            let store = store.clone();
            async move {
                let _transaction = insert(&store).await;
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            }
        });
        while begins.try_recv().is_err() {
            first.block_on(tokio::task::yield_now());
        }
        drop(first);
        runtime().block_on(assert_rolled_back(&store));
    }
}
