//! Hand-written lookups with plain sqlx, on the store's own table, with as many connections.

use std::collections::HashMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Result};

const NAMESPACE: &str = "default";
const ONE: &str = "SELECT customer_id, properties, expires_at, revision FROM acs_identity_mappings \
    WHERE namespace = ? AND acs_id = ? AND customer_id IS NOT NULL";

/// Customer, properties, expiry, revision.
pub type Found = (String, Option<String>, Option<i64>, i64);
/// The same and the ACS ID.
type Row = (String, Option<String>, Option<i64>, i64, String);

/// A pool for reading.
pub async fn open(path: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new().filename(path).pragma("query_only", "ON").row_buffer_size(512);
    SqlitePoolOptions::new().max_connections(4).test_before_acquire(false).connect_with(options).await
}

/// One lookup, in a task of its own.
pub async fn resolve(pool: &SqlitePool, acs_id: String) -> Result<Option<Found>> {
    let pool = pool.clone();
    let lookup = async move { sqlx::query_as(ONE).bind(NAMESPACE).bind(acs_id).fetch_optional(&pool).await };
    tokio::spawn(lookup).await.expect("no panic")
}

/// The statement that looks for so many IDs at once; made once.
pub fn many(count: usize) -> &'static str {
    let ids = vec!["?"; count].join(", ");
    let sql = format!(
        "SELECT customer_id, properties, expires_at, revision, acs_id FROM acs_identity_mappings \
         WHERE namespace = ? AND acs_id IN ({ids}) AND customer_id IS NOT NULL"
    );
    sql.leak()
}

/// Many lookups in one statement, in a task of its own; one answer for each ID, in order.
pub async fn resolve_many(pool: &SqlitePool, sql: &'static str, acs_ids: Vec<String>) -> Result<Vec<Option<Found>>> {
    let pool = pool.clone();
    let lookup = async move {
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(NAMESPACE);
        for id in &acs_ids {
            query = query.bind(id.clone());
        }
        let rows: Vec<Row> = query.fetch_all(&pool).await?;
        let by_id: HashMap<String, Found> = rows
            .into_iter()
            .map(|(customer, properties, expiry, revision, id)| (id, (customer, properties, expiry, revision)))
            .collect();
        Ok(acs_ids.iter().map(|id| by_id.get(id).cloned()).collect())
    };
    tokio::spawn(lookup).await.expect("no panic")
}
