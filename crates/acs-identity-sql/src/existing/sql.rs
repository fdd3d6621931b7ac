//! The statements of a lookup in an application's own table.

use std::future::Future;

use acs_identity_core::{Error, Result};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::TableOptions;
use crate::batch::Batch;
use crate::dialect::{Dialect, Row, Value};
use crate::error::{Code, Failure};

/// What a lookup in an application's own table needs of a database.
// Public only because `TableResolver` names it; it can't be reached from outside.
pub trait TableDialect: Dialect {
    /// What stands around a name, and is doubled in it.
    const QUOTE: char;
    /// What a name has to be, for an error.
    const NAMES: &str;
    /// Whether one parameter can hold many IDs.
    const ARRAYS: bool;

    /// Whether the database can have something of this name; a longer one might be cut to another's.
    fn is_name(name: &str) -> bool;

    /// An expression for a column's value as a text, NULL if it is NULL.
    fn text_of(column: &str) -> String;

    /// The same for a customer, where it is something else than a text if the value is none.
    fn customer_of(column: &str) -> String {
        Self::text_of(column)
    }

    /// An expression from which [`is_float`](Self::is_float) tells whether a column's value is a floating-point number, whose text is
    /// not exact: two customers might have the same one.
    fn float_of(column: &str) -> String;

    /// Whether the expression in this place of a row says so: here, if it is not NULL.
    fn is_float(row: &Self::Row, place: usize) -> bool {
        !matches!(row.integer(place), Ok(None))
    }

    /// Whether a lookup failed as the column's character set has no such text as one of the IDs.
    fn is_unwritable(code: &Code) -> bool;

    /// Runs a statement that was made for one table.
    fn fetch_made(
        connection: &mut Self::Connection,
        sql: SqlStr,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;
}

/// The numbers of IDs where each is a parameter.
const SIZES: &[usize] = &[1, 8, 64];

/// The statement that looks for IDs in a table; its rows are the ID, the customer, and whether that is a floating-point number.
pub(super) fn lookup<D: TableDialect>(options: &TableOptions) -> Result<Batch> {
    // Qualified, as SQLite takes a lone quoted name that is no column's for a text.
    let acs_id = format!("u.{}", quoted::<D>("ACS ID column", &options.acs_id)?);
    let customer_id = format!("u.{}", quoted::<D>("customer ID column", &options.customer_id)?);
    let mut table = quoted::<D>("table", &options.table)?;
    if let Some(schema) = &options.schema {
        table = format!("{}.{table}", quoted::<D>("schema", schema)?);
    }
    let (id, customer, float) = (D::text_of(&acs_id), D::customer_of(&customer_id), D::float_of(&customer_id));
    // The column itself is compared, so that its index can be used.
    let select = format!("SELECT {id}, {customer}, {float} FROM {table} AS u WHERE {acs_id}");
    Ok(match D::ARRAYS {
        true => Batch::Arrays(format!("{select} = ANY($1)").into()),
        false => Batch::sized(SIZES, |size| format!("{select} IN ({})", vec!["?"; size].join(", "))),
    })
}

/// The rows of these IDs, no more than the largest statement takes, and those that the column's collation takes for the same.
pub(super) async fn fetch<D: TableDialect>(
    connection: &mut D::Connection,
    lookup: &Batch,
    ids: &[&str],
) -> Result<Vec<D::Row>, Failure> {
    let Some((size, sql)) = lookup.covering(ids.len()) else { return Ok(Vec::new()) };
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    match lookup {
        Batch::Sized(_) => {
            let mut values: Vec<_> = ids.iter().map(|id| Value::Text(id)).collect();
            values.resize(size, Value::text_or_null(ids.last().copied()));
            D::fetch_made(connection, sql, &values).await
        }
        Batch::Arrays(_) => {
            let ids: Vec<_> = ids.iter().map(|id| Some(*id)).collect();
            D::fetch_made(connection, sql, &[Value::Texts(&ids)]).await
        }
    }
}

/// A name as it stands in a statement.
fn quoted<D: TableDialect>(what: &str, name: &str) -> Result<String> {
    if name.is_empty() {
        return Err(Error::invalid_input(format!("the {what} has no name")));
    }
    if name.contains('\0') {
        return Err(Error::invalid_input(format!("the name of the {what} has a NUL in it")));
    }
    if !D::is_name(name) {
        let (backend, rule) = (D::BACKEND, D::NAMES);
        return Err(Error::invalid_input(format!("the name of the {what} can't be one in {backend}: {rule}")));
    }
    let mut text = String::with_capacity(name.len() + 2);
    text.push(D::QUOTE);
    for one in name.chars() {
        if one == D::QUOTE {
            text.push(D::QUOTE);
        }
        text.push(one);
    }
    text.push(D::QUOTE);
    Ok(text)
}
