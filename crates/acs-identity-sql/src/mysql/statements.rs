//! The statements of the dialect of MySQL and MariaDB.

use std::sync::LazyLock;

use crate::batch::{Batch, LOOKUPS};
use crate::dialect::Statements;

/// Sizes of a statement that looks for the rows that are to be written. A list is filled up as that of a lookup is.
const PRESENT: &[usize] = &[1, 8, 64, 512];
/// Sizes of a statement that writes several rows, which can't be filled up.
const WRITES: &[usize] = &[1, 10, 100, 1000];

/// The server's time when it received the statement, in microseconds, whatever the time zone of the session is.
macro_rules! now {
    () => {
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
    };
}
pub(super) use now;

pub(super) static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| Statements {
    resolve: concat!(
        "SELECT customer_id, properties, expires_at, revision, IF(expires_at IS NULL, NULL, ",
        now!(),
        ") FROM acs_identity_mappings WHERE namespace = ? AND acs_id = ?"
    ),
    resolve_many: Batch::sized(LOOKUPS, |size| {
        lookup(concat!("IF(expires_at IS NULL, NULL, ", now!(), "), acs_id"), size, "")
    }),
    present: Batch::sized(PRESENT, hold),
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
    // Not `(created_at, acs_id) > (?, ?)`, for which the servers would not use the index.
    mappings_of: concat!(
        "SELECT customer_id, properties, expires_at, revision, ",
        now!(),
        ", acs_id, created_at FROM acs_identity_mappings WHERE namespace = ? AND customer_id = ? \
            AND ((created_at = ? AND acs_id > ?) OR created_at > ?) ORDER BY created_at, acs_id LIMIT ?"
    ),
    last_of: "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at FROM acs_identity_mappings \
        WHERE namespace = ? AND customer_id = ? ORDER BY created_at DESC, acs_id DESC LIMIT 1",
    expire: "UPDATE acs_identity_mappings SET customer_id = NULL, properties = NULL, expires_at = ? \
        WHERE namespace = ? AND customer_id IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?",
    forget: "DELETE FROM acs_identity_mappings WHERE forget_at <= ? ORDER BY forget_at LIMIT ?",
    trim_changes: super::feed::DUE,
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

/// Holds the rows of several IDs and no other. In a small table the servers would rather read all of the namespace, hold that
/// meanwhile, and wait for whoever has some of it; not if there seem to be two namespaces, of which none has no name.
fn hold(size: usize) -> String {
    let ids = vec!["?"; size].join(", ");
    format!(
        "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at \
        FROM acs_identity_mappings FORCE INDEX (PRIMARY) \
        WHERE namespace IN (?, '') AND acs_id IN ({ids}) FOR UPDATE"
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
    use sqlx::mysql::MySqlRow;
    use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};

    use super::super::feed;
    use super::*;

    /// A database with some thousand mappings, expired ones and tombstones among them, of which the server has statistics.
    async fn filled(connection: &mut MySqlConnection) {
        for sql in super::super::migrations::MIGRATIONS.iter().copied().flatten().copied() {
            connection.execute(sql).await.unwrap();
        }
        let rows: Vec<String> = (1..=20_000)
            .map(|n| {
                let customer = if n % 10 > 0 { format!("'customer{}'", n % 100) } else { "NULL".to_owned() };
                let expires = if n % 5 == 0 { n.to_string() } else { "NULL".to_owned() };
                format!("('default', '8:acs:r_{n}', {customer}, NULL, {n}, {expires}, {n})")
            })
            .collect();
        for rows in rows.chunks(4000) {
            let sql = insert(0, "").replace("VALUES ", &format!("VALUES {}", rows.join(", ")));
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        connection.execute("ANALYZE TABLE acs_identity_mappings, acs_identity_changes").await.unwrap();
    }

    /// Which table the server reads, how, by which index, and what else it has to do, step by step, from itself. Each value
    /// is for one parameter, and the last one for all that are left, with a number of its own for each.
    async fn plan(connection: &mut MySqlConnection, sql: &str, values: &[&str]) -> Vec<[String; 4]> {
        let mut text = String::new();
        for (n, part) in sql.split('?').enumerate() {
            if n > 0 {
                text += &values[(n - 1).min(values.len() - 1)].replace('#', &n.to_string());
            }
            text += part;
        }
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN {text}")))).await.unwrap();
        let column = |row: &MySqlRow, name: &str| row.try_get::<Option<String>, _>(name).unwrap().unwrap_or_default();
        rows.iter().map(|row| ["table", "type", "key", "Extra"].map(|name| column(row, name))).collect()
    }

    /// The steps of a plan that read a table, but for a change of rows, whose index only `type` and `key` tell.
    fn searches(plan: &[[String; 4]]) -> Vec<(&str, &str)> {
        let stored = plan.iter().filter(|step| step[0].starts_with("acs_identity_"));
        stored.map(|step| (step[1].as_str(), step[2].as_str())).collect()
    }

    #[tokio::test]
    async fn every_statement_searches_an_index_and_sorts_nothing() {
        let database = database(Kind::MariaDb).await;
        let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
        filled(&mut connection).await;
        let most = |batch: &Batch| batch.covering(512).unwrap().1.to_owned();
        let (key, ids) = (["'default'", "'8:acs:r_7'"], ["'default'", "'8:acs:r_#'"]);
        let customer = ["'default'", "'customer7'", "7", "'8'", "7", "100"];
        let (primary, by_customer) = ("PRIMARY", "acs_identity_mappings_customer");
        let log = ["'default'", "'default'", "'default'", "'default'", "17000", "100"];
        for (sql, values, expected) in [
            (STATEMENTS.resolve, &key[..], &[("const", primary)][..]),
            (&most(&STATEMENTS.resolve_many), &ids, &[("range", primary)]),
            (&most(&STATEMENTS.present), &ids, &[("range", primary)]),
            (STATEMENTS.scan, &["'default'", "'8:acs:r_7'", "100"], &[("range", primary)]),
            (STATEMENTS.mappings_of, &customer, &[("range", by_customer)]),
            (STATEMENTS.last_of, &customer[..2], &[("ref", by_customer)]),
            (STATEMENTS.expire, &["9000", "'default'", "300", "100"], &[("range", "acs_identity_mappings_expiring")]),
            (STATEMENTS.forget, &["300", "100"], &[("range", "acs_identity_mappings_tombstones")]),
            (feed::NUMBERS, &["17000", "100"], &[("range", primary)]),
            (feed::AFTER, &log, &[("range", primary)]),
            (feed::DELETE, &["7", "17"], &[("range", primary)]),
            (&most(&feed::AMONG), &["'default'", "'default'", "'default'", "'default'", "#"], &[("range", primary)]),
        ] {
            let plan = plan(&mut connection, sql, values).await;
            assert_eq!(searches(&plan), expected, "{sql}\n{plan:?}");
            // The rows that an UPDATE finds by the column that it changes are noted before.
            let sorts = plan.iter().any(|step| step[3].contains("filesort") || step[3].contains("temporary"));
            assert!(!sorts || sql == STATEMENTS.expire, "{sql}\n{plan:?}");
        }
        let due = plan(&mut connection, feed::DUE, &["100"]).await;
        assert_eq!(searches(&due), [("range", primary), ("range", "acs_identity_changes_at")], "{due:?}");
        // Of an INSERT the server says nothing: what it found by which key is in the counters.
        let one = STATEMENTS.update.within(1).unwrap().1;
        let values = ["'default'", "'8:acs:r_7'", "'al'", "NULL", "7", "NULL", "8"];
        let update = values.iter().fold(one.to_owned(), |sql, value| sql.replacen('?', value, 1));
        connection.execute("FLUSH STATUS").await.unwrap();
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(update))).await.unwrap();
        assert_eq!(done.rows_affected(), 2, "an update counts as two");
        let status = connection.fetch_all(sqlx::raw_sql("SHOW STATUS LIKE 'Handler_read%'")).await.unwrap();
        let read: u32 = status.iter().map(|row| row.get::<String, _>(1).parse::<u32>().unwrap()).sum();
        assert!(read < 10, "{read}: the row itself, and what its trigger makes up");
    }
}
