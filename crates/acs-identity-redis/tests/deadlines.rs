//! A call ends by its deadline, however many steps it has, and asks for a lost answer once more only.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use acs_identity_core::ErrorKind::{Misconfigured, Timeout, Unavailable};
use acs_identity_core::{AcsId, CustomerId, ErrorKind, Link, MappingStore, PageRequest, Resolver, Result};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Cluster, Kind, Sentinel, Server};

const DEADLINE: Duration = Duration::from_secs(1);
/// What a slow machine may add.
const MARGIN: Duration = Duration::from_millis(500);
const ID: &str = "8:acs:r_1";

fn id() -> AcsId {
    ID.parse().unwrap()
}

fn ann() -> CustomerId {
    "ann".parse().unwrap()
}

async fn opened() -> (Server, Proxy, RedisStore) {
    let server = Server::start(Kind::Redis).unwrap();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).unwrap();
    let options = RedisOptions::url(proxy.url(&server.url())).call_deadline(DEADLINE);
    let store = options.open().await.unwrap();
    store.link(Link::create(id(), ann())).await.unwrap();
    (server, proxy, store)
}

async fn ends<T: Debug>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let answer = call.await;
    assert!(start.elapsed() < DEADLINE + MARGIN, "{answer:?} after {:?}", start.elapsed());
    answer
}

fn kind<T: Debug>(answer: Result<T>) -> ErrorKind {
    answer.unwrap_err().kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_call_have_one_deadline_together() {
    let (_server, proxy, store) = opened().await;
    // 700 ms for each answer: there is time for one step, and not for two.
    proxy.delay(Duration::from_millis(350));
    assert!(ends(store.resolve(&id())).await.unwrap().is_some());
    assert_eq!(kind(ends(store.mappings_of(&ann(), PageRequest::default())).await), Timeout);
    assert_eq!(kind(ends(store.scan(PageRequest::default())).await), Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_repairs_what_it_meets_takes_no_longer_for_that() {
    let (server, proxy, _store) = opened().await;
    let deadline = Duration::from_secs(3);
    let store = RedisOptions::url(proxy.url(&server.url())).call_deadline(deadline).open().await.unwrap();
    let mut hand = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let key = "acsid:default:c:{}0:ann";
    let () = redis::cmd("ZADD").arg(key).arg(1).arg("8:acs:none").query_async(&mut hand).await.unwrap();
    // 1.3 s for each answer: there is time for the entries and the records, and the answer to the repair comes too late.
    proxy.delay(Duration::from_millis(650));
    let start = Instant::now();
    let page = store.mappings_of(&ann(), PageRequest::default()).await.unwrap();
    assert!(start.elapsed() < deadline + MARGIN, "{:?}", start.elapsed());
    assert_eq!(page.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_whose_answer_is_lost_is_sent_once_more_only() {
    let (_server, proxy, store) = opened().await;
    proxy.cut_before_request(b"m:{}8:acs:r_1");
    let before = proxy.requests_with(b"m:{}8:acs:r_1");
    assert!(store.resolve(&id()).await.unwrap().is_some());
    assert_eq!(proxy.requests_with(b"m:{}8:acs:r_1") - before, 2);
    proxy.cut_before_request(b"m:{}8:acs:r_1");
    proxy.cut_before_request(b"m:{}8:acs:r_1");
    assert_eq!(kind(store.resolve(&id()).await), Unavailable);
    assert_eq!(proxy.requests_with(b"m:{}8:acs:r_1") - before, 4);
    assert!(store.resolve(&id()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_finds_no_connection_until_its_deadline_was_not_done() {
    let (server, proxy, _store) = opened().await;
    let options = RedisOptions::url(proxy.url(&server.url())).connect_timeout(2 * DEADLINE).call_deadline(DEADLINE);
    for options in [options.clone(), options.replica_acknowledgements(1, Duration::from_millis(10))] {
        let store = options.open().await.unwrap();
        // A host from which nothing comes back, and no connection that was there before.
        proxy.stall();
        proxy.cut();
        let before = proxy.requests_with(b"EVALSHA");
        assert_eq!(kind(ends(store.link(Link::create("8:acs:r_2".parse().unwrap(), ann()))).await), Timeout);
        assert_eq!(kind(ends(store.unlink(&id(), acs_identity_core::Expect::Any)).await), Timeout);
        assert_eq!(proxy.requests_with(b"EVALSHA"), before);
        proxy.heal();
        assert!(store.resolve(&id()).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_comes_back_is_given_up_however_short_the_deadline_is() {
    let (server, proxy, _store) = opened().await;
    let options = RedisOptions::url(proxy.url(&server.url())).call_deadline(DEADLINE / 2);
    for options in [options.clone(), options.replica_acknowledgements(1, Duration::from_millis(10))] {
        let store = options.open().await.unwrap();
        // A network that swallows all that is sent on this connection from now on, and none other.
        proxy.cut_after_request(b"m:{}8:acs:r_1", Duration::from_secs(60));
        let _ = store.resolve(&id()).await;
        assert!(store.resolve(&id()).await.unwrap().is_some());
        proxy.cut_after_request(b"m:{}8:acs:r_1", Duration::from_secs(60));
        let written = async || store.link(Link::create(id(), ann())).await.map_err(|error| error.to_string());
        assert!(written().await.unwrap_err().contains("its answer is lost"));
        // There is no replica.
        assert!(written().await.map_or_else(|error| error.contains("acknowledged"), |linked| !linked.changed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_waits_for_a_server_that_is_away_for_a_moment() {
    let (_server, proxy, store) = opened().await;
    proxy.refuse();
    let back = async {
        tokio::time::sleep(DEADLINE / 3).await;
        proxy.heal();
    };
    let (page, ()) = tokio::join!(ends(store.scan(PageRequest::default())), back);
    assert_eq!(page.unwrap().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_a_silent_cluster_end_in_time_however_many_begin_at_once() {
    let cluster = Cluster::start_behind_proxies(&[]).unwrap();
    let store = RedisOptions::cluster(cluster.urls()).call_deadline(DEADLINE).open().await.unwrap();
    for node in 0..6 {
        cluster.proxy(node).stall();
    }
    let listings: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { kind(ends(store.scan(PageRequest::default())).await) })
        })
        .collect();
    for listing in listings {
        assert!(matches!(listing.await.unwrap(), Timeout | Unavailable));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_hang_cost_the_time_of_one() {
    let sentinel = Sentinel::start().unwrap();
    let listeners: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let mut urls: Vec<String> =
        listeners.iter().map(|silent| format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port())).collect();
    let all_silent = urls.clone();
    let options = |urls: Vec<String>| {
        let options = RedisOptions::sentinel("redis://primary", Sentinel::MASTER_NAME, urls);
        options.connect_timeout(Duration::from_millis(800)).call_deadline(DEADLINE)
    };
    urls.push(sentinel.urls()[0].clone());
    let store = ends(options(urls).open()).await.unwrap();
    store.link(Link::create(id(), ann())).await.unwrap();
    // Nobody is waited for twice.
    assert_eq!(kind(ends(options(all_silent).open()).await), Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_for_another_connection_is_told() {
    let mut server = Server::start_with(Kind::Redis, &[("maxclients", "2")]).unwrap();
    server.set("maxclients", "2");
    let url = server.url();
    let client = redis::Client::open(url.as_str()).unwrap();
    let held: Vec<_> = [client.get_connection(), client.get_connection()].into_iter().filter_map(|c| c.ok()).collect();
    assert!(!held.is_empty());
    let error = RedisOptions::url(url.as_str()).call_deadline(DEADLINE).open().await.unwrap_err();
    assert_ne!(error.kind(), Misconfigured);
    assert!(error.is_transient() && error.to_string().contains("maxclients"), "{error}");
    drop(held);
}
