//! Tables of MySQL and MariaDB.

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{Arguments, Column, Row, SqlStr, TypeInfo};

use super::{TableDialect, TableResolver};
use crate::dialect::Value;
use crate::error::{Code, Failure};
use crate::mysql::MySql;
use crate::remote;

/// A [`TableResolver`] over a table of MySQL or MariaDB.
///
/// The column of the ACS IDs is a `CHAR`, `VARCHAR` or `TEXT` of any character set and collation, or a `VARBINARY`; a lookup uses
/// its index. An ID that its character set cannot write is absent. The connection's own character set is one of Unicode, as
/// the driver's is unless it is told otherwise; with another one, only IDs in ASCII are found. Its `autocommit` is on, as by
/// default: without it, a connection would go on to see the table as it was at its first lookup.
///
/// A customer ID in a column of bytes (`BINARY`, `VARBINARY`, `BLOB`) is `Corrupt`, as it has no text of its own: a view may
/// give it one, for instance by `HEX`.
pub type MySqlTable = TableResolver<MySql>;

impl TableDialect for MySql {
    const QUOTE: char = '`';
    const NAMES: &str = "at most 64 characters, none above U+FFFF, and no space at the end";
    const ARRAYS: bool = false;

    fn is_name(name: &str) -> bool {
        // https://mariadb.com/kb/en/identifier-names/ and https://dev.mysql.com/doc/refman/8.0/en/identifiers.html
        name.chars().count() <= 64 && name.chars().all(|one| one <= '\u{ffff}') && !name.ends_with(' ')
    }

    fn text_of(column: &str) -> String {
        // As bytes, which no character set of the connection changes on their way.
        format!("CAST(CONVERT({column} USING utf8mb4) AS BINARY)")
    }

    fn customer_of(column: &str) -> String {
        // Bytes taken for a text would lose those that are none. Numbers are binary, too, until they stand in a text,
        // whose character set is the connection's unless it is said.
        let text = Self::text_of(column);
        format!(
            "CASE WHEN {column} IS NULL THEN NULL WHEN CHARSET(CONCAT({column}, _utf8mb4'')) = 'binary' THEN X'FF' \
            ELSE {text} END"
        )
    }

    fn float_of(column: &str) -> String {
        // No function tells the type, but the answer does of each of its columns.
        format!("IF(FALSE, {column}, NULL)")
    }

    fn is_float(row: &MySqlRow, place: usize) -> bool {
        row.try_column(place).is_ok_and(|column| ["FLOAT", "DOUBLE"].contains(&column.type_info().name()))
    }

    fn is_unwritable(code: &Code) -> bool {
        // Illegal mix of collations, as MariaDB has it; a conversion that fails, as MySQL has it.
        matches!(code, Code::MySql(1267 | 1271 | 3854 | 3988))
    }

    async fn fetch_made(
        connection: &mut Self::Connection,
        sql: SqlStr,
        values: &[Value<'_>],
    ) -> Result<Vec<MySqlRow>, Failure> {
        let mut arguments = MySqlArguments::default();
        for value in values {
            // A text, not bytes as in the store's own tables: the server writes it in the column's character set.
            let Value::Text(text) = value else { return Err(Failure::Driver) };
            arguments.add(*text).map_err(|_| Failure::Driver)?;
        }
        let rows = sqlx::query_with(sql, arguments).fetch_all(connection.begin()).await;
        remote::answered::<Self, _>(connection, rows)
    }
}
