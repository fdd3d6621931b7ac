//! The statements of the PostgreSQL dialect.

use crate::batch::Batch;
use crate::dialect::Statements;

/// The server's time when it received the statement, in microseconds; where it is needed.
macro_rules! now {
    () => {
        "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    };
}

/// All columns of a mapping.
macro_rules! columns {
    ($now:expr) => {
        concat!("customer_id, properties, expires_at, revision, ", $now, ", acs_id, created_at")
    };
}

pub(super) static STATEMENTS: Statements = Statements {
    resolve: concat!(
        "SELECT customer_id, properties, expires_at, revision, CASE WHEN expires_at IS NOT NULL THEN ",
        now!(),
        " END FROM acs_identity_mappings WHERE namespace = $1 AND acs_id = $2"
    ),
    resolve_many: Batch::arrays(concat!(
        "SELECT customer_id, properties, expires_at, revision, CASE WHEN expires_at IS NOT NULL THEN ",
        now!(),
        " END, acs_id FROM acs_identity_mappings WHERE namespace = $1 AND acs_id = ANY ($2)"
    )),
    // In order, so that two transactions that hold many rows don't wait for each other in a circle.
    present: Batch::arrays(concat!(
        "SELECT ",
        columns!("NULL::bigint"),
        " FROM acs_identity_mappings WHERE namespace = $1 AND acs_id = ANY ($2) ORDER BY acs_id FOR UPDATE"
    )),
    insert: Batch::arrays(
        // As many rows as were inserted.
        "SELECT FROM generate_series(1, acs_identity_insert($1, $2, $3, $4, $5, $6, $7))",
    ),
    update: Batch::arrays(
        "UPDATE acs_identity_mappings AS old SET customer_id = new.customer_id, properties = new.properties, \
            created_at = new.created_at, expires_at = new.expires_at, revision = new.revision \
        FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) \
            AS new (acs_id, customer_id, properties, created_at, expires_at, revision) \
        WHERE old.namespace = $1 AND old.acs_id = new.acs_id",
    ),
    scan: concat!(
        "SELECT ",
        columns!(now!()),
        " FROM acs_identity_mappings WHERE namespace = $1 AND acs_id > $2 ORDER BY acs_id LIMIT $3"
    ),
    mappings_of: concat!(
        "SELECT ",
        columns!(now!()),
        " FROM acs_identity_mappings WHERE namespace = $1 AND customer_id = $2 \
            AND (created_at, acs_id) > ($3, $4) AND created_at >= $5 ORDER BY created_at, acs_id LIMIT $6"
    ),
    last_of: concat!(
        "SELECT ",
        columns!("NULL::bigint"),
        " FROM acs_identity_mappings WHERE namespace = $1 AND customer_id = $2 \
            ORDER BY created_at DESC, acs_id DESC LIMIT 1"
    ),
    // What somebody else holds is being changed, and is left for the next time.
    expire: "UPDATE acs_identity_mappings SET customer_id = NULL, properties = NULL, expires_at = $1 \
        WHERE namespace = $2 AND acs_id = ANY (ARRAY(\
            SELECT acs_id FROM acs_identity_mappings \
            WHERE namespace = $2 AND customer_id IS NOT NULL AND expires_at <= $3 \
            ORDER BY expires_at LIMIT $4 FOR UPDATE SKIP LOCKED))",
    forget: "DELETE FROM acs_identity_mappings WHERE ctid = ANY (ARRAY(\
            SELECT ctid FROM acs_identity_mappings WHERE customer_id IS NULL AND expires_at <= $1 \
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    trim_changes: super::feed::TRIM,
    now: Some("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"),
    // Not by `to_regclass`: it asks a cache, which may not know yet what another process has just made.
    schema_exists: "SELECT 1::bigint FROM pg_catalog.pg_class \
        WHERE relname = 'acs_identity_schema' AND pg_catalog.pg_table_is_visible(oid)",
    schema_version: "SELECT max(version) FROM acs_identity_schema",
};

#[cfg(test)]
mod tests {
    use acs_identity_servers::{Kind, database};
    use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

    use super::super::feed;
    use super::*;

    /// A database with some thousand mappings, expired ones and tombstones among them, of which the server has statistics.
    async fn filled(connection: &mut PgConnection) {
        for sql in super::super::migrations::MIGRATIONS.iter().copied().flatten().copied() {
            connection.execute(sql).await.unwrap();
        }
        let sql = "INSERT INTO acs_identity_mappings \
            SELECT 'default', '8:acs:r_' || n, CASE WHEN n % 10 > 0 THEN 'customer' || n % 100 END, NULL, n, \
                CASE WHEN n % 5 = 0 THEN n END, n FROM generate_series(1, 20000) AS n";
        connection.execute(sql).await.unwrap();
        connection.execute("VACUUM ANALYZE").await.unwrap();
    }

    /// A statement's plan for any parameters, from PostgreSQL itself, with no index forced upon it.
    async fn plan(connection: &mut PgConnection, sql: &str) -> String {
        let parameters = (1..=9).rev().find(|n| sql.contains(&format!("${n}"))).unwrap_or(0);
        let nulls = vec!["NULL"; parameters].join(", ");
        let execute = if parameters == 0 { "p".to_owned() } else { format!("p({nulls})") };
        connection.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
        connection.execute(AssertSqlSafe(format!("PREPARE p AS {sql}"))).await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN (COSTS off) EXECUTE {execute}"));
        let lines: Vec<(String,)> =
            sqlx::query_as(explain).persistent(false).fetch_all(&mut *connection).await.unwrap();
        connection.execute("DEALLOCATE p").await.unwrap();
        lines.into_iter().map(|line| line.0).collect::<Vec<_>>().join("\n")
    }

    fn text(batch: &Batch) -> &str {
        batch.covering(1).unwrap().1
    }

    /// The indexes of a plan, each with what is looked for in it, without the values.
    fn searches(plan: &str) -> Vec<String> {
        let mut lines = plan.lines().map(str::trim).peekable();
        let mut searches = Vec::new();
        while let Some(line) = lines.next() {
            let Some((_, index)) = line.split_once(" using acs_identity_") else { continue };
            let condition = lines.peek().and_then(|next| next.strip_prefix("Index Cond: ")).unwrap_or_default();
            let parts: Vec<_> = condition.split(" AND ").map(without_value).collect();
            searches.push(format!("{}: {}", index.split(' ').next().unwrap_or_default(), parts.join(", ")));
        }
        searches
    }

    fn without_value(part: &str) -> &str {
        let part = part.trim_start_matches('(');
        let operator = part.split(' ').find(|word| ["=", "<", "<=", ">", ">="].contains(word));
        let end = operator.and_then(|operator| Some(part.find(&format!(" {operator} "))? + 1 + operator.len()));
        &part[..end.unwrap_or(part.len())]
    }

    #[tokio::test]
    async fn every_statement_searches_an_index_and_reads_no_table_from_end_to_end() {
        let database = database(Kind::Postgres).await;
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        filled(&mut connection).await;
        let by_id = "mappings_pkey: namespace =, acs_id =";
        let by_customer = "mappings_customer: namespace =, customer_id =, ROW(created_at, acs_id) >, created_at >=";
        for (sql, expected) in [
            (STATEMENTS.resolve, &[by_id][..]),
            (text(&STATEMENTS.resolve_many), &[by_id]),
            (text(&STATEMENTS.present), &[by_id]),
            (text(&STATEMENTS.update), &[by_id]),
            (STATEMENTS.scan, &["mappings_pkey: namespace =, acs_id >"]),
            (STATEMENTS.mappings_of, &[by_customer]),
            (STATEMENTS.last_of, &["mappings_customer: namespace =, customer_id ="]),
            (STATEMENTS.expire, &["mappings_expiring: namespace =, expires_at <=", by_id]),
            (STATEMENTS.forget, &["mappings_tombstones: expires_at <="]),
            (
                STATEMENTS.trim_changes,
                // The first is of the oldest ones, up to the limit; the second of the newest one.
                &["changes_pkey: ", "changes_pkey: seq IS NOT NULL)", "changes_pkey: seq <=", "changes_pkey: seq ="],
            ),
            (feed::AFTER, &["changes_transaction: transaction_id >=, transaction_id <"]),
        ] {
            let plan = plan(&mut connection, sql).await;
            assert_eq!(searches(&plan), expected, "{sql}\n{plan}");
            assert!(!plan.contains("Seq Scan on acs_identity_mappings"), "{sql}\n{plan}");
            assert!(!plan.contains("Seq Scan on acs_identity_changes"), "{sql}\n{plan}");
        }
        // Where an order is asked for, it is the index's.
        for sql in [STATEMENTS.scan, STATEMENTS.mappings_of, STATEMENTS.last_of] {
            let plan = plan(&mut connection, sql).await;
            assert!(!plan.contains("Sort"), "{sql}\n{plan}");
        }
    }
}
