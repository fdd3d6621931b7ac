//! What is PostgreSQL's own.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, ErrorKind, Link, MappingStore};
use acs_identity_servers::{Database, Kind, database, database_with};
use acs_identity_sql::{PostgresOptions, PostgresStore};
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::{Connection, Executor, PgConnection};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn empty() -> Database {
    database(Kind::Postgres).await
}

async fn open(database: &Database) -> PostgresStore {
    PostgresOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap()
}

/// The next change; a feed that says nothing for a minute is broken.
async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

async fn live(store: &PostgresStore) -> BoxStream<'static, Change> {
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    changes
}

#[tokio::test]
async fn a_database_that_cannot_keep_ids_is_refused() {
    let latin = " ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    let database = database_with(Kind::Postgres, latin).await;
    let error = PostgresOptions::url(database.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("encoding"), "{error}");
}

#[tokio::test]
async fn an_applications_pool_is_used_as_it_is() {
    let database = empty().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let store = PostgresOptions::from_pool(pool.clone()).open().await.unwrap();
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    let found = sqlx::query_as::<_, (String,)>("SELECT customer_id FROM acs_identity_mappings").fetch_one(&pool).await;
    assert_eq!(found.unwrap().0, "bob");
}

#[tokio::test]
async fn a_truncate_may_have_changed_anything() {
    let database = empty().await;
    let store = open(&database).await;
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    let mut changes = live(&store).await;
    let mut hand = PgConnection::connect(database.url()).await.unwrap();
    hand.execute("TRUNCATE acs_identity_mappings").await.unwrap();
    assert_eq!(next(&mut changes).await, Change::All);
}

#[tokio::test]
async fn notifications_can_be_switched_off_for_a_whole_database() {
    let database = empty().await;
    let store = open(&database).await;
    let mut listener = sqlx::postgres::PgListener::connect(database.url()).await.unwrap();
    listener.listen("acs_identity").await.unwrap();
    store.link(Link::create(id("8:acs:secret_one"), customer("bob"))).await.unwrap();
    let heard = listener.recv().await.unwrap();
    assert!(heard.payload().parse::<u64>().is_ok(), "the payload is a place in the log and no ID");

    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let sql = format!("ALTER DATABASE {} SET acs_identity.notify = off", database.name());
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let quiet = open(&database).await;
    let mut changes = live(&quiet).await;
    let linked = quiet.link(Link::create(id("b"), customer("bob"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("b"), Some(linked.revision)), "found by looking");
    // What is heard comes in the order of the commits, and the next is not the link's.
    connection.execute("NOTIFY acs_identity, 'by hand'").await.unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "by hand");
}

#[tokio::test]
async fn a_notification_wakes_a_subscriber_who_would_not_look_for_an_hour() {
    let database = empty().await;
    let store = PostgresOptions::url(database.url()).poll_interval(Duration::from_secs(3600)).open().await.unwrap();
    let mut changes = live(&store).await;
    // The first may be found when the subscriber begins to listen, the others only by a notification.
    for name in ["a", "b", "c"] {
        let linked = store.link(Link::create(id(name), customer(name))).await.unwrap();
        assert_eq!(next(&mut changes).await, Change::Acs(id(name), Some(linked.revision)));
        assert_eq!(next(&mut changes).await, Change::Customer(customer(name)));
    }
}
