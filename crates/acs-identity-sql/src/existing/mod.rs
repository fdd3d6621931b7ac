//! [`TableResolver`]: customers from a table that an application has already.

#[cfg(feature = "mysql")]
mod mysql;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Answers, CustomerId, Error, ErrorKind, Resolution, Resolver, Result};
use async_trait::async_trait;

use crate::batch::Batch;
use crate::dialect::Row;
use crate::error::Failure;
use crate::run::{CallState, run};
#[cfg(feature = "mysql")]
pub use mysql::MySqlTable;
pub use options::TableOptions;
#[cfg(feature = "postgres")]
pub use postgres::PostgresTable;
use sql::TableDialect;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTable;

/// A [`Resolver`] over a table that an application has already, in which the ACS ID of each of its users is a column.
/// It only reads: it makes no table, writes nothing, and needs no right but to select the two columns.
///
/// Cheap to clone; clones share the application's pool, which is used as it is and never closed.
///
/// The application should see to it that the column of the ACS IDs has a unique index: without an index each call
/// reads the whole table. A change of the table is seen by the next call; a cache in front does not hear of it, and holds
/// what it knows for its time to live.
///
/// # Answers
/// - The customer ID is the column's value as a text, so that whole numbers and UUIDs will do; it comes without properties and
///   without an expiry. Floating-point numbers have no exact text, and are refused.
/// - Absent is an ID that has no row, or whose row has NULL for its customer, or that the column's character set cannot write.
/// - IDs are compared byte for byte: rows that only the column's collation takes for the same are ignored.
///
/// # Errors
/// Of one ID: `Conflict` if it has two rows, also if they name the same customer; `Corrupt` if the customer's text is not
/// a [`CustomerId`]. Of the whole call: `Misconfigured` if the table or a column is not there or can't be
/// compared with a text, or if a customer is a floating-point number, `Denied` if it may not be read, `Unavailable` or `Timeout` as
/// of a store.
///
/// # Cancellation
/// A call that is dropped is finished or given up in the background: its connection comes back whole or is closed.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use acs_identity_core::{IdentityMap, Resolver};
/// use acs_identity_sql::sqlx::sqlite::SqlitePoolOptions;
/// use acs_identity_sql::{SqliteTable, TableOptions, sqlx};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
/// sqlx::raw_sql(
///     "CREATE TABLE Users (Id INTEGER PRIMARY KEY, Email TEXT, CommunicationServicesId TEXT UNIQUE);
///      INSERT INTO Users VALUES (17, 'bob@contoso.com', '8:acs:r_1')",
/// )
/// .execute(&pool)
/// .await?;
///
/// let table = TableOptions::new("Users").acs_id_column("CommunicationServicesId").customer_id_column("Id");
/// let users = SqliteTable::new(pool, table)?;
/// let found = users.resolve(&"8:acs:r_1".parse()?).await?.unwrap();
/// assert_eq!(found.customer_id().as_str(), "17");
/// let map = IdentityMap::new(users);
/// # drop(map);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct TableResolver<D: TableDialect> {
    pool: D::Pool,
    lookup: Arc<Batch>,
    deadline: Duration,
}

impl<D: TableDialect> TableResolver<D> {
    /// Over a table, through a pool that the application has already. It does no I/O: whether the table is there
    /// is told by the first call.
    ///
    /// # Errors
    /// `InvalidInput` if a name is missing or can't be one in this database, or the deadline is not 1 ms to 1 hour.
    pub fn new(pool: D::Pool, options: TableOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { pool, lookup: Arc::new(sql::lookup::<D>(&options)?), deadline: options.call_deadline })
    }

    /// The answers about those IDs that have a row.
    async fn find(&self, operation: &'static str, ids: Arc<[AcsId]>) -> Result<HashMap<String, Answer>> {
        let resolver = self.clone();
        let found = run(self.deadline, D::REMOTE, move |state| resolver.clone().read(state, ids.clone())).await;
        let named = |error: Error| error.in_operation(operation).in_backend(D::BACKEND);
        match found {
            Ok(found) => Ok(found.into_iter().map(|(id, answer)| (id, answer.map_err(named))).collect()),
            Err(failure) => Err(named(of_the_table::<D>(failure))),
        }
    }

    async fn read(self, state: CallState, ids: Arc<[AcsId]>) -> Result<HashMap<String, Answer>, Failure> {
        let mut connection = D::acquire(&self.pool).await?;
        let mut found = HashMap::new();
        let mut parts: Vec<&[AcsId]> = ids.chunks(self.lookup.largest().max(1)).collect();
        while let Some(part) = parts.pop() {
            state.check()?;
            let ids: Vec<&str> = part.iter().map(AcsId::as_str).collect();
            let rows = match sql::fetch::<D>(&mut connection, &self.lookup, &ids).await {
                // An ID that can't be written can't be there either. The others are asked without it.
                Err(failure) if is_unwritable::<D>(&failure) && ids.iter().any(|id| !id.is_ascii()) => {
                    if part.len() > 1 {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([first, second]);
                    }
                    continue;
                }
                rows => rows?,
            };
            // Those of this statement only: another's ID may come along with it if the collation takes both for the same,
            // and would then be found twice.
            let asked: HashSet<&str> = ids.into_iter().collect();
            for row in &rows {
                let id = row.text(ACS_ID).ok().flatten().ok_or(Failure::Unreadable("of the ACS IDs"))?;
                if !asked.contains(id) {
                    continue;
                }
                if D::is_float(row, FLOAT) {
                    return Err(Failure::Setup(
                        "the column of the customers holds floating-point numbers, whose texts are not exact",
                    ));
                }
                let answer = match found.contains_key(id) {
                    false => customer(row),
                    true => Err(Error::new(ErrorKind::Conflict, "the table has more than one row of this ACS ID")),
                };
                found.insert(id.to_owned(), answer);
            }
        }
        Ok(found)
    }
}

// The places of the columns.
const ACS_ID: usize = 0;
const CUSTOMER_ID: usize = 1;
const FLOAT: usize = 2;

fn customer(row: &impl Row) -> Answer {
    let corrupt = || Error::new(ErrorKind::Corrupt, "the customer ID in the row of this ACS ID cannot be read as one");
    let text = row.text(CUSTOMER_ID).map_err(|_| corrupt())?;
    let customer = text.map(CustomerId::new).transpose().map_err(|_| corrupt())?;
    Ok(customer.map(Resolution::from))
}

/// Whether the column's character set has no such text as one of the IDs.
fn is_unwritable<D: TableDialect>(failure: &Failure) -> bool {
    matches!(failure, Failure::Database { source, .. } if D::is_unwritable(source))
}

/// The error of a failure, told of the application's table instead of the store's own ones.
fn of_the_table<D: TableDialect>(failure: Failure) -> Error {
    Error::from(match failure {
        Failure::Database { kind, source, .. } if kind == ErrorKind::Misconfigured || D::is_unwritable(&source) => {
            let what = "the table or one of its columns is not there, or the ACS IDs can't be compared with a text";
            Failure::Database { kind: ErrorKind::Misconfigured, what, source }
        }
        other => other,
    })
}

impl<D: TableDialect> Clone for TableResolver<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), lookup: self.lookup.clone(), deadline: self.deadline }
    }
}

/// Without the address of the database.
impl<D: TableDialect> fmt::Debug for TableResolver<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableResolver")
            .field("backend", &D::BACKEND)
            .field("call_deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<D: TableDialect> Resolver for TableResolver<D> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        let mut found = self.find("resolve", Arc::new([id.clone()])).await?;
        found.remove(id.as_str()).unwrap_or(Ok(None))
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let mut seen = HashSet::with_capacity(ids.len());
        let distinct = ids.iter().filter(|id| seen.insert(*id)).cloned().collect();
        match self.find("resolve_many", distinct).await {
            Ok(found) => Answers::each_by_id(ids, found, &Ok(None)),
            Err(error) => Answers::failed(ids, &error),
        }
    }

    fn resolve_now(&self, _: &AcsId) -> Option<Option<Resolution>> {
        None
    }
}
