//! Numbers that are missing in MySQL's log of changes are no reason to take a subscriber for one that lags.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, Link, LostReason, MappingStore};
use acs_identity_servers::{Kind, database};
use acs_identity_sql::sqlx::mysql::MySqlPoolOptions;
use acs_identity_sql::{MySqlOptions, MySqlStore};
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::{Connection, Executor, MySqlConnection};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn link(id: &str) -> Link {
    Link::create(id.parse().unwrap(), "bob".parse().unwrap())
}

async fn live(url: &str) -> (MySqlStore, BoxStream<'static, Change>) {
    let deadline = Duration::from_secs(30);
    let store = MySqlOptions::url(url).acquire_timeout(deadline).call_deadline(deadline).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Change::Live));
    (store, changes)
}

/// The ACS IDs that are told until this one is.
async fn told_until(changes: &mut BoxStream<'static, Change>, last: &AcsId) -> Vec<AcsId> {
    let mut told = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap() {
            Change::Acs(id, _) if id == *last => return told,
            Change::Acs(id, _) => told.push(id),
            Change::Customer(_) => {}
            other => panic!("{other:?} after {} changes", told.len()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_find_one_of_their_ids_late_make_no_subscriber_lag() {
    let database = database(Kind::MariaDb).await;
    let (store, mut changes) = live(database.url()).await;
    store.link(link("z")).await.unwrap();
    let subscriber = tokio::spawn(async move { told_until(&mut changes, &id("end")).await });
    for batch in 0..14 {
        let mut links: Vec<Link> = (0..999).map(|n| link(&format!("8:acs:{batch}_{n}"))).collect();
        links.push(link("z"));
        assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    }
    store.link(link("end")).await.unwrap();
    assert_eq!(subscriber.await.unwrap().len(), 1 + 14 * 999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_that_is_rolled_back_makes_no_subscriber_lag_and_one_that_commits_late_is_told() {
    let database = database(Kind::MariaDb).await;
    let (store, mut changes) = live(database.url()).await;
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    let insert = |name: &str, count: usize| {
        let rows: Vec<String> = (0..count).map(|n| format!("('default', '{name}{n}', 'al', 1, 1)")).collect();
        let rows = rows.join(", ");
        sqlx::AssertSqlSafe(format!(
            "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) VALUES {rows}"
        ))
    };
    for round in 0..3 {
        hand.execute("BEGIN").await.unwrap();
        hand.execute(insert("gone", 4000)).await.unwrap();
        hand.execute("ROLLBACK").await.unwrap();
        hand.execute("BEGIN").await.unwrap();
        hand.execute(insert(&format!("late{round}_"), 10)).await.unwrap();
        let marker = format!("marker{round}");
        store.link(link(&marker)).await.unwrap();
        assert_eq!(told_until(&mut changes, &id(&marker)).await, []);
        hand.execute("COMMIT").await.unwrap();
        assert_eq!(told_until(&mut changes, &id(&format!("late{round}_9"))).await.len(), 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_whose_read_fails_gives_no_connection_back_that_may_have_its_isolation_level() {
    let database = database(Kind::MariaDb).await;
    let pool = MySqlPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let connection = async || sqlx::query_scalar::<_, u64>("SELECT CONNECTION_ID()").fetch_one(&pool).await.unwrap();
    let store = MySqlOptions::from_pool(pool.clone()).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Change::Live));
    let before = connection().await;
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    hand.execute("DROP TABLE acs_identity_changes").await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Lost(LostReason::Disconnected)));
    drop(changes);
    assert_ne!(connection().await, before);
}
