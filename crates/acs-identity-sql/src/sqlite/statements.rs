//! The statements of the SQLite dialect.

use std::sync::LazyLock;

use crate::batch::{Batch, LOOKUPS};
use crate::dialect::Statements;

/// Sizes of a statement that looks for the rows that are to be written. A list is filled up as that of a lookup is.
const PRESENT: &[usize] = &[1, 8, 64, 512];
/// Sizes of a statement that writes several rows, which can't be filled up.
const WRITES: &[usize] = &[1, 10, 100, 1000];

pub(super) static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| Statements {
    resolve: "SELECT customer_id, properties, expires_at, revision, NULL FROM acs_identity_mappings \
        WHERE namespace = ? AND acs_id = ?",
    resolve_many: Batch::sized(LOOKUPS, |size| {
        lookup("customer_id, properties, expires_at, revision, NULL, acs_id", size)
    }),
    present: Batch::sized(PRESENT, |size| {
        lookup("customer_id, properties, expires_at, revision, NULL, acs_id, created_at", size)
    }),
    insert: Batch::sized(WRITES, insert),
    update: Batch::sized(WRITES, update),
    scan: "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at FROM acs_identity_mappings \
        WHERE namespace = ? AND acs_id > ? ORDER BY acs_id LIMIT ?",
    mappings_of: "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at \
        FROM acs_identity_mappings WHERE namespace = ?1 AND customer_id = ?2 AND (created_at, acs_id) > (?3, ?4) \
        ORDER BY created_at, acs_id LIMIT ?6",
    last_of: "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at FROM acs_identity_mappings \
        WHERE namespace = ? AND customer_id = ? ORDER BY created_at DESC, acs_id DESC LIMIT 1",
    expire: "UPDATE acs_identity_mappings SET customer_id = NULL, properties = NULL, expires_at = ?1 \
        WHERE namespace = ?2 AND acs_id IN (\
            SELECT acs_id FROM acs_identity_mappings \
            WHERE namespace = ?2 AND customer_id IS NOT NULL AND expires_at <= ?3 ORDER BY expires_at LIMIT ?4)",
    forget: "DELETE FROM acs_identity_mappings WHERE (namespace, acs_id) IN (\
            SELECT namespace, acs_id FROM acs_identity_mappings \
            WHERE customer_id IS NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    trim_changes: "DELETE FROM acs_identity_changes \
        WHERE seq < (SELECT min(seq) FROM acs_identity_changes) + ?1 AND abs(unixepoch() - at) >= 3600",
    now: None,
    schema_exists: "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'acs_identity_schema'",
    schema_version: "SELECT max(version) FROM acs_identity_schema",
});

fn lookup(columns: &str, size: usize) -> String {
    let ids = vec!["?"; size].join(", ");
    format!("SELECT {columns} FROM acs_identity_mappings WHERE namespace = ? AND acs_id IN ({ids})")
}

/// Columns 1 to 6.
fn rows(size: usize) -> String {
    vec!["(?, ?, ?, ?, ?, ?)"; size].join(", ")
}

// Two statements and no upsert, which fires the triggers of an insert and those of an update, and so logs a change twice.
fn insert(size: usize) -> String {
    format!(
        "INSERT INTO acs_identity_mappings \
            (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) \
        SELECT ?, * FROM (VALUES {})",
        rows(size)
    )
}

fn update(size: usize) -> String {
    format!(
        "UPDATE acs_identity_mappings SET customer_id = new.column2, properties = new.column3, \
            created_at = new.column4, expires_at = new.column5, revision = new.column6 \
        FROM (SELECT ? AS namespace) AS one, (VALUES {}) AS new \
        WHERE acs_identity_mappings.namespace = one.namespace AND acs_id = new.column1",
        rows(size)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A statement's plan, from SQLite itself.
    async fn plan(connection: &mut sqlx::SqliteConnection, sql: &'static str) -> String {
        let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(connection).await.unwrap();
        rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ")
    }

    /// A database with some thousand mappings, expired ones and tombstones among them; with statistics or, as an application
    /// leaves it that never makes them, without.
    async fn filled(analyze: &'static str) -> sqlx::SqliteConnection {
        use sqlx::Connection as _;
        let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let fill = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000) \
            INSERT INTO acs_identity_mappings SELECT 'default', '8:acs:r_' || n, \
                iif(n % 10 > 0, 'customer' || n % 100, NULL), NULL, n, iif(n % 5 = 0, n, NULL), n FROM numbers";
        for sql in super::super::migrations::MIGRATIONS.iter().copied().flatten().copied().chain([fill, analyze]) {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        connection
    }

    #[tokio::test]
    async fn every_statement_searches_one_tree_and_sorts_nothing() {
        for analyze in ["ANALYZE", "SELECT 1"] {
            every_plan_is_a_search(filled(analyze).await).await;
        }
    }

    async fn every_plan_is_a_search(mut connection: sqlx::SqliteConnection) {
        let by_key = "SEARCH acs_identity_mappings USING PRIMARY KEY (namespace=? AND acs_id=?)";
        let by_customer = "SEARCH acs_identity_mappings USING INDEX acs_identity_mappings_customer \
            (namespace=? AND customer_id=? AND (created_at,acs_id)>(?,?))";
        for (sql, expected) in [
            (STATEMENTS.resolve, by_key),
            (STATEMENTS.resolve_many.covering(512).unwrap().1, by_key),
            (STATEMENTS.present.covering(1).unwrap().1, by_key),
            (STATEMENTS.present.covering(8).unwrap().1, by_key),
            (STATEMENTS.scan, "SEARCH acs_identity_mappings USING PRIMARY KEY (namespace=? AND acs_id>?)"),
            (STATEMENTS.mappings_of, by_customer),
            (
                STATEMENTS.last_of,
                "SEARCH acs_identity_mappings USING INDEX acs_identity_mappings_customer \
                    (namespace=? AND customer_id=?)",
            ),
            (super::super::feed::AFTER, "SEARCH acs_identity_changes USING INTEGER PRIMARY KEY (rowid>?)"),
            (
                super::super::feed::NEWEST,
                // `sqlite_sequence` has one row for each table of the database that counts.
                "CO-ROUTINE (subquery-2); COMPOUND QUERY; LEFT-MOST SUBQUERY; SEARCH acs_identity_changes; \
                    UNION ALL; SCAN sqlite_sequence; SEARCH (subquery-2)",
            ),
            (
                STATEMENTS.trim_changes,
                "SEARCH acs_identity_changes USING INTEGER PRIMARY KEY (rowid<?); SCALAR SUBQUERY 1; \
                    SEARCH acs_identity_changes",
            ),
        ] {
            assert_eq!(plan(&mut connection, sql).await, expected, "{sql}");
        }
        for (sql, index) in [
            (STATEMENTS.expire, "acs_identity_mappings_expiring (namespace=? AND expires_at<?)"),
            (STATEMENTS.forget, "acs_identity_mappings_tombstones (expires_at<?)"),
        ] {
            let plan = plan(&mut connection, sql).await;
            assert!(plan.starts_with(by_key) && !plan.contains("SCAN") && !plan.contains("TEMP"), "{plan}");
            assert!(plan.contains(&format!("INDEX {index}")), "{plan}");
        }
        let plan = plan(&mut connection, STATEMENTS.update.within(64).unwrap().1).await;
        let one = "MATERIALIZE one; SCAN CONSTANT ROW; SCAN one";
        assert_eq!(plan, format!("{one}; SCAN 10-ROW VALUES CLAUSE; {by_key}"));
    }
}
