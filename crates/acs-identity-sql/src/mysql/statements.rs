//! The statements of the dialect of MySQL and MariaDB.

use std::sync::LazyLock;

use crate::batch::Batch;
use crate::dialect::Statements;

/// Sizes of a statement that looks for several IDs. A list is filled up by repeating its last ID, which costs little.
const LOOKUPS: &[usize] = &[1, 8, 64, 512];
/// Sizes of a statement that writes several rows, which can't be filled up.
const WRITES: &[usize] = &[1, 8, 64, 256];

/// The server's time when it received the statement, in microseconds, whatever the time zone of the session is.
macro_rules! now {
    () => {
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
    };
}
pub(super) use now;

macro_rules! mappings_of {
    ($now:expr, $end:literal) => {
        // Not `(created_at, acs_id) > (?, ?)`, for which the servers would not use the index.
        concat!(
            "SELECT customer_id, properties, expires_at, revision, ",
            $now,
            ", acs_id, created_at FROM acs_identity_mappings WHERE namespace = ? AND customer_id = ? \
                AND ((created_at = ? AND acs_id > ?) OR created_at > ?) ORDER BY created_at, acs_id LIMIT ?",
            $end
        )
    };
}

pub(super) static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| Statements {
    resolve: concat!(
        "SELECT customer_id, properties, expires_at, revision, IF(expires_at IS NULL, NULL, ",
        now!(),
        ") FROM acs_identity_mappings WHERE namespace = ? AND acs_id = ?"
    ),
    resolve_many: Batch::sized(LOOKUPS, |size| {
        lookup(concat!("IF(expires_at IS NULL, NULL, ", now!(), "), acs_id"), size, "")
    }),
    present: Batch::sized(LOOKUPS, |size| lookup("NULL, acs_id, created_at", size, " FOR UPDATE")),
    insert: Batch::sized(WRITES, |size| insert(size, "")),
    // Each of these rows is there and held, so it is always the update.
    update: Batch::sized(WRITES, |size| {
        insert(
            size,
            " ON DUPLICATE KEY UPDATE customer_id = VALUES(customer_id), properties = VALUES(properties), \
                created_at = VALUES(created_at), expires_at = VALUES(expires_at), revision = VALUES(revision)",
        )
    }),
    scan: concat!(
        "SELECT customer_id, properties, expires_at, revision, ",
        now!(),
        ", acs_id, created_at FROM acs_identity_mappings WHERE namespace = ? AND acs_id > ? ORDER BY acs_id LIMIT ?"
    ),
    mappings_of: mappings_of!(now!(), ""),
    hold_mappings_of: mappings_of!("NULL", " FOR UPDATE"),
    last_of: "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at FROM acs_identity_mappings \
        WHERE namespace = ? AND customer_id = ? ORDER BY created_at DESC, acs_id DESC LIMIT 1",
    bury_expired: "UPDATE acs_identity_mappings SET customer_id = NULL, properties = NULL, expires_at = ? \
        WHERE namespace = ? AND customer_id IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?",
    forget: "DELETE FROM acs_identity_mappings WHERE forget_at <= ? ORDER BY forget_at LIMIT ?",
    trim_changes: super::feed::TRIM,
    now: Some(concat!("SELECT ", now!())),
    schema_exists: "SELECT 1 FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_name = 'acs_identity_schema'",
    schema_version: "SELECT max(version) FROM acs_identity_schema",
});

fn lookup(more: &str, size: usize, end: &str) -> String {
    let ids = vec!["?"; size].join(", ");
    format!(
        "SELECT customer_id, properties, expires_at, revision, {more} FROM acs_identity_mappings \
        WHERE namespace = ? AND acs_id IN ({ids}){end}"
    )
}

fn insert(size: usize, end: &str) -> String {
    let rows = vec!["(?, ?, ?, ?, ?, ?, ?)"; size].join(", ");
    format!(
        "INSERT INTO acs_identity_mappings \
            (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) VALUES {rows}{end}"
    )
}

#[cfg(test)]
mod tests {
    use acs_identity_servers::{Kind, database};
    use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};

    use super::*;

    /// A database with some thousand mappings, expired ones and tombstones among them, of which the server has statistics.
    async fn filled(connection: &mut MySqlConnection) {
        for sql in super::super::migrations::MIGRATIONS.iter().copied().flatten().copied() {
            connection.execute(sql).await.unwrap();
        }
        let rows: Vec<String> = (1..=4000)
            .map(|n| {
                let customer = if n % 10 > 0 { format!("'customer{}'", n % 100) } else { "NULL".to_owned() };
                let expires = if n % 5 == 0 { n.to_string() } else { "NULL".to_owned() };
                format!("('default', '8:acs:r_{n}', {customer}, NULL, {n}, {expires}, {n})")
            })
            .collect();
        let sql = insert(0, "").replace("VALUES ", &format!("VALUES {}", rows.join(", ")));
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.execute("ANALYZE TABLE acs_identity_mappings, acs_identity_changes").await.unwrap();
    }

    /// The indexes that a statement reads, and what else it has to do, from the server itself.
    async fn plan(connection: &mut MySqlConnection, sql: &str, values: &[&str]) -> Vec<(String, String)> {
        let mut sql = sql.to_owned();
        for value in values {
            sql = sql.replacen('?', value, 1);
        }
        let sql = AssertSqlSafe(format!("EXPLAIN {}", sql.replace('?', values.last().unwrap())));
        let rows = connection.fetch_all(sqlx::raw_sql(sql)).await.unwrap();
        let text = |row: &sqlx::mysql::MySqlRow, column: &str| {
            row.try_get::<Option<String>, _>(column).unwrap().unwrap_or_default()
        };
        rows.iter().map(|row| (text(row, "key"), text(row, "Extra"))).collect()
    }

    #[tokio::test]
    async fn every_lookup_reads_one_index_and_sorts_nothing() {
        let database = database(Kind::MariaDb).await;
        let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
        filled(&mut connection).await;
        let eight = |batch: &Batch| batch.covering(8).unwrap().1.to_owned();
        let (key, customer) = (["'default'", "'8:acs:r_7'"], ["'default'", "'customer7'", "7", "'8'", "7", "100"]);
        for (sql, values, index) in [
            (STATEMENTS.resolve, &key[..], "PRIMARY"),
            (&eight(&STATEMENTS.resolve_many), &key, "PRIMARY"),
            (&eight(&STATEMENTS.present), &key, "PRIMARY"),
            (STATEMENTS.scan, &["'default'", "'8:acs:r_7'", "100"], "PRIMARY"),
            (STATEMENTS.mappings_of, &customer, "acs_identity_mappings_customer"),
            (STATEMENTS.hold_mappings_of, &customer, "acs_identity_mappings_customer"),
            (STATEMENTS.last_of, &customer[..2], "acs_identity_mappings_customer"),
            (STATEMENTS.bury_expired, &["9000", "'default'", "300", "100"], "acs_identity_mappings_expiring"),
            (STATEMENTS.forget, &["300", "100"], "acs_identity_mappings_tombstones"),
        ] {
            let plan = plan(&mut connection, sql, values).await;
            assert_eq!(plan.len(), 1, "{sql}\n{plan:?}");
            assert_eq!(plan[0].0, index, "{sql}\n{plan:?}");
            // The rows that an UPDATE finds by the column that it changes are noted before.
            let sorts = plan[0].1.contains("filesort") || plan[0].1.contains("temporary");
            assert!(!sorts || sql == STATEMENTS.bury_expired, "{sql}\n{plan:?}");
        }
    }
}
