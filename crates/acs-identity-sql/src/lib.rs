//! The SQL store of `acs-identity`: mappings in the tables of a database.
//!
//! | feature | store | database |
//! |---|---|---|
//! | `mysql` | `MySqlStore` | MySQL, MariaDB |
//! | `postgres` | `PostgresStore` | PostgreSQL |
//! | `sqlite` | `SqliteStore` | SQLite, built in: a file, or the memory of the process |
//!
//! No feature is on by default. Every call needs a Tokio runtime with its timers.
//!
//! The tables have fixed names and their own prefix, so they may live beside an application's: `acs_identity_mappings`,
//! `acs_identity_changes`, `acs_identity_schema`, and on servers `acs_identity_trimmed`; in PostgreSQL there are functions,
//! too, `acs_identity_insert` among them. [`SqlStore::schema_sql`] prints them.
//!
//! An application whose own table of users has a column for the ACS ID needs no store: a `TableResolver` reads it there.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without all databases there is nobody to use some of the logic that they share.
#![cfg_attr(not(all(feature = "mysql", feature = "postgres", feature = "sqlite")), allow(dead_code))]

mod batch;
mod dialect;
mod erase;
mod error;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod existing;
mod feed;
mod handover;
mod limits;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod read;
mod record;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod remote;
mod run;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod sweep;
mod write;

#[cfg(feature = "mysql")]
pub use existing::MySqlTable;
#[cfg(feature = "postgres")]
pub use existing::PostgresTable;
#[cfg(feature = "sqlite")]
pub use existing::SqliteTable;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub use existing::{TableOptions, TableResolver};
#[cfg(feature = "mysql")]
pub use mysql::{MySql, MySqlOptions, MySqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresOptions, PostgresStore};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use remote::RemoteOptions;
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteOptions, SqliteStore, Synchronous};
/// The driver, whose pools a store may be opened on.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub use sqlx;
pub use store::SqlStore;
