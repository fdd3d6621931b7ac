//! What many writers of MySQL and MariaDB do to each other, and somebody's open transaction to them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, Link, MappingStore};
use acs_identity_servers::{Kind, Server, database};
use acs_identity_sql::MySqlOptions;
use futures::StreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

const DEADLINE: Duration = Duration::from_secs(30);

fn options(url: &str) -> MySqlOptions {
    MySqlOptions::url(url).acquire_timeout(DEADLINE).call_deadline(DEADLINE)
}

fn link(id: String) -> Link {
    Link::replace(id.parse().unwrap(), "bob".parse().unwrap())
}

async fn number(hand: &mut MySqlConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(hand).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_new_and_known_ids_at_once_all_succeed() {
    let database = database(Kind::MariaDb).await;
    let store = options(database.url()).open().await.unwrap();
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..12 {
                for size in [99, 150] {
                    let links = (0..size).map(|n| match n % 2 {
                        0 => link(format!("known{}", (n * 7 + writer * 13) % 300)),
                        _ => link(format!("new{writer}_{round}_{size}_{n}")),
                    });
                    let links: Vec<Link> = links.collect();
                    for answer in store.link_many(&links).await {
                        answer.unwrap();
                    }
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_open_transaction_keeps_the_log_from_being_trimmed_and_nobody_from_writing() {
    let database = database(Kind::MariaDb).await;
    let store = options(database.url()).max_connections(2).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Change::Live));
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    let insert = |namespace: &str| {
        AssertSqlSafe(format!(
            "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
            VALUES ('{namespace}', 'hand', 'al', 1, 1)"
        ))
    };
    hand.execute(insert("other")).await.unwrap();
    hand.execute("BEGIN").await.unwrap();
    hand.execute(insert("default")).await.unwrap();
    // What comes after it is over an hour old, so all until then would be deleted if it could.
    store.link(link("after".to_owned())).await.unwrap();
    let mut other = MySqlConnection::connect(database.url()).await.unwrap();
    let aged = other.execute("UPDATE acs_identity_changes SET at = 1 WHERE seq = 3").await.unwrap();
    assert_eq!(aged.rows_affected(), 1);
    let start = tokio::time::Instant::now();
    for round in 0..30 {
        let links: Vec<Link> = (0..70).map(|n| link(format!("{round}_{n}"))).collect();
        assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    }
    assert_eq!(store.purge_expired(100).await.unwrap(), 0);
    assert!(start.elapsed() < DEADLINE, "none of them has waited for the transaction");
    assert_eq!(number(&mut other, "SELECT seq FROM acs_identity_trimmed").await, 0);

    // It is told when it is committed, and then trimmed.
    hand.execute("COMMIT").await.unwrap();
    let told = async {
        while !matches!(changes.next().await.unwrap(), Change::Acs(id, _) if id == "hand".parse::<AcsId>().unwrap()) {}
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    store.purge_expired(100).await.unwrap();
    assert!(number(&mut other, "SELECT seq FROM acs_identity_trimmed").await >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_given_two_by_two_make_no_subscriber_lag() {
    let server = Server::start_with(Kind::MariaDb, &[("auto-increment-increment", "2")]).unwrap();
    let mut hand = MySqlConnection::connect(&server.url()).await.unwrap();
    hand.execute("CREATE DATABASE two").await.unwrap();
    let (address, _) = server.url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let store = options(&format!("{address}/two")).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Change::Live));
    let told = Arc::new(AtomicUsize::new(0));
    let subscriber = tokio::spawn({
        let told = told.clone();
        async move {
            loop {
                match changes.next().await.unwrap() {
                    Change::Acs(id, _) if id.as_str() == "end" => return told.load(Ordering::Relaxed),
                    Change::Acs(..) => drop(told.fetch_add(1, Ordering::Relaxed)),
                    Change::Customer(_) => {}
                    other => panic!("{other:?} after {told:?} changes"),
                }
            }
        }
    });
    for batch in 0..24 {
        let links: Vec<Link> = (0..500).map(|n| link(format!("{batch}_{n}"))).collect();
        assert!(store.link_many(&links).await.iter().all(Result::is_ok));
        // Never as far ahead as the log goes back, so that it is not for being slow if the subscriber misses something.
        while told.load(Ordering::Relaxed) + 2000 < batch * 500 && !subscriber.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    store.link(link("end".to_owned())).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), subscriber).await.unwrap().unwrap(), 24 * 500);
}
