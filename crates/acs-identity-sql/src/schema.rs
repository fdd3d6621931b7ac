//! The versions of the schema.

use std::time::Duration;

use crate::dialect::{Dialect, Row};
use crate::error::Failure;

/// Brings the schema up to date. Safe when many do so at once: each version is made by whoever has the lock for it and still
/// finds it missing; in one transaction, or with statements that can finish what was made by half where each one commits.
pub(crate) async fn migrate<D: Dialect>(writer: &D::Pool, limit: Duration) -> Result<(), Failure> {
    loop {
        let mut connection = D::acquire(writer).await?;
        // Looked at before the lock is taken, which nobody needs when there is nothing to do.
        if is_current::<D>(&mut connection).await? {
            return Ok(());
        }
        let mut transaction = D::begin_migration(connection, limit).await?;
        let made = make_next::<D>(&mut transaction).await;
        match made {
            Ok(()) => D::end_migration(transaction).await?,
            // Dropped and not rolled back: some databases' lock on the schema is the connection's, and ends with it.
            Err(failure) => {
                drop(transaction);
                return Err(failure);
            }
        }
    }
}

/// Whether the schema is up to date.
pub(crate) async fn is_current<D: Dialect>(connection: &mut D::Connection) -> Result<bool, Failure> {
    Ok(next::<D>(connection).await?.is_none())
}

async fn make_next<D: Dialect>(connection: &mut D::Connection) -> Result<(), Failure> {
    let Some(statements) = next::<D>(connection).await? else { return Ok(()) };
    for sql in statements {
        D::execute(connection, sql, &[]).await?;
    }
    Ok(())
}

/// How the first version that is missing is made.
async fn next<D: Dialect>(connection: &mut D::Connection) -> Result<Option<&'static [&'static str]>, Failure> {
    let found = version::<D>(connection).await?;
    let known = D::migrations().len() as i64;
    if found > known {
        return Err(Failure::NewerSchema { found, known });
    }
    Ok((1..).zip(D::migrations()).find(|(version, _)| *version > found).map(|(_, statements)| *statements))
}

/// The version that is there; 0 if there is none.
pub(crate) async fn version<D: Dialect>(connection: &mut D::Connection) -> Result<i64, Failure> {
    if D::fetch_optional(connection, D::statements().schema_exists, &[]).await?.is_none() {
        return Ok(0);
    }
    let row = D::fetch_optional(connection, D::statements().schema_version, &[]).await?;
    let version = row.map(|row| row.integer(0)).transpose().map_err(|_| Failure::Unreadable("version"))?;
    Ok(version.flatten().unwrap_or(0))
}

/// All statements, as an administrator would run them.
pub(crate) fn sql<D: Dialect>() -> String {
    let (begin, commit) = if D::SCHEMA_IN_TRANSACTIONS { ("BEGIN;\n", "COMMIT;\n") } else { ("", "") };
    let mut text = String::new();
    for (version, statements) in (1..).zip(D::migrations()) {
        text += &format!("-- version {version}\n{begin}\n");
        for sql in *statements {
            text += &D::in_a_file(sql);
        }
        text += commit;
    }
    text
}
