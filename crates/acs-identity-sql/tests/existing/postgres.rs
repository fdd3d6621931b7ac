//! What is PostgreSQL's own.

use std::time::Duration;

use acs_identity_core::{ErrorKind, Resolver};
use acs_identity_servers::{Kind, database, database_with};
use acs_identity_sql::PostgresTable;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::app::{ANY_CASE_OF_POSTGRES, App, Postgres, id, short, users};

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_a_name_that_it_would_cut_to_another() {
    let app = Postgres::new().await;
    assert!(app.resolver(users().schema("x".repeat(63))).is_ok());
    let error = app.resolver(users().schema("x".repeat(64))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_one_statement_prepared_and_finds_an_id_by_the_index_of_its_column() {
    let database = database(Kind::Postgres).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let app = Postgres { pool, database };
    app.run(ANY_CASE_OF_POSTGRES).await;
    for kind in ["text", "varchar(200)", "varchar(200) COLLATE any_case"] {
        app.run("DEALLOCATE ALL; DROP TABLE IF EXISTS \"Users\"").await;
        app.pool.acquire().await.unwrap().clear_cached_statements().await.unwrap();
        app.run(&format!("CREATE TABLE \"Users\" (\"Id\" bigint, \"CommunicationServicesId\" {kind} UNIQUE)")).await;
        app.run("INSERT INTO \"Users\" SELECT n, '8:acs:r_' || n FROM generate_series(1, 9000) n; ANALYZE").await;
        assert_eq!(app.ask(&["8:acs:r_7", "8:acs:r_x"]).await, ["7", "absent"]);

        let ours = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%\"Users\"%'";
        let prepared: Vec<String> = sqlx::query_scalar(ours).persistent(false).fetch_all(&app.pool).await.unwrap();
        assert_eq!(prepared.len(), 1);
        let sql = format!("EXPLAIN EXECUTE \"{}\" ('{{8:acs:r_7,8:acs:r_x}}')", prepared[0]);
        let lines = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&app.pool).await.unwrap();
        let plan: String = lines.iter().map(|line| line.get::<String, _>(0)).collect();
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{kind}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_no_right_but_to_select_the_two_columns() {
    let app = Postgres::new().await;
    app.make("integer").await;
    app.run("ALTER TABLE \"Users\" ADD secret text; INSERT INTO \"Users\" VALUES (17, '8:acs:r_1')").await;
    // Roles are the whole server's, so this one has the name of the database.
    let role = app.database.name();
    app.run(&format!("CREATE ROLE {role}")).await;
    let as_role = format!("SET ROLE {role}");
    let options = PgPoolOptions::new().after_connect(move |connection, _| {
        let as_role = as_role.clone();
        Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(as_role)).execute(connection).await.map(drop) })
    });
    let pool = options.connect(app.database.url()).await.unwrap();
    let resolver = PostgresTable::new(pool, users()).unwrap();
    assert_eq!(short(&resolver.resolve(&id("8:acs:r_1")).await), "Denied");
    app.run(&format!("GRANT SELECT (\"Id\", \"CommunicationServicesId\") ON \"Users\" TO {role}")).await;
    assert_eq!(short(&resolver.resolve(&id("8:acs:r_1")).await), "17");
    app.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_a_lock_ends_at_its_deadline_and_leaves_the_pool_whole() {
    let app = Postgres::new().await;
    app.make("integer").await;
    app.run("INSERT INTO \"Users\" VALUES (17, '8:acs:r_1')").await;
    let mut locking = PgConnection::connect(app.database.url()).await.unwrap();
    locking.execute("BEGIN; LOCK TABLE \"Users\"").await.unwrap();
    let resolver = app.resolver(users().call_deadline(Duration::from_millis(200))).unwrap();
    let (one, many) = (id("8:acs:r_1"), [id("8:acs:r_1"), id("8:acs:r_2")]);
    for _ in 0..3 {
        assert_eq!(short(&resolver.resolve(&one).await), "Timeout");
        assert!(resolver.resolve_many(&many).await.iter().all(|answer| short(answer) == "Timeout"));
    }
    locking.execute("ROLLBACK").await.unwrap();
    assert_eq!(app.ask(&["8:acs:r_1"]).await, ["17"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_databases_encoding_cannot_write_is_absent_and_spoils_no_other() {
    let latin1 = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
    let database = database_with(Kind::Postgres, latin1).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let app = Postgres { pool, database };
    app.run("CREATE TABLE \"Users\" (\"Id\" text, \"CommunicationServicesId\" text)").await;
    app.run("INSERT INTO \"Users\" VALUES ('a', 'a'), ('Zoë', 'bé'), ('c', 'c')").await;
    assert_eq!(app.ask(&["a", "bé", "名", "c", "\u{1f9d1}"]).await, ["a", "Zoë", "absent", "c", "absent"]);
}
