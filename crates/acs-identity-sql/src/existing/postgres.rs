//! Tables of PostgreSQL.

use sqlx::SqlStr;
use sqlx::postgres::PgRow;

use super::{TableDialect, TableResolver};
use crate::dialect::Value;
use crate::error::{Code, Failure};
use crate::postgres::Postgres;

/// A [`TableResolver`] over a table of PostgreSQL.
///
/// The column of the ACS IDs is a `text` or `varchar`. A `citext` or `char` is compared as a `text`, for which its own index
/// is of no use.
pub type PostgresTable = TableResolver<Postgres>;

impl TableDialect for Postgres {
    const QUOTE: char = '"';
    const NAMES: &str = "at most 63 bytes";
    const ARRAYS: bool = true;

    fn is_name(name: &str) -> bool {
        // https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
        name.len() <= 63
    }

    fn text_of(column: &str) -> String {
        format!("{column}::text")
    }

    fn float_of(column: &str) -> String {
        // With a NULL beside it, a domain counts as the type that it is made of.
        format!(
            "CASE WHEN pg_typeof(COALESCE({column}, NULL)) IN ('pg_catalog.float4'::regtype, 'pg_catalog.float8'::regtype) \
            THEN 1::bigint END"
        )
    }

    fn is_unwritable(code: &Code) -> bool {
        // untranslatable_character: the database's encoding is not UTF-8.
        matches!(code, Code::Postgres(state) if state == "22P05")
    }

    async fn fetch_made(
        connection: &mut Self::Connection,
        sql: SqlStr,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, Failure> {
        Self::fetch(connection, sql, values).await
    }
}
