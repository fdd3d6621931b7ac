//! A primary that sentinels name: found, lost, and found again.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use acs_identity_core::ErrorKind::{Misconfigured, OutcomeUnknown, Unavailable};
use acs_identity_core::{AcsId, CustomerId, Link, MappingStore, Resolver};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::Sentinel;

/// Within which time after the sentinels have agreed on a primary the store has to work, with room for a slow machine: it should be 2 s.
const RECOVERY: Duration = Duration::from_secs(6);

const NOBODY: &str = "redis://127.0.0.1:1";

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn bob() -> CustomerId {
    "bob".parse().unwrap()
}

fn options(sentinels: Vec<String>) -> RedisOptions {
    // The host of the first URL is not used.
    RedisOptions::sentinel("redis://primary.invalid", Sentinel::MASTER_NAME, sentinels)
}

async fn links_and_resolves(store: &RedisStore, text: &str) {
    assert!(store.link(Link::create(id(text), bob())).await.unwrap().changed);
    assert_eq!(store.resolve(&id(text)).await.unwrap().unwrap().customer_id(), &bob());
}

/// What a server answers.
async fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
}

/// Waits until the sentinels have agreed on another primary than this server, and it takes writes; with its number.
async fn another_primary(sentinel: &Sentinel, than: usize) -> usize {
    let start = Instant::now();
    loop {
        if let Some(primary) = sentinel.primary().filter(|primary| *primary != than) {
            let role: redis::Value = ask(&sentinel.server(primary).url(), &["ROLE"]).await;
            if format!("{role:?}").contains("master") {
                return primary;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn works_within(store: &RedisStore, text: &str, limit: Duration) {
    let start = Instant::now();
    loop {
        let linked = store.link(Link::replace(id(text), bob())).await;
        if linked.is_ok() && store.resolve(&id(text)).await.is_ok_and(|found| found.is_some()) {
            eprintln!("works again after {:?}", start.elapsed());
            return;
        }
        assert!(start.elapsed() < limit, "{linked:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_by_any_sentinel_that_is_there() {
    let sentinel = Sentinel::start().unwrap();
    let urls = sentinel.urls();
    links_and_resolves(&options(urls.clone()).open().await.unwrap(), "8:acs:r_1").await;
    // The first is dead, or two are.
    let with_dead = vec![NOBODY.to_owned(), NOBODY.to_owned(), urls[2].clone()];
    links_and_resolves(&options(with_dead).open().await.unwrap(), "8:acs:r_2").await;
    // One that takes connections and says nothing is left after the time for a connection.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let with_silent = options(vec![silent, urls[0].clone()]).connect_timeout(Duration::from_millis(200));
    links_and_resolves(&with_silent.open().await.unwrap(), "8:acs:r_3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_and_sentinels_that_nobody_is_are_told() {
    let sentinel = Sentinel::start().unwrap();
    let wrong = RedisOptions::sentinel("redis://primary", "another-name", sentinel.urls());
    let error = wrong.open().await.unwrap_err();
    assert_eq!(error.kind(), Misconfigured, "{error}");
    assert!(error.to_string().contains("the sentinels know no primary of this name"), "{error}");
    // Also if the last one is not there.
    let mut urls = sentinel.urls();
    urls.push(NOBODY.to_owned());
    let error = RedisOptions::sentinel("redis://primary", "another-name", urls).open().await.unwrap_err();
    assert_eq!(error.kind(), Misconfigured, "{error}");
    let error = options(vec![NOBODY.to_owned(), NOBODY.to_owned()]).open().await.unwrap_err();
    assert_eq!(error.kind(), Unavailable, "{error}");
    assert!(error.is_transient() && !error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_under_load_is_replaced_and_found() {
    let mut sentinel = Sentinel::start().unwrap();
    let store = options(sentinel.urls()).open().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(write(store.clone(), writer, stop.clone()))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = sentinel.kill_primary().unwrap();
    another_primary(&sentinel, old).await;
    works_within(&store, "8:acs:r_after", RECOVERY).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);

    let (mut acknowledged, mut doubtful) = (HashMap::new(), 0);
    for writer in writers {
        let (done, unknown) = writer.await.unwrap();
        acknowledged.extend(done);
        doubtful += unknown;
    }
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let mut lost = 0;
    for (text, customer) in &acknowledged {
        match store.resolve(&id(text)).await.unwrap() {
            Some(found) => assert_eq!(found.customer_id().as_str(), customer),
            None => lost += 1,
        }
    }
    // Replication is behind by what was on its way when the primary was killed; nothing else may be missing.
    eprintln!("{} acknowledged, {lost} lost by the failover, {doubtful} unknown", acknowledged.len());
    assert!(lost <= 50, "{lost}");
}

/// Links one ACS ID after another; which to whom, of those that were acknowledged, and how many are unknown.
async fn write(store: RedisStore, writer: usize, stop: Arc<AtomicBool>) -> (HashMap<String, String>, usize) {
    let (mut done, mut unknown) = (HashMap::new(), 0);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (text, customer) = (format!("8:acs:r_{writer}_{number}"), format!("customer {writer} {number}"));
        match store.link(Link::create(id(&text), customer.parse().unwrap())).await {
            Ok(linked) => {
                assert!(linked.changed);
                done.insert(text, customer);
            }
            Err(error) if error.kind() == OutcomeUnknown => unknown += 1,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (done, unknown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_primary_that_comes_back_is_neither_written_to_nor_read() {
    let mut sentinel = Sentinel::start().unwrap();
    let store = options(sentinel.urls()).open().await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    sentinel.wait_until_ready().unwrap();
    // The store has nothing to do while the primary changes, and only sees that its connection ends.
    let old = sentinel.kill_primary().unwrap();
    let new = another_primary(&sentinel, old).await;
    sentinel.server_mut(old).restart().unwrap();
    sentinel.wait_until_ready().unwrap();
    let server = |number: usize| sentinel.server(number).url();
    // If it were asked, it would say that this is there, and that it is not.
    ask::<()>(&server(old), &["CONFIG", "SET", "replica-read-only", "no"]).await;
    ask::<()>(&server(old), &["SET", "acsid:default:m:{}8:acs:r_wrong", "?"]).await;
    let store_again = options(sentinel.urls()).open().await.unwrap();
    for store in [&store, &store_again] {
        assert_eq!(store.resolve(&id("8:acs:r_wrong")).await.unwrap(), None);
    }
    links_and_resolves(&store, "8:acs:r_2").await;
    let role: redis::Value = ask(&server(new), &["ROLE"]).await;
    assert!(format!("{role:?}").contains("master"));
    assert_eq!(ask::<u64>(&server(new), &["EXISTS", "acsid:default:m:{}8:acs:r_2"]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_becomes_a_replica_under_the_store_is_left_at_the_first_write() {
    let sentinel = Sentinel::start().unwrap();
    let store = options(sentinel.urls()).open().await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    let old = sentinel.primary().unwrap();
    // An orderly failover; the connections stay until a sentinel has told the old one what it is.
    ask::<()>(&sentinel.urls()[0], &["SENTINEL", "FAILOVER", Sentinel::MASTER_NAME]).await;
    another_primary(&sentinel, old).await;
    works_within(&store, "8:acs:r_2", RECOVERY).await;
    sentinel.wait_until_ready().unwrap();
    for n in 3..10 {
        links_and_resolves(&store, &format!("8:acs:r_{n}")).await;
    }
}
