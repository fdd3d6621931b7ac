//! A connection that is out of its pool, and goes back only if it is fit for the next one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::Database;
use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;

/// How long the server may take to say that a connection which is given back is alive.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// A connection taken out of a pool.
///
/// Dropped while the answer to a statement is still to come, or after an error that leaves in doubt what comes next, it is
/// closed, and its place in the pool is free at once.
pub struct Held<D: Database> {
    connection: Option<PoolConnection<D>>,
    /// Whether nothing is under way on it.
    idle: bool,
    /// Whether it is of no more use.
    condemned: bool,
}

const HELD: &str = "the connection is taken only when it is dropped";

impl<D: Database> Held<D> {
    pub(crate) fn new(connection: PoolConnection<D>) -> Self {
        Self { connection: Some(connection), idle: true, condemned: false }
    }

    /// The connection, for a statement. It is not idle until [`end`](Self::end) has seen the answer.
    pub(crate) fn begin(&mut self) -> &mut D::Connection {
        self.idle = false;
        self.connection.as_mut().expect(HELD)
    }

    /// Notes the answer of a statement.
    pub(crate) fn end<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        // What the server says of a statement leaves the connection as it was; all else is trouble with the connection.
        self.idle = matches!(answer, Ok(_) | Err(sqlx::Error::Database(_)));
        answer
    }

    /// Has it closed when it is dropped: what was said on it would be in the way of others.
    pub(crate) fn condemn(&mut self) {
        self.condemned = true;
    }
}

impl<D: Database> fmt::Debug for Held<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl<D: Database> Drop for Held<D> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match Handle::try_current() {
            // The pool asks the server whether the connection is alive before it lends it again. By itself it would wait
            // for an answer for ever, and the connection's place would never be free.
            Ok(runtime) if self.idle && !self.condemned => {
                let returned = connection.return_to_pool();
                runtime.spawn(async move { tokio::time::timeout(GIVING_BACK, returned).await });
            }
            // Closed without a word: the server ends what is open on it.
            _ => drop(connection.detach()),
        }
    }
}

/// A connection with an open transaction. Dropped, it is closed, so that the server rolls back.
#[derive(Debug)]
pub struct Transaction<D: Database> {
    held: Held<D>,
    open: bool,
}

impl<D: Database> Transaction<D> {
    /// Of a connection on which one has just begun.
    pub(crate) fn of(held: Held<D>) -> Self {
        Self { held, open: true }
    }

    /// Gives the connection back, as the transaction has ended.
    pub(crate) fn ended(mut self) {
        self.open = false;
    }
}

impl<D: Database> Deref for Transaction<D> {
    type Target = Held<D>;
    fn deref(&self) -> &Self::Target {
        &self.held
    }
}

impl<D: Database> DerefMut for Transaction<D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.held
    }
}

impl<D: Database> Drop for Transaction<D> {
    fn drop(&mut self) {
        self.held.idle &= !self.open;
    }
}
