//! The tables are made once, by whoever comes first, and are left alone where they are not understood.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use acs_identity_core::{Error, ErrorKind, Link, MappingStore, Resolver};
use acs_identity_sql::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

async fn by_hand(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

fn link(name: &str) -> Link {
    Link::create(format!("8:acs:r_{name}").parse().unwrap(), name.parse().unwrap())
}

/// Set for the processes that this test starts of itself.
const CHILD: &str = "ACS_IDENTITY_TEST_DATABASE";

#[tokio::test]
async fn ten_processes_may_start_at_once() {
    if let Ok(path) = std::env::var(CHILD) {
        let store = SqliteStore::open(path).await.unwrap();
        store.link(link(&std::process::id().to_string())).await.unwrap();
        store.close().await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ten_processes_may_start_at_once"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..10).map(|_| start()).collect();
    let mut names = Vec::new();
    for child in children {
        names.push(child.id().to_string());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let store = SqliteStore::open(&path).await.unwrap();
    for name in names {
        let found = store.resolve(&link(&name).acs_id).await.unwrap().unwrap();
        assert_eq!(found.customer_id().as_str(), name);
    }
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM acs_identity_schema")
        .fetch_all(&mut by_hand(&path).await)
        .await
        .unwrap();
    assert_eq!(versions, [1]);
}

#[tokio::test]
async fn many_stores_of_one_process_may_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let opened = futures::future::join_all((0..20).map(|_| SqliteStore::open(&path))).await;
    for store in opened {
        store.unwrap().ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    run(&mut by_hand(&path).await, "INSERT INTO acs_identity_schema VALUES (99)".to_owned()).await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.message().contains("99"), "{error}");
    let version: i64 = sqlx::query_scalar("SELECT max(version) FROM acs_identity_schema")
        .fetch_one(&mut by_hand(&path).await)
        .await
        .unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn the_printed_statements_make_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (printed, opened) = (folder.path().join("printed.db"), folder.path().join("opened.db"));
    run(&mut by_hand(&printed).await, SqliteStore::schema_sql()).await;
    let tables = async |path| -> Vec<(String, Option<String>)> {
        SqliteStore::open(path).await.unwrap().close().await;
        let sql = "SELECT name, sql FROM sqlite_schema ORDER BY name";
        sqlx::query_as(sql).fetch_all(&mut by_hand(path).await).await.unwrap()
    };
    let tables = (tables(&printed).await, tables(&opened).await);
    assert!(tables.0.len() > 8, "{tables:?}");
    assert_eq!(tables.0, tables.1);
}

#[tokio::test]
async fn a_store_lives_beside_other_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut application = by_hand(&path).await;
    run(&mut application, "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('bob')".to_owned()).await;
    let store = SqliteStore::open(&path).await.unwrap();
    store.link(link("bob")).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT name FROM users").fetch_one(&mut application).await.unwrap();
    assert_eq!(name, "bob");
}

#[tokio::test]
async fn what_is_no_database_is_refused_in_a_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |path: &Path| -> Error { SqliteStore::open(path).await.unwrap_err() };

    let garbage = folder.path().join("bob.txt");
    std::fs::write(&garbage, "acs_id,customer_id\n".repeat(1000)).unwrap();
    let error = refused(&garbage).await;
    assert_eq!(error.to_string(), "backend misconfigured: the file is not an SQLite database (open, sqlite)");
    assert_eq!(std::fs::read(&garbage).unwrap().len(), 19_000);

    for path in [folder.path().join("missing").join("bob.db"), folder.path().to_owned()] {
        let error = refused(&path).await;
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("bob"));
    }
}

#[tokio::test]
async fn tables_of_that_name_that_are_not_the_stores_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    run(&mut by_hand(&path).await, "CREATE TABLE acs_identity_mappings (id TEXT)".to_owned()).await;
    assert_eq!(SqliteStore::open(&path).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut by_hand(&path).await).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_name_that_looks_like_an_address_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file:a b?mode=memory");
    let store = SqliteStore::open(&path).await.unwrap();
    store.link(link("bob")).await.unwrap();
    store.close().await;
    assert!(path.is_file());
    let again = SqliteStore::open(&path).await.unwrap();
    assert!(again.resolve(&link("bob").acs_id).await.unwrap().is_some());
}
