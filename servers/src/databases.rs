//! Empty databases, one for each test.

use std::thread;
use std::time::Duration;

use sqlx::{Connection, Executor};

use crate::{Kind, random, url};

/// An empty database with a random name on the server of [`url`], dropped with this value.
///
/// On a private server of this process it stays until the process ends. Elsewhere it is dropped even if there
/// are still connections to it; what cannot be dropped within seconds stays.
#[derive(Debug)]
pub struct Database {
    kind: Kind,
    name: String,
    url: String,
}

/// Makes an empty database.
///
/// # Panics
/// If there is no server, or it does not make one.
pub async fn database(kind: Kind) -> Database {
    database_with(kind, "").await
}

/// Makes an empty database with options that are put at the end of `CREATE DATABASE`, for instance
/// ` CHARACTER SET latin1`.
///
/// # Panics
/// If there is no server, or it does not make one.
pub async fn database_with(kind: Kind, options: &str) -> Database {
    let server = url(kind);
    let name = format!("acs_test_{}", random::hex());
    let made = execute(kind, &server, &format!("CREATE DATABASE {name} {options}")).await;
    made.unwrap_or_else(|error| panic!("{kind} makes no database: {error}"));
    Database { kind, url: with_database(&server, &name), name }
}

impl Database {
    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(server) = self.kind.given() else { return };
        let statement = match self.kind {
            Kind::Postgres => format!("DROP DATABASE {} WITH (FORCE)", self.name),
            Kind::MariaDb => format!("DROP DATABASE {}", self.name),
            Kind::Redis => return,
        };
        let kind = self.kind;
        // In a thread with a runtime of its own: the one of the test may be this thread's.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            // What is left after that has a name that tells where it is from.
            let patience = Duration::from_secs(5);
            runtime.block_on(async { tokio::time::timeout(patience, execute(kind, &server, &statement)).await }).ok()
        });
        let _ = dropped.join();
    }
}

/// Runs one statement on a connection of its own.
async fn execute(kind: Kind, url: &str, statement: &str) -> sqlx::Result<()> {
    let statement = sqlx::AssertSqlSafe(statement);
    match kind {
        Kind::Postgres => {
            let mut connection = sqlx::PgConnection::connect(url).await?;
            connection.execute(sqlx::raw_sql(statement)).await?;
            connection.close().await
        }
        Kind::MariaDb => {
            let mut connection = sqlx::MySqlConnection::connect(url).await?;
            connection.execute(sqlx::raw_sql(statement)).await?;
            connection.close().await
        }
        Kind::Redis => Err(sqlx::Error::Configuration("it has none; a test uses keys with a prefix of its own".into())),
    }
}

/// A URL with its database replaced.
fn with_database(url: &str, database: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, String::new()), |(url, rest)| (url, format!("?{rest}")));
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    format!("{}/{database}{options}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        assert_eq!(with_database("postgres://u:p@h:1/postgres", "new"), "postgres://u:p@h:1/new");
        assert_eq!(with_database("mysql://u:p@h:1", "new"), "mysql://u:p@h:1/new");
        assert_eq!(with_database("mysql://u@h/old?ssl-mode=REQUIRED", "new"), "mysql://u@h/new?ssl-mode=REQUIRED");
        assert_eq!(with_database("mysql://u@h?ssl-ca=/a/b", "new"), "mysql://u@h/new?ssl-ca=/a/b");
    }
}
