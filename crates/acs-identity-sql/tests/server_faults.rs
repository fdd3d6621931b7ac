//! What a network and a server do to the stores: the right error in time, nothing lost, and all well again soon.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, Error, ErrorKind, Expect, Link, Mapping, MappingStoreExt, Namespace, PageRequest,
};
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

async fn a_slow_network_only_makes_it_slow_unless_it_is_too_slow<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(3).await;
    // There and back.
    let (delay, start) = (Duration::from_millis(20), Instant::now());
    proxy.delay(delay);
    assert!(store.link(create(0)).await.unwrap().changed);
    let linked = start.elapsed();
    assert!(linked >= 4 * 2 * delay, "no more than {linked:?} for all statements of a write");
    let start = Instant::now();
    assert!(store.resolve(&id(0)).await.unwrap().is_some());
    assert!(start.elapsed() >= 2 * delay);

    proxy.delay(2 * DEADLINE);
    let (start, error) = (Instant::now(), fails_in_time(store.resolve(&id(0))).await);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() >= DEADLINE);
    assert_eq!(fails_in_time(store.link(create(1))).await.kind(), ErrorKind::Timeout);
    proxy.heal();
    recovers(&store).await;
    assert!(store.link(create(1)).await.unwrap().changed, "a write that was a timeout did nothing");
}

async fn each_statement_is_one_round_trip_also_for_a_thousand_ids<S: Store>(most: usize) {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(1).await;
    let ids: Vec<_> = (0..1000).map(id).collect();
    let links: Vec<_> = (0..1000).map(create).collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    // Once, so that the statements are prepared.
    assert!(store.resolve_many(&ids).await.into_iter().all(|answer| answer.unwrap().is_some()));
    assert!(store.resolve(&id(0)).await.unwrap().is_some());
    assert!(store.link(create(1000)).await.unwrap().changed);
    let many = round_trips(&proxy, store.resolve_many(&ids)).await;
    assert!((1..=most + 1).contains(&many), "{many}");
    let one = round_trips(&proxy, store.resolve(&id(0))).await;
    assert!((1..=2).contains(&one), "{one}");
    // Begin, what is there, the time, the row, commit.
    let link = round_trips(&proxy, store.link(create(1001))).await;
    assert!((5..=6).contains(&link), "{link}");
}

/// How many a call takes; the pool may already have asked once whether the connection that it got back is alive.
async fn round_trips<T>(proxy: &Proxy, call: impl Future<Output = T>) -> usize {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = proxy.round_trips();
    call.await;
    proxy.round_trips() - before
}

/// What a writer knows of an ID that nobody else writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Linked,
    Unlinked,
    /// It was told that the outcome of the last write is unknown.
    Either,
}

/// What a writer was told.
#[derive(Debug, Default)]
struct Ledger {
    ids: HashMap<u64, Known>,
    /// Single links, links in batches, and unlinks that were acknowledged.
    acknowledged: [usize; 3],
}

impl Ledger {
    fn note<T>(&mut self, n: u64, write: usize, answer: &Result<T, Error>, done: Known) {
        match answer {
            Ok(_) => {
                self.acknowledged[write] += 1;
                self.ids.insert(n, done);
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => _ = self.ids.insert(n, Known::Either),
            // Nothing was changed.
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }

    fn is_linked(&self, n: u64) -> bool {
        self.ids.get(&n) == Some(&Known::Linked)
    }
}

/// Links IDs of this writer's own, one by one and in batches, and unlinks some, until it is told to stop.
async fn write<S: Store>(store: S, writer: u64, over: Arc<AtomicBool>) -> Ledger {
    const BATCH: u64 = 20;
    let in_time = |start: Instant| assert!(start.elapsed() < 3 * DEADLINE);
    let mut ledger = Ledger::default();
    for first in (writer * 1_000_000..).step_by(BATCH as usize + 1) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        let answer = store.link(create(first)).await;
        in_time(start);
        assert!(answer.as_ref().is_ok_and(|linked| linked.changed) || answer.is_err(), "nobody else writes this ID");
        ledger.note(first, 0, &answer, Known::Linked);

        let batch = first + 1..=first + BATCH;
        let start = Instant::now();
        let answers = store.link_many(&batch.clone().map(create).collect::<Vec<_>>()).await;
        in_time(start);
        for (n, answer) in batch.zip(&answers) {
            ledger.note(n, 1, answer, Known::Linked);
        }

        for n in [first, first + 1].into_iter().filter(|n| ledger.is_linked(*n)).collect::<Vec<_>>() {
            let start = Instant::now();
            let answer = store.unlink(&id(n), Expect::Customer(CustomerId::from(n))).await;
            in_time(start);
            assert!(!matches!(answer, Ok(None)), "nobody else unlinks this ID");
            ledger.note(n, 2, &answer, Known::Unlinked);
        }
    }
    ledger
}

/// Eight writers that write all the while, and what is done to them.
async fn no_acknowledged_write_is_lost<S: Store>(store: &S, harm: impl AsyncFnOnce()) {
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (1..=8).map(|writer| tokio::spawn(write(store.clone(), writer, over.clone()))).collect();
    harm().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Ordering::Relaxed);
    let mut known = HashMap::new();
    let mut acknowledged = [0; 3];
    for writer in writers {
        let ledger = writer.await.unwrap();
        known.extend(ledger.ids);
        acknowledged = std::array::from_fn(|write| acknowledged[write] + ledger.acknowledged[write]);
    }
    recovers(store).await;
    let found: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    for mapping in &found {
        // The number is in both, and the other direction tells the same story.
        let n: u64 = mapping.customer_id.as_str().parse().unwrap();
        assert_eq!(mapping.acs_id, id(n));
        assert!(matches!(known.remove(&n), Some(Known::Linked | Known::Either)), "never written, or unlinked: {n}");
        let page = store.mappings_of(&mapping.customer_id, PageRequest::default()).await.unwrap();
        assert_eq!(page.items, std::slice::from_ref(mapping));
    }
    let lost = known.values().filter(|known| **known == Known::Linked).count();
    assert_eq!(lost, 0, "acknowledged links are lost");
    assert!(acknowledged.iter().all(|count| *count > 10), "{acknowledged:?}");
}

async fn no_acknowledged_write_is_lost_when_the_server_is_killed<S: Store>() {
    let mut server = Server::start(S::KIND).unwrap();
    let url = database_on::<S>(&server.url(), "faults").await;
    let store = S::connect(&url, Namespace::default(), 8, DEADLINE).await.unwrap();
    no_acknowledged_write_is_lost(&store, async || {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            server.kill();
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.restart().unwrap();
            recovers_under_load(&store).await;
        }
    })
    .await;
}

async fn no_acknowledged_write_is_lost_when_connections_are_cut_under_load<S: Store>() {
    let Behind { proxy, store, _database } = behind_a_proxy::<S>(8).await;
    no_acknowledged_write_is_lost(&store, async || {
        for round in 0..10 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if round % 2 == 0 {
                proxy.cut();
            } else {
                proxy.half_close();
                tokio::time::sleep(Duration::from_millis(50)).await;
                proxy.heal();
            }
            recovers_under_load(&store).await;
        }
    })
    .await;
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
            async fn a_slow_network_only_makes_it_slow_unless_it_is_too_slow() {
                super::a_slow_network_only_makes_it_slow_unless_it_is_too_slow::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn each_statement_is_one_round_trip_also_for_a_thousand_ids() {
                super::each_statement_is_one_round_trip_also_for_a_thousand_ids::<$store>($statements_of_a_thousand)
                    .await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn no_acknowledged_write_is_lost_when_the_server_is_killed() {
                super::no_acknowledged_write_is_lost_when_the_server_is_killed::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn no_acknowledged_write_is_lost_when_connections_are_cut_under_load() {
                super::no_acknowledged_write_is_lost_when_connections_are_cut_under_load::<$store>().await;
            }
        }
    };
}

server_faults!(mysql, MySqlStore, 2);
server_faults!(postgres, PostgresStore, 1);
