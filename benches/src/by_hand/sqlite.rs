//! Hand-written lookups and inserts with plain sqlx in SQLite, with as many connections as the store.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Result};

use super::store::{ByHand, Found, NAMESPACE, New, Row, in_order};

const ONE: &str = "SELECT customer_id, properties, expires_at, revision FROM acs_identity_mappings \
    WHERE namespace = ? AND acs_id = ? AND customer_id IS NOT NULL";
const MANY: &str = "SELECT customer_id, properties, expires_at, revision, acs_id FROM acs_identity_mappings \
    WHERE customer_id IS NOT NULL AND namespace = ? AND acs_id IN";
const INSERT: &str = "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) VALUES";

/// A pool for reading and a connection for writing, and the statements for batches, made once.
#[derive(Debug, Clone)]
pub struct Sqlite {
    reader: SqlitePool,
    writer: SqlitePool,
    many: &'static str,
    insert: &'static str,
}

/// For batches of so many.
pub async fn open(path: &Path, batch: usize) -> Result<Sqlite> {
    let pool = SqlitePoolOptions::new().test_before_acquire(false);
    let file = SqliteConnectOptions::new().filename(path).row_buffer_size(512);
    let writer = pool.clone().max_connections(1).connect_with(file.clone()).await?;
    let reader = pool.max_connections(4).connect_with(file.pragma("query_only", "ON")).await?;
    let many = format!("{MANY} ({})", vec!["?"; batch].join(", ")).leak();
    let insert = format!("{INSERT} {}", vec!["(?, ?, ?, unixepoch() * 1000000, 1)"; batch].join(", ")).leak();
    Ok(Sqlite { reader, writer, many, insert })
}

impl ByHand for Sqlite {
    type Found = Found;
    type Error = sqlx::Error;

    async fn resolve(self, acs_id: String) -> Result<Option<Found>> {
        sqlx::query_as(ONE).bind(NAMESPACE).bind(acs_id).fetch_optional(&self.reader).await
    }

    async fn resolve_many(self, acs_ids: Vec<String>) -> Result<Vec<Option<Found>>> {
        let mut query = sqlx::query_as(AssertSqlSafe(self.many)).bind(NAMESPACE);
        for id in &acs_ids {
            query = query.bind(id.clone());
        }
        let rows: Vec<Row> = query.fetch_all(&self.reader).await?;
        Ok(in_order(&acs_ids, rows))
    }

    async fn insert_many(self, new: Vec<New>) -> Result<()> {
        let mut query = sqlx::query(AssertSqlSafe(self.insert));
        for (id, customer) in new {
            query = query.bind(NAMESPACE).bind(id).bind(customer);
        }
        query.execute(&self.writer).await.map(drop)
    }
}
