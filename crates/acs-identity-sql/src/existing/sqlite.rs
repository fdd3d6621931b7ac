//! Tables of SQLite.

use sqlx::SqlStr;
use sqlx::sqlite::SqliteRow;

use super::{TableDialect, TableResolver};
use crate::dialect::Value;
use crate::error::{Code, Failure};
use crate::sqlite::Sqlite;

/// A [`TableResolver`] over a table of SQLite.
///
/// A customer ID stored as a blob is `Corrupt`, as it has no text of its own: a view may give it one.
pub type SqliteTable = TableResolver<Sqlite>;

impl TableDialect for Sqlite {
    const QUOTE: char = '"';
    const NAMES: &str = "at most 1000 bytes";
    const ARRAYS: bool = false;

    fn is_name(name: &str) -> bool {
        // SQLite itself sets no limit.
        name.len() <= 1000
    }

    fn text_of(column: &str) -> String {
        format!("CAST({column} AS TEXT)")
    }

    fn customer_of(column: &str) -> String {
        // A cast would take a blob's bytes for a text.
        format!("CASE typeof({column}) WHEN 'blob' THEN {column} ELSE CAST({column} AS TEXT) END")
    }

    fn float_of(column: &str) -> String {
        format!("CASE typeof({column}) WHEN 'real' THEN 1 END")
    }

    fn is_unwritable(_: &Code) -> bool {
        false
    }

    async fn fetch_made(
        connection: &mut Self::Connection,
        sql: SqlStr,
        values: &[Value<'_>],
    ) -> Result<Vec<SqliteRow>, Failure> {
        Self::fetch(connection, sql, values).await
    }
}
