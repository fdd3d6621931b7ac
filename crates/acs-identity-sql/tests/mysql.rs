//! What is MySQL's and MariaDB's own: their settings, and who else writes to the tables.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, ErrorKind, Link, LostReason, Mapping, MappingStore, MappingStoreExt,
    Resolver, Revision,
};
use acs_identity_servers::{Database, Kind, database, database_with};
use acs_identity_sql::{MySqlOptions, MySqlStore};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::{Connection, Executor, MySqlConnection};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn empty() -> Database {
    database(Kind::MariaDb).await
}

async fn open(database: &Database) -> MySqlStore {
    MySqlOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap()
}

async fn by_hand(database: &Database, sql: &'static str) {
    let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// The next change; a feed that says nothing for a minute is broken.
async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

async fn live(store: &MySqlStore) -> BoxStream<'static, Change> {
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    changes
}

#[tokio::test]
async fn ids_are_bytes_whatever_the_collation_of_the_database_is() {
    let database = database_with(Kind::MariaDb, " CHARACTER SET latin1 COLLATE latin1_swedish_ci").await;
    let store = open(&database).await;
    let ids = ["Bob", "bob", "bob ", "b\u{f3}b", "bo\u{301}b", "B\u{f3}b"].map(id);
    for (n, id) in ids.iter().enumerate() {
        assert!(store.link(Link::create(id.clone(), CustomerId::from(n as u64))).await.unwrap().changed);
    }
    for (n, answer) in store.resolve_many(&ids).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap().customer_id(), &CustomerId::from(n as u64));
    }
    let mut listed: Vec<AcsId> =
        store.scan_all().map_ok(|mapping: Mapping| mapping.acs_id).try_collect().await.unwrap();
    listed.sort();
    let mut sorted = ids.to_vec();
    sorted.sort();
    assert_eq!(listed, sorted);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_a_missing_one_is_not_made_unasked() {
    let database = empty().await;
    let cautious = MySqlOptions::url(database.url()).migrate(false);
    assert_eq!(cautious.clone().open().await.unwrap_err().kind(), ErrorKind::Misconfigured);
    // As an administrator would make it.
    let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(MySqlStore::schema_sql()))).await.unwrap();
    let store = cautious.open().await.unwrap();
    assert!(store.link(Link::create(id("a"), customer("bob"))).await.unwrap().changed);
    connection.execute("INSERT INTO acs_identity_schema (version) VALUES (1000)").await.unwrap();
    let error = MySqlOptions::url(database.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("1000"), "{error}");
}

#[tokio::test]
async fn wrong_options_are_refused_before_any_io_and_wrong_credentials_by_the_server() {
    for wrong in [
        MySqlOptions::url("postgres://localhost/x"),
        MySqlOptions::url("localhost"),
        MySqlOptions::url("mysql://localhost:port/x"),
        MySqlOptions::url("mysql://localhost/x").max_connections(0),
        MySqlOptions::url("mysql://localhost/x").call_deadline(Duration::ZERO),
    ] {
        assert!(!format!("{wrong:?}").contains("localhost"));
        assert_eq!(wrong.open().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let database = empty().await;
    let (start, rest) = database.url().split_once('@').unwrap();
    let (user, _) = start.rsplit_once(':').unwrap();
    let error = MySqlOptions::url(format!("{user}:wrong-secret@{rest}")).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(!format!("{error:?}").contains("wrong-secret"));
    let elsewhere = database.url().replace(database.name(), "no_such_database");
    assert_eq!(MySqlOptions::url(elsewhere).open().await.unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn an_applications_pool_is_used_as_it_is() {
    let database = empty().await;
    let pool = sqlx::MySqlPool::connect(database.url()).await.unwrap();
    let store = MySqlOptions::from_pool(pool.clone()).open().await.unwrap();
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    let found = sqlx::query_as::<_, (Vec<u8>,)>("SELECT customer_id FROM acs_identity_mappings").fetch_one(&pool).await;
    assert_eq!(found.unwrap().0, b"bob");
}

#[tokio::test]
async fn what_is_written_by_hand_is_told() {
    let database = empty().await;
    let store = open(&database).await;
    let mut changes = live(&store).await;
    by_hand(
        &database,
        "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) VALUES ('default', 'a', 'bob', NULL, 1, NULL, 1), ('other', 'a', 'x', NULL, 1, NULL, 1)",
    )
    .await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("a"), Some(Revision::new(1))));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    by_hand(&database, "UPDATE acs_identity_mappings SET customer_id = 'al' WHERE namespace = 'default'").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("a"), Some(Revision::new(1))));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    // A change of the key is one of both.
    by_hand(&database, "UPDATE acs_identity_mappings SET acs_id = 'b' WHERE namespace = 'default'").await;
    let told = [next(&mut changes).await, next(&mut changes).await, next(&mut changes).await, next(&mut changes).await];
    assert!(told.contains(&Change::Acs(id("a"), None)) && told.contains(&Change::Acs(id("b"), Some(Revision::new(1)))));
    by_hand(&database, "DELETE FROM acs_identity_mappings").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("b"), None));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    by_hand(
        &database,
        "REPLACE INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
        VALUES ('default', 'c', 'bob', 1, 1)",
    )
    .await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("c"), Some(Revision::new(1))));
}

#[tokio::test]
async fn a_change_that_is_committed_late_is_told() {
    let database = empty().await;
    let store = open(&database).await;
    let mut changes = live(&store).await;
    // Somebody's transaction has its number in the log, and takes its time.
    let mut slow = MySqlConnection::connect(database.url()).await.unwrap();
    slow.execute("BEGIN").await.unwrap();
    let sql = "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) VALUES ('default', 'slow', 'bob', NULL, 1, NULL, 1)";
    slow.execute(sql).await.unwrap();
    let linked = store.link(Link::create(id("fast"), customer("al"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("fast"), Some(linked.revision)));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    slow.execute("COMMIT").await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("slow"), Some(Revision::new(1))));
}

#[tokio::test]
async fn a_subscriber_is_told_of_what_was_deleted_from_the_log_unread() {
    let database = empty().await;
    let store = MySqlOptions::url(database.url());
    let store = store.poll_interval(Duration::from_millis(1500)).open().await.unwrap();
    let mut changes = live(&store).await;
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    by_hand(&database, "DELETE FROM acs_identity_changes").await;
    // One that was read before it was deleted is not missed.
    let first = next(&mut changes).await;
    assert!(matches!(first, Change::Lost(LostReason::Lagged) | Change::Acs(..)), "{first:?}");
    if first == Change::Lost(LostReason::Lagged) {
        assert_eq!(next(&mut changes).await, Change::Live);
    }
    let linked = store.link(Link::create(id("b"), customer("bob"))).await.unwrap();
    while next(&mut changes).await != Change::Acs(id("b"), Some(linked.revision)) {}
    by_hand(&database, "TRUNCATE acs_identity_changes").await;
    loop {
        match next(&mut changes).await {
            Change::Lost(LostReason::Lagged) => break,
            Change::Customer(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
