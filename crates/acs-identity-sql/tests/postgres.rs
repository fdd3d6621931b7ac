//! What is PostgreSQL's own.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, ErrorKind, Link, MappingStore, MappingStoreExt, Resolver,
};
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

/// Runs statements of which one may answer.
async fn run(connection: &mut PgConnection, sql: &'static str) {
    connection.execute(sqlx::raw_sql(sql)).await.unwrap();
}

#[tokio::test]
async fn an_erasure_goes_on_past_a_mapping_that_is_linked_again_meanwhile() {
    let database = empty().await;
    let (store, other) = (open(&database).await, open(&database).await);
    let bob = customer("bob");
    let links: Vec<_> = (0..1500).map(|n| Link::create(id(&format!("{n:04}")), bob.clone())).collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    let mut hand = PgConnection::connect(database.url()).await.unwrap();
    run(&mut hand, "UPDATE acs_identity_mappings SET expires_at = 1 WHERE acs_id = '0010'").await;
    run(&mut hand, "BEGIN; SELECT FROM acs_identity_mappings WHERE acs_id = '0000' FOR UPDATE").await;
    let erasing = tokio::spawn({
        let (store, bob) = (store.clone(), bob.clone());
        async move { store.unlink_customer(&bob).await }
    });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut look = PgConnection::connect(database.url()).await.unwrap();
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut look).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It has expired, so this makes a new mapping, which comes behind all others.
    assert!(other.link(Link::create(id("0010"), bob.clone())).await.unwrap().changed);
    run(&mut hand, "COMMIT").await;
    assert!(erasing.await.unwrap().unwrap() >= 1499);
    let left = store.all_mappings_of(&bob).await.unwrap();
    assert!(left.iter().all(|mapping| mapping.acs_id == id("0010")), "{} mappings are left", left.len());
    assert!(store.resolve(&id("1499")).await.unwrap().is_none());
}

/// What a database without something that the store needs would say: here it is a function of one's own in the way.
const NO_SUCH_FEATURE: &str = "AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '0A000'; END $$ LANGUAGE plpgsql";

#[tokio::test]
async fn a_feature_that_the_database_lacks_is_said_at_once() {
    let database = empty().await;
    let store = open(&database).await;
    let mut hand = PgConnection::connect(database.url()).await.unwrap();
    let sql = format!("CREATE OR REPLACE FUNCTION acs_identity_lacking() RETURNS trigger {NO_SUCH_FEATURE}");
    hand.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let sql = "CREATE TRIGGER lacking BEFORE INSERT ON acs_identity_mappings EXECUTE FUNCTION acs_identity_lacking()";
    run(&mut hand, sql).await;
    let error = store.link(Link::create(id("a"), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("lacks a feature"), "{error}");

    // The same while it is opened.
    let sql = format!("CREATE FUNCTION public.current_setting(text) RETURNS text {NO_SUCH_FEATURE}");
    hand.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let sql = format!("ALTER DATABASE {} SET search_path = public, pg_catalog", database.name());
    hand.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let error = PostgresOptions::url(database.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
}

#[tokio::test]
async fn tables_that_change_under_prepared_statements_are_found_out_on_each_connection() {
    let database = empty().await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).min_connections(4);
    let pool = pool.connect(database.url()).await.unwrap();
    let store = PostgresOptions::from_pool(pool).open().await.unwrap();
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    let mut hand = PgConnection::connect(database.url()).await.unwrap();
    for kind in ["varchar(600)", "text"] {
        // Each of them prepares it.
        let all = futures::future::join_all((0..64).map(|_| async { store.resolve(&id("a")).await.unwrap() })).await;
        assert!(all.iter().all(Option::is_some));
        let sql = format!("ALTER TABLE acs_identity_mappings ALTER customer_id TYPE {kind} COLLATE \"C\"");
        hand.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        assert!(store.resolve(&id("a")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_subscriber_does_not_mind_how_the_connections_of_a_pool_write_a_time() {
    let database = empty().await;
    let next_zone = std::sync::atomic::AtomicUsize::new(0);
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).after_connect(move |connection, _| {
        let number = next_zone.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let sql = [
            "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'",
            "SET TimeZone = 'America/Lima'; SET DateStyle = 'SQL, MDY'",
        ][number % 2];
        Box::pin(async move { connection.execute(sqlx::raw_sql(sql)).await.map(drop) })
    });
    let pool = pool.connect(database.url()).await.unwrap();
    let options = PostgresOptions::from_pool(pool).notifications(false).poll_interval(Duration::from_millis(5));
    let store = options.open().await.unwrap();
    let mut changes = live(&store).await;
    for n in 0..10 {
        // All connections are in use for a while, so that the next look is with any of them.
        futures::future::join_all((0..32).map(|_| async { store.resolve(&id("a")).await.unwrap() })).await;
        let linked = store.link(Link::create(id(&n.to_string()), customer("bob"))).await.unwrap();
        assert_eq!(next(&mut changes).await, Change::Acs(id(&n.to_string()), Some(linked.revision)));
        assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    }
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
