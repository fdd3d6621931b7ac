//! The seam between the logic of the store and a database.

use std::fmt;
use std::future::Future;
use std::ops::DerefMut;

use acs_identity_core::Redacted;

use crate::batch::Batch;
use crate::error::Failure;

/// What the store needs of a database: its statements, and a few small ways to run them on the concrete driver.
///
/// Columns are read by their place. A mapping's are, in this order: `customer_id`, `properties`, `expires_at`, `revision`,
/// `acs_id`, `created_at`; a statement that needs fewer leaves out the last ones.
// Public only because `SqlStore` names it; it can't be reached from outside.
pub trait Dialect: Sized + Send + Sync + 'static {
    /// The database's name in errors.
    const BACKEND: &'static str;

    type Pool: Clone + Send + Sync + 'static;
    type Connection: Send;
    /// A transaction that will write. Dropped, it is rolled back.
    type Transaction: DerefMut<Target = Self::Connection> + Send;
    type Row: Row;

    fn statements() -> &'static Statements;

    /// The statements of each version of the schema, oldest first. The last one of each notes that the version is there.
    fn migrations() -> &'static [&'static [&'static str]];

    fn acquire(pool: &Self::Pool) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Begins a transaction in which nobody else can write.
    fn begin(connection: Self::Connection) -> impl Future<Output = Result<Self::Transaction, Failure>> + Send;

    /// Fails with anything but `OutcomeUnknown` only where it is certain that nothing was changed.
    fn commit(transaction: Self::Transaction) -> impl Future<Output = Result<(), Failure>> + Send;

    fn rollback(transaction: Self::Transaction) -> impl Future<Output = ()> + Send;

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

    /// How many connections are taken out of the pool.
    fn in_use(pool: &Self::Pool) -> u32;

    fn is_closed(pool: &Self::Pool) -> bool;

    /// Ends when the pool is closed.
    fn closed(pool: &Self::Pool) -> impl Future<Output = ()> + Send + 'static;

    /// Lets nobody in any more, and ends when all connections have come back and are closed.
    fn close(pool: &Self::Pool) -> impl Future<Output = ()> + Send;
}

/// A value for a statement's parameter.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Null,
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
        }
    }
}

/// A row of an answer. A value of another type than the asked one is an error.
pub trait Row: Send {
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
    /// namespace, IDs: all columns of those that are there.
    pub(crate) present: Batch,
    /// namespace, ID, customer, properties, created at, expires at, revision of each: rows of IDs that have none.
    pub(crate) insert: Batch,
    /// The same of IDs that have a row, which they replace.
    pub(crate) update: Batch,
    /// namespace, ID, limit: what comes after this ID, tombstones included, by ID.
    pub(crate) scan: &'static str,
    /// namespace, customer, created at, ID, limit: what comes after this place, by creation time and ID.
    pub(crate) mappings_of: &'static str,
    /// namespace, customer: the last in that order.
    pub(crate) last_of: &'static str,
    /// namespace, now, end of the tombstones' life, limit: makes expired mappings tombstones.
    pub(crate) bury_expired: &'static str,
    /// now, limit: deletes tombstones that may be forgotten, of all namespaces.
    pub(crate) forget: &'static str,
    /// limit: deletes the oldest entries of the log of changes whose time is over.
    pub(crate) trim_changes: &'static str,
    /// The place of the newest change, whether or not it is in the log any more; NULL if there was none.
    pub(crate) newest_change: &'static str,
    /// place, namespace, limit: `seq`, `acs_id`, `revision`, `customer_before`, `customer_after` of the changes after
    /// this place; all but `seq` are NULL if it is another namespace's.
    pub(crate) changes_after: &'static str,
    /// A row if the schema table is there.
    pub(crate) schema_exists: &'static str,
    /// The version of the schema.
    pub(crate) schema_version: &'static str,
}
