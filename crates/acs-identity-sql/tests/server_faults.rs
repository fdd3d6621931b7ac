//! What a network and a server do to the stores: the right error in time, nothing lost, and all well again soon.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Error, ErrorKind, Link, Mapping, MappingStoreExt, Namespace, PageRequest};
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Database, Server, database};
use acs_identity_sql::{MySqlStore, PostgresStore};
use futures::TryStreamExt;
use store::{Store, address, database_on};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(1);

/// Three times what is promised, since the machine may have other things to do.
const RECOVERY: Duration = Duration::from_secs(3 * 2);

fn id(n: u64) -> AcsId {
    AcsId::new(format!("8:acs:r_{n}")).unwrap()
}

fn create(n: u64) -> Link {
    Link::create(id(n), CustomerId::from(n))
}

/// A store behind a proxy.
struct Behind<S> {
    proxy: Proxy,
    store: S,
    // Dropped when the test ends.
    _database: Database,
}

async fn behind_a_proxy<S: Store>(connections: u32) -> Behind<S> {
    let database = database(S::KIND).await;
    let proxy = Proxy::start(address(database.url())).unwrap();
    let url = proxy.url(database.url());
    // Opened with time: what counts is what comes then.
    let store = S::connect(&url, Namespace::default(), connections, DEADLINE).await.unwrap();
    Behind { proxy, store, _database: database }
}

/// Asks until there is an answer, which has to come soon.
async fn recovers<S: Store>(store: &S) {
    let start = Instant::now();
    while let Err(error) = store.resolve(&id(0)).await {
        assert!(error.is_transient(), "{error}");
        assert!(start.elapsed() < RECOVERY, "{error}");
    }
    while store.in_use() > 0 {
        assert!(start.elapsed() < RECOVERY, "connections are missing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The call fails for a reason that may pass, not much later than its deadline.
async fn fails_in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Error {
    let start = Instant::now();
    let error = call.await.err().expect("there is nobody to answer");
    assert!(error.is_transient(), "{error}");
    assert!(start.elapsed() < 3 * DEADLINE);
    error
}

async fn a_commit_without_an_answer_is_unknown_and_can_be_repeated<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(2).await;
    // It was carried out, and its answer was lost.
    proxy.cut_after_request(S::COMMIT, Duration::from_millis(200));
    assert_eq!(store.link(create(1)).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    let again = store.link(create(1)).await.unwrap();
    assert!(!again.changed);
    // It never came there.
    proxy.cut_before_request(S::COMMIT);
    assert_eq!(store.link(create(2)).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert!(store.link(create(2)).await.unwrap().changed);
    // Neither is a replacement repeated by itself: it would be last-write-wins over what others wrote since.
    proxy.cut_after_request(S::COMMIT, Duration::from_millis(200));
    let commits = proxy.requests_with(S::COMMIT);
    let replaced = store.link(Link::replace(id(1), CustomerId::from(9))).await;
    assert_eq!(replaced.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(proxy.requests_with(S::COMMIT), commits + 1);
}

async fn a_lost_connection_is_replaced_unnoticed<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(4).await;
    assert!(store.link_many(&(0..100).map(create).collect::<Vec<_>>()).await.iter().all(Result::is_ok));
    for round in 0..10 {
        futures::future::join_all((0..4).map(|_| async { store.resolve(&id(0)).await.unwrap() })).await;
        if round % 2 == 0 {
            proxy.cut()
        } else {
            proxy.half_close()
        }
        proxy.heal();
        assert!(store.resolve(&id(0)).await.unwrap().is_some());
        assert!(store.link(create(1000 + round)).await.unwrap().changed);
    }
    recovers(&store).await;
}

async fn a_network_that_swallows_everything_is_a_timeout<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(3).await;
    store.link(create(0)).await.unwrap();
    proxy.stall();
    let calls = (0..20).map(|n| {
        let store = &store;
        async move {
            match n % 3 {
                0 => fails_in_time(store.resolve(&id(0))).await,
                1 => fails_in_time(store.link(create(7))).await,
                _ => fails_in_time(store.ping()).await,
            }
        }
    });
    for error in futures::future::join_all(calls).await {
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    proxy.heal();
    recovers(&store).await;
    assert!(store.link(create(7)).await.unwrap().changed, "a write that was a timeout did nothing");
}

async fn a_server_that_refuses_connections_is_told_in_time<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(3).await;
    store.link(create(0)).await.unwrap();
    proxy.refuse();
    fails_in_time(store.resolve(&id(0))).await;
    fails_in_time(store.link(create(1))).await;
    assert!(store.link_many(&[create(2)]).await.iter().all(|answer| answer.as_ref().is_err_and(Error::is_transient)));
    proxy.heal();
    recovers(&store).await;
}

async fn a_slow_network_only_makes_it_slow<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(3).await;
    proxy.delay(Duration::from_millis(20));
    assert!(store.link(create(0)).await.unwrap().changed);
    assert!(store.resolve(&id(0)).await.unwrap().is_some());
}

async fn a_thousand_ids_are_one_round_trip_for_each_statement<S: Store>(most: usize) {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(1).await;
    let ids: Vec<_> = (0..1000).map(id).collect();
    let links: Vec<_> = (0..1000).map(create).collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    // Once, so that the statements are prepared.
    assert!(store.resolve_many(&ids).await.into_iter().all(|answer| answer.unwrap().is_some()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = proxy.round_trips();
    assert!(store.resolve_many(&ids).await.into_iter().all(|answer| answer.unwrap().is_some()));
    let taken = proxy.round_trips() - before;
    // The pool may already have asked whether the connection that it got back is alive.
    assert!((1..=most + 1).contains(&taken), "{taken}");
}

/// What each writer knows of its own IDs.
#[derive(Default)]
struct Ledger {
    acknowledged: HashMap<AcsId, CustomerId>,
    unknown: HashMap<AcsId, CustomerId>,
}

async fn no_acknowledged_link_is_lost_when_the_server_is_killed<S: Store>() {
    let mut server = Server::start(S::KIND).unwrap();
    let url = database_on::<S>(&server.url(), "faults").await;
    let store = S::connect(&url, Namespace::default(), 8, DEADLINE).await.unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let (store, ledger, over) = (store.clone(), ledger.clone(), over.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let link = create(writer * 1_000_000 + n);
                    let start = Instant::now();
                    let answer = store.link(link.clone()).await;
                    assert!(start.elapsed() < 3 * DEADLINE);
                    let mut ledger = ledger.lock().unwrap();
                    match answer {
                        Ok(linked) => {
                            assert!(linked.changed, "nobody else writes this ID");
                            ledger.acknowledged.insert(link.acs_id, link.customer_id);
                        }
                        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                            ledger.unknown.insert(link.acs_id, link.customer_id);
                        }
                        Err(error) => assert!(error.is_transient(), "{error}"),
                    }
                }
            })
        })
        .collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.restart().unwrap();
        recovers_under_load(&store).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    recovers(&store).await;
    let ledger = ledger.lock().unwrap().take();
    let found: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    let mut missing = ledger.acknowledged.clone();
    for mapping in &found {
        let known = missing.remove(&mapping.acs_id).or_else(|| ledger.unknown.get(&mapping.acs_id).cloned());
        assert_eq!(known.as_ref(), Some(&mapping.customer_id), "never written, or written twice");
        // The other direction tells the same story.
        let page = store.mappings_of(&mapping.customer_id, PageRequest::default()).await.unwrap();
        assert_eq!(page.items.len(), 1);
    }
    assert!(missing.is_empty(), "{} acknowledged links are lost", missing.len());
    assert!(ledger.acknowledged.len() > 10);
}

impl Ledger {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

async fn recovers_under_load<S: Store>(store: &S) {
    let start = Instant::now();
    while let Err(error) = store.resolve(&id(0)).await {
        assert!(error.is_transient(), "{error}");
        assert!(start.elapsed() < RECOVERY, "{error}");
    }
}

macro_rules! server_faults {
    ($module:ident, $store:ty, $statements_of_a_thousand:literal) => {
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn a_commit_without_an_answer_is_unknown_and_can_be_repeated() {
                super::a_commit_without_an_answer_is_unknown_and_can_be_repeated::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_lost_connection_is_replaced_unnoticed() {
                super::a_lost_connection_is_replaced_unnoticed::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_network_that_swallows_everything_is_a_timeout() {
                super::a_network_that_swallows_everything_is_a_timeout::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_server_that_refuses_connections_is_told_in_time() {
                super::a_server_that_refuses_connections_is_told_in_time::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_slow_network_only_makes_it_slow() {
                super::a_slow_network_only_makes_it_slow::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_thousand_ids_are_one_round_trip_for_each_statement() {
                super::a_thousand_ids_are_one_round_trip_for_each_statement::<$store>($statements_of_a_thousand).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn no_acknowledged_link_is_lost_when_the_server_is_killed() {
                super::no_acknowledged_link_is_lost_when_the_server_is_killed::<$store>().await;
            }
        }
    };
}

server_faults!(mysql, MySqlStore, 2);
server_faults!(postgres, PostgresStore, 1);
