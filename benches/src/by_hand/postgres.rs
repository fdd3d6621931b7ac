//! Hand-written lookups and inserts with plain sqlx in PostgreSQL, with as many connections as the store.

use sqlx::Result;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::store::{ByHand, Found, NAMESPACE, New, Row, in_order};

const ONE: &str = "SELECT customer_id, properties, expires_at, revision FROM acs_identity_mappings \
    WHERE namespace = $1 AND acs_id = $2 AND customer_id IS NOT NULL";
const MANY: &str = "SELECT customer_id, properties, expires_at, revision, acs_id FROM acs_identity_mappings \
    WHERE namespace = $1 AND acs_id = ANY ($2) AND customer_id IS NOT NULL";
const INSERT: &str = "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
    SELECT $1, acs_id, customer_id, (extract(epoch FROM now()) * 1000000)::bigint, 1 \
    FROM unnest($2::text[], $3::text[]) AS new (acs_id, customer_id)";
const COPY: &str = "COPY acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) FROM STDIN";

/// A pool.
#[derive(Debug, Clone)]
pub struct Postgres(PgPool);

/// A pool for the database at a URL.
pub async fn open(url: &str) -> Result<Postgres> {
    let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false);
    Ok(Postgres(pool.connect(url).await?))
}

impl ByHand for Postgres {
    type Found = Found;
    type Error = sqlx::Error;

    async fn resolve(self, acs_id: String) -> Result<Option<Found>> {
        sqlx::query_as(ONE).bind(NAMESPACE).bind(acs_id).fetch_optional(&self.0).await
    }

    async fn resolve_many(self, acs_ids: Vec<String>) -> Result<Vec<Option<Found>>> {
        let rows: Vec<Row> = sqlx::query_as(MANY).bind(NAMESPACE).bind(&acs_ids).fetch_all(&self.0).await?;
        Ok(in_order(&acs_ids, rows))
    }

    async fn insert_many(self, new: Vec<New>) -> Result<()> {
        let (ids, customers): (Vec<String>, Vec<String>) = new.into_iter().unzip();
        sqlx::query(INSERT).bind(NAMESPACE).bind(ids).bind(customers).execute(&self.0).await.map(drop)
    }
}

impl Postgres {
    /// The same as `insert_many` by `COPY`.
    pub async fn copy_many(self, new: Vec<New>) -> Result<()> {
        let lines: String =
            new.iter().map(|(id, customer)| format!("{NAMESPACE}\t{id}\t{customer}\t1767225600000000\t1\n")).collect();
        let mut connection = self.0.acquire().await?;
        let mut copy = connection.copy_in_raw(COPY).await?;
        copy.send(lines.as_bytes()).await?;
        copy.finish().await.map(drop)
    }
}
