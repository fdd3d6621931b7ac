//! Hand-written lookups and inserts with plain sqlx in MySQL or MariaDB, with as many connections as the store.

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Result};

use super::store::{ByHand, Found, NAMESPACE, New, Row, in_order};

// The columns are of bytes, and what is read is text.
const ONE: &str = "SELECT CONVERT(customer_id USING utf8mb4), CONVERT(properties USING utf8mb4), expires_at, revision \
    FROM acs_identity_mappings WHERE namespace = ? AND acs_id = ? AND customer_id IS NOT NULL";
const MANY: &str = "SELECT CONVERT(customer_id USING utf8mb4), CONVERT(properties USING utf8mb4), expires_at, revision, \
    CONVERT(acs_id USING utf8mb4) FROM acs_identity_mappings WHERE customer_id IS NOT NULL AND namespace = ? AND acs_id IN";
const INSERT: &str = "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) VALUES";

/// A pool, and the statements for batches, made once.
#[derive(Debug, Clone)]
pub struct MySql {
    pool: MySqlPool,
    many: &'static str,
    insert: &'static str,
}

/// A pool for the database at a URL, for batches of so many.
pub async fn open(url: &str, batch: usize) -> Result<MySql> {
    let pool = MySqlPoolOptions::new().max_connections(10).test_before_acquire(false).connect(url).await?;
    let many = format!("{MANY} ({})", vec!["?"; batch].join(", ")).leak();
    let row = "(?, ?, ?, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)), 1)";
    let insert = format!("{INSERT} {}", vec![row; batch].join(", ")).leak();
    Ok(MySql { pool, many, insert })
}

impl ByHand for MySql {
    type Found = Found;
    type Error = sqlx::Error;

    async fn resolve(self, acs_id: String) -> Result<Option<Found>> {
        let query = sqlx::query_as(ONE).bind(NAMESPACE.as_bytes()).bind(acs_id.into_bytes());
        query.fetch_optional(&self.pool).await
    }

    async fn resolve_many(self, acs_ids: Vec<String>) -> Result<Vec<Option<Found>>> {
        let mut query = sqlx::query_as(AssertSqlSafe(self.many)).bind(NAMESPACE.as_bytes());
        for id in &acs_ids {
            query = query.bind(id.as_bytes());
        }
        let rows: Vec<Row> = query.fetch_all(&self.pool).await?;
        Ok(in_order(&acs_ids, rows))
    }

    async fn insert_many(self, new: Vec<New>) -> Result<()> {
        let mut query = sqlx::query(AssertSqlSafe(self.insert));
        for (id, customer) in new {
            query = query.bind(NAMESPACE.as_bytes()).bind(id.into_bytes()).bind(customer.into_bytes());
        }
        query.execute(&self.pool).await.map(drop)
    }
}
