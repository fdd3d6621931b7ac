//! The seam between the logic of the store and a database.

use std::fmt;
use std::future::Future;
use std::ops::DerefMut;
use std::time::Duration;

use acs_identity_core::Redacted;

use crate::batch::Batch;
use crate::error::Failure;
use crate::feed::Reading;
use crate::store::SqlStore;

/// What the store needs of a database: its statements, and a few small ways to run them on the concrete driver.
///
/// Columns are read by their place. A mapping's are, in this order: `customer_id`, `properties`, `expires_at`, `revision`,
/// the server's time, `acs_id`, `created_at`; a statement that needs fewer leaves out the last ones. The server's time is
/// NULL where it is not needed, which is always so where the host's clock counts.
// Public only because `SqlStore` names it; it can't be reached from outside.
pub trait Dialect: Sized + Send + Sync + 'static {
    /// The database's name in errors.
    const BACKEND: &'static str;
    /// Whether there is a network between the store and the database, so that an answer may never come. Then what misses
    /// its deadline is dropped, with its connection, and tombstones and the log are swept apart from the writes, which
    /// hold rows that others wait for.
    const REMOTE: bool;

    /// Whether a change of the schema can be a part of a transaction.
    const SCHEMA_IN_TRANSACTIONS: bool;

    /// Whether the statements that write several rows, each with parameters of its own, have the namespace only once.
    const NAMESPACE_ONCE: bool;

    type Pool: Connections;
    type Connection: Send;
    /// A transaction that will write. Dropped, it is rolled back.
    type Transaction: DerefMut<Target = Self::Connection> + Send;
    type Row: Row;
    /// How far a subscriber has read the log of changes.
    type LogPosition: Clone + Send + Sync + 'static;
    /// What tells a subscriber that there may be something new in the log.
    type Wakeup: Send + 'static;

    fn statements() -> &'static Statements;

    /// The statements of each version of the schema, oldest first. The last one of each notes that the version is there.
    fn migrations() -> &'static [&'static [&'static str]];

    /// A statement of the schema as the database's own client reads it from a file.
    fn in_a_file(sql: &str) -> String {
        format!("{sql};\n\n")
    }

    fn acquire(pool: &Self::Pool) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Begins a transaction in which nobody else can write what it has read by a statement that holds.
    fn begin(connection: Self::Connection) -> impl Future<Output = Result<Self::Transaction, Failure>> + Send;

    /// Fails with anything but `OutcomeUnknown` only where it is certain that nothing was changed.
    fn commit(transaction: Self::Transaction) -> impl Future<Output = Result<(), Failure>> + Send;

    fn rollback(transaction: Self::Transaction) -> impl Future<Output = ()> + Send;

    /// Begins the change of the schema, which only one process does at a time. The limit, instead of a call's deadline, is
    /// for the waiting and for each statement.
    fn begin_migration(
        connection: Self::Connection,
        _limit: Duration,
    ) -> impl Future<Output = Result<Self::Transaction, Failure>> + Send {
        Self::begin(connection)
    }

    /// Ends the change of the schema. Whoever failed in it rolls back.
    fn end_migration(transaction: Self::Transaction) -> impl Future<Output = Result<(), Failure>> + Send {
        Self::commit(transaction)
    }

    fn fetch_all(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;

    fn fetch_optional(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Self::Row>, Failure>> + Send;

    /// Answers with the number of rows that were changed.
    fn execute(
        connection: &mut Self::Connection,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Deletes entries of the log whose time is over, at most so many. Answers with how many there were.
    fn trim(connection: &mut Self::Connection, limit: usize) -> impl Future<Output = Result<u64, Failure>> + Send {
        async move { Self::execute(connection, Self::statements().trim_changes, &[Value::Integer(limit as i64)]).await }
    }

    /// Reads what is new in the log; without a position, where it ends.
    fn read_log(
        connection: &mut Self::Connection,
        namespace: &str,
        position: Option<&Self::LogPosition>,
    ) -> impl Future<Output = Result<Reading<Self::LogPosition>, Failure>> + Send;

    /// Makes one for a new subscriber, or after it has failed.
    fn wakeup(store: &SqlStore<Self>) -> impl Future<Output = Result<Self::Wakeup, Failure>> + Send;

    /// Ends when it is time to look into the log. A failure means that changes may be seen late from now on.
    fn woken(wakeup: &mut Self::Wakeup, store: &SqlStore<Self>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The connections of a database. This is the driver's pool, which is not there without any database.
pub trait Connections: Clone + Send + Sync + 'static {
    /// How many of them are taken out.
    fn in_use(&self) -> u32;

    /// Whether all are taken out that there may be.
    fn is_exhausted(&self) -> bool;

    fn is_closed(&self) -> bool;

    /// Ends when the pool is closed.
    fn closed(&self) -> impl Future<Output = ()> + Send + 'static;

    /// Lets nobody in any more, and ends when all connections have come back and are closed.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
impl<D: sqlx::Database> Connections for sqlx::Pool<D> {
    fn in_use(&self) -> u32 {
        self.size().saturating_sub(u32::try_from(self.num_idle()).unwrap_or(u32::MAX))
    }

    fn is_exhausted(&self) -> bool {
        self.num_idle() == 0 && self.size() >= self.options().get_max_connections()
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.close_event()
    }

    fn close(&self) -> impl Future<Output = ()> + Send {
        Self::close(self)
    }
}

/// A value for a statement's parameter.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Null,
    /// Columns of many items, where the database has arrays.
    Texts(&'a [Option<&'a str>]),
    Integers(&'a [Option<i64>]),
}

impl<'a> Value<'a> {
    pub(crate) fn text_or_null(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    pub(crate) fn integer_or_null(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Integer)
    }
}

/// Without the text, which may be an ID.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({})", Redacted(text)),
            Self::Integer(number) => write!(f, "Integer({number})"),
            Self::Null => f.write_str("Null"),
            Self::Texts(texts) => write!(f, "Texts({})", texts.len()),
            Self::Integers(numbers) => write!(f, "Integers({})", numbers.len()),
        }
    }
}

/// A row of an answer. A value of another type than the asked one is an error.
pub trait Row: Send + Sync {
    fn text(&self, column: usize) -> Result<Option<&str>, WrongType>;
    fn integer(&self, column: usize) -> Result<Option<i64>, WrongType>;
}

/// A stored value is not of its column's type.
#[derive(Debug)]
pub struct WrongType;

/// A database's statements. The parameters of each are listed in their order.
#[derive(Debug)]
pub struct Statements {
    /// namespace, ID: the first four columns of a mapping or a tombstone.
    pub(crate) resolve: &'static str,
    /// namespace, IDs: the first five columns of those that are there.
    pub(crate) resolve_many: Batch,
    /// namespace, IDs: all columns of those that are there, held until the transaction ends.
    pub(crate) present: Batch,
    /// namespace (of each, or once), ID, customer, properties, created at, expires at, revision of each: rows of IDs that have none.
    /// Where one has, it is an error, or the number of rows is less.
    pub(crate) insert: Batch,
    /// The same of IDs that have a row, which they replace.
    pub(crate) update: Batch,
    /// namespace, ID, limit: what comes after this ID, tombstones included, by ID.
    pub(crate) scan: &'static str,
    /// namespace, customer, created at, ID, created at again, limit: what comes after this position, by creation time and ID.
    pub(crate) mappings_of: &'static str,
    /// namespace, customer: the last in that order.
    pub(crate) last_of: &'static str,
    /// end of the tombstones' life, namespace, now, limit: makes expired mappings tombstones.
    pub(crate) expire: &'static str,
    /// now, limit: deletes tombstones that may be forgotten, of all namespaces.
    pub(crate) forget: &'static str,
    /// limit: deletes the oldest entries of the log of changes whose time is over; MySQL's only finds them.
    pub(crate) trim_changes: &'static str,
    /// The server's time in microseconds since the Unix epoch; `None` if the host's clock counts.
    pub(crate) now: Option<&'static str>,
    /// A row if the schema table is there.
    pub(crate) schema_exists: &'static str,
    /// The version of the schema.
    pub(crate) schema_version: &'static str,
}
