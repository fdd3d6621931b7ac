//! Statements that somebody runs who knows nothing of the stores.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};

/// A connection of one's own.
#[async_trait]
pub(crate) trait ByHand: Connection {
    /// Runs statements.
    async fn run(&mut self, sql: &str);

    /// The first columns of what a query finds.
    async fn numbers(&mut self, sql: &str) -> Vec<i64>;

    async fn number(&mut self, sql: &str) -> i64 {
        self.numbers(sql).await[0]
    }
}

/// Statements as the server takes them, of which one may have been between two `DELIMITER` for MySQL's client.
pub(crate) fn undelimited(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.starts_with("DELIMITER ")).collect();
    lines.join("\n").replace(" //\n", ";\n")
}

macro_rules! by_hand {
    ($($connection:ty),+) => {
        $(#[async_trait]
        impl ByHand for $connection {
            async fn run(&mut self, sql: &str) {
                sqlx::raw_sql(AssertSqlSafe(undelimited(sql))).execute(self).await.expect("the statements run");
            }

            async fn numbers(&mut self, sql: &str) -> Vec<i64> {
                sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(self).await.expect("numbers are found")
            }
        })+
    };
}

by_hand!(MySqlConnection, PgConnection, SqliteConnection);
