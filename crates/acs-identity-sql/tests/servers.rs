//! What many clients of one server do at once.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, ErrorKind, Expect, Link, Mapping, MappingStoreExt, Namespace, PageRequest};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{MySqlStore, PostgresStore};
use futures::TryStreamExt;
use store::Store;

const DEADLINE: Duration = Duration::from_secs(30);

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn open<S: Store>(database: &Database) -> S {
    S::connect(database.url(), Namespace::default(), 10, DEADLINE).await.unwrap()
}

/// How many write at once, each on a connection of its own.
const WRITERS: u64 = 64;

async fn writers_of_one_id_take_turns_at_each_default_isolation_level<S: Store>() {
    for level in ["read uncommitted", "read committed", "serializable", "repeatable read"] {
        let database = database(S::KIND).await;
        // As it would be by the server's own default, which is not ours to change.
        let default_to = match S::KIND {
            Kind::Postgres => format!("SET default_transaction_isolation = '{level}'"),
            _ => format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"),
        };
        let store = S::on_pool_set_up_by(database.url(), WRITERS as u32, &default_to).await.unwrap();

        // One of many creates an ID, and the others are told of it.
        let creates = (0..WRITERS).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.link(Link::create(id("a"), CustomerId::from(n))).await })
        });
        let mut made = 0;
        for answer in futures::future::join_all(creates).await {
            match answer.unwrap() {
                Ok(linked) => made += usize::from(linked.changed),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        assert_eq!(made, 1, "{level}");

        // All replace it, each once, and each sees what the one before it has written.
        let replaces = (100..100 + WRITERS).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.link(Link::replace(id("a"), CustomerId::from(n))).await })
        });
        let mut written = Vec::new();
        for answer in futures::future::join_all(replaces).await {
            let linked = answer.unwrap().unwrap();
            written.push((linked.revision, linked.previous.unwrap().revision));
        }
        written.sort_unstable();
        assert!(written.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[1].1 == pair[0].0), "{level}");
        store.close().await;
    }
}

async fn batches_of_the_same_ids_in_any_order_all_succeed<S: Store>() {
    let database = database(S::KIND).await;
    let store = open::<S>(&database).await;
    let batches = (0..8_u64).map(|n| {
        let store = store.clone();
        let mut links: Vec<_> = (0..600).map(|i| Link::replace(id(&format!("{i}")), CustomerId::from(n))).collect();
        links.rotate_left(n as usize * 70);
        if n % 2 == 0 {
            links.reverse();
        }
        tokio::spawn(async move { store.link_many(&links).await })
    });
    for answers in futures::future::join_all(batches).await {
        assert!(answers.unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(store.scan_all().try_collect::<Vec<Mapping>>().await.unwrap().len(), 600);
}

async fn calls_cancelled_by_the_thousand_leave_the_pool_whole<S: Store>() {
    let database = database(S::KIND).await;
    let store = open::<S>(&database).await;
    let bob = customer("bob");
    for round in 0..3000_usize {
        let (id, ids) = (id(&(round % 50).to_string()), [id("1"), id("2")]);
        let wait = Duration::from_micros((round % 40) as u64 * 25);
        let links = [Link::replace(id.clone(), bob.clone())];
        tokio::select! {
            biased;
            _ = async { store.link(links[0].clone()).await.unwrap() }, if round % 6 == 0 => {}
            _ = async { store.resolve(&id).await.unwrap() }, if round % 6 == 1 => {}
            _ = async { store.resolve_many(&ids).await }, if round % 6 == 2 => {}
            _ = async { store.link_many(&links).await }, if round % 6 == 3 => {}
            _ = async { store.unlink(&id, Expect::Any).await.unwrap() }, if round % 6 == 4 => {}
            _ = async { store.mappings_of(&bob, PageRequest::default()).await.unwrap() }, if round % 6 == 5 => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    let start = tokio::time::Instant::now();
    while store.in_use() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "connections are missing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // More at once than there are connections, and both directions agree.
    let ids: Vec<AcsId> = (0..50).map(|n| id(&n.to_string())).collect();
    let resolved = futures::future::join_all(ids.iter().map(|id| store.resolve(id))).await;
    let mapped = resolved.into_iter().filter(|answer| answer.as_ref().unwrap().is_some()).count();
    assert_eq!(store.all_mappings_of(&bob).await.unwrap().len(), mapped);
    for id in ids {
        store.link(Link::replace(id, customer("al"))).await.unwrap();
    }
    assert_eq!(store.all_mappings_of(&customer("al")).await.unwrap().len(), 50);
    assert!(store.all_mappings_of(&bob).await.unwrap().is_empty());
}

macro_rules! servers {
    ($module:ident, $store:ty) => {
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn writers_of_one_id_take_turns_at_each_default_isolation_level() {
                super::writers_of_one_id_take_turns_at_each_default_isolation_level::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn batches_of_the_same_ids_in_any_order_all_succeed() {
                super::batches_of_the_same_ids_in_any_order_all_succeed::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn calls_cancelled_by_the_thousand_leave_the_pool_whole() {
                super::calls_cancelled_by_the_thousand_leave_the_pool_whole::<$store>().await;
            }
        }
    };
}

servers!(mysql, MySqlStore);
servers!(postgres, PostgresStore);
