//! Two processes, each with a cache over one store: what one of them writes, the other sees within the time that the store's news
//! take, and whatever it has missed is not given out any more.
#![allow(clippy::unwrap_used)]

mod cache;
mod other;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use acs_identity::cache::TableKind;
use acs_identity::sql::SqliteOptions;
use acs_identity::{AcsId, CustomerId, Link, MappingStore, PageRequest, Resolver, Result};
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Cluster, Kind, Server};
use acs_identity_tests::Folder;
use cache::{Cache, SQLITE_LOOKS, cached, open};
use other::Other;
use tokio::time::sleep;

/// With room for a slow machine.
const ROOM: u32 = 3;

/// How long a store's news take, as its document says.
struct Promise {
    /// From the end of a write until the others are told.
    news: Duration,
    /// From a loss until the subscriber is told, and from the end of its cause until it works again.
    loss: Duration,
}

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

/// The customer of an ID, as this process sees it.
async fn who(cache: &Cache, of: &str) -> Result<Option<String>> {
    Ok(cache.resolve(&id(of)).await?.map(|found| found.customer_id().as_str().to_owned()))
}

/// Whether a customer has an ID, as this process sees it.
async fn has(cache: &Cache, customer: &str, of: &str) -> bool {
    let customer: CustomerId = customer.parse().unwrap();
    let page = cache.mappings_of(&customer, PageRequest::default()).await.unwrap();
    page.items.iter().any(|mapping| mapping.acs_id.as_str() == of)
}

/// Waits until this is so.
async fn until(what: &str, within: Duration, is_so: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until this process has an answer at hand, which it has only if the news come.
async fn knows(cache: &Cache, of: &str, within: Duration) {
    until("the answer is kept", within, async || {
        // While the store is away, an error is an answer, too.
        let _ = who(cache, of).await;
        cache.resolve_now(&id(of)).is_some()
    })
    .await;
}

/// Sees the older answer or the newer one until it is time, and then the newer one.
async fn sees(cache: &Cache, of: &str, [old, new]: [Option<&str>; 2], written: Instant, promise: &Promise) {
    loop {
        let seen = who(cache, of).await.unwrap();
        if seen.as_deref() == new {
            break;
        }
        assert_eq!(seen.as_deref(), old);
        assert!(written.elapsed() < promise.news * ROOM, "{old:?} is still seen after {:?}", written.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    // The customers' pages are told of by the same news, or by the next ones.
    for (customer, expected) in [(old, false), (new, true)] {
        let Some(customer) = customer else { continue };
        while has(cache, customer, of).await != expected {
            assert!(written.elapsed() < promise.news * ROOM, "the page of {customer} is still as it was");
            sleep(Duration::from_millis(2)).await;
        }
    }
    for _ in 0..20 {
        assert_eq!(who(cache, of).await.unwrap().as_deref(), new);
    }
}

/// Each sort of write is seen by the other process, whichever that is.
async fn writes_are_seen(cache: &Cache, other: &mut Other, promise: &Promise) {
    assert_eq!(who(cache, "id1").await.unwrap(), None);
    knows(cache, "id1", promise.loss * ROOM).await;
    let mut old = None;
    for new in [Some("alice"), Some("bob"), None, Some("carol")] {
        // It is at hand, as are the pages, and nothing but the news can make them go.
        knows(cache, "id1", promise.news * ROOM).await;
        for customer in ["alice", "bob", "carol"] {
            has(cache, customer, "id1").await;
        }
        let command = new.map_or_else(|| "unlink id1".to_owned(), |new| format!("link id1 {new}"));
        assert_eq!(other.told(&command).await, "ok");
        sees(cache, "id1", [old, new], Instant::now(), promise).await;
        assert_eq!(other.told("resolve id1").await, new.unwrap_or("-"));
        old = new;
    }
    cache.link(Link::replace(id("id1"), "dave".parse().unwrap())).await.unwrap();
    let written = Instant::now();
    assert_eq!(who(cache, "id1").await.unwrap().as_deref(), Some("dave"));
    while other.told("resolve id1").await != "dave" {
        assert!(written.elapsed() < promise.news * ROOM);
    }
}

/// Whether something may have been missed since that epoch.
fn has_lost(cache: &Cache, epoch: u64) -> bool {
    let stats = cache.stats();
    !stats.feed_live || stats.feed_epoch != epoch
}

/// While the news are away, the other process writes; from when that is noticed, no older answer is given out. Then they are back.
async fn a_loss_is_noticed(
    cache: &Cache,
    other: &mut Other,
    new: &str,
    promise: &Promise,
    fail: impl AsyncFnOnce(),
    heal: impl AsyncFnOnce(),
) {
    for known in ["id1", "id2"] {
        knows(cache, known, promise.loss * ROOM).await;
    }
    let epoch = cache.stats().feed_epoch;
    fail().await;
    let failed = Instant::now();
    for written in ["id1", "id2"] {
        other.writes(&format!("link {written} {new}")).await;
    }
    while !has_lost(cache, epoch) {
        assert!(failed.elapsed() < promise.loss * ROOM, "the loss is not noticed");
        sleep(Duration::from_millis(2)).await;
    }
    // Either the store is asked and has the newer answer, or it is not there.
    let is_new = async |of: &str| match who(cache, of).await {
        Ok(seen) => {
            assert_eq!(seen.as_deref(), Some(new), "an older answer was given out");
            true
        }
        Err(error) => {
            assert!(error.is_transient(), "{error}");
            false
        }
    };
    let noticed = Instant::now();
    while noticed.elapsed() < Duration::from_secs(1) {
        tokio::join!(is_new("id1"), is_new("id2"));
        sleep(Duration::from_millis(5)).await;
    }
    heal().await;
    until("newer answers", promise.loss * ROOM, async || is_new("id1").await && is_new("id2").await).await;
    knows(cache, "id1", promise.loss * ROOM).await;
    assert!(cache.stats().feed_live && cache.stats().feed_epoch > epoch, "{:?}", cache.stats());
    // And what comes then is told.
    assert!(is_new("id1").await);
    assert_eq!(other.told("link id1 zoe").await, "ok");
    sees(cache, "id1", [Some(new), Some("zoe")], Instant::now(), promise).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_postgresql() {
    // It is told when it is committed, looks each second at the latest, and waits for an answer for another one.
    let promise = Promise { news: Duration::from_secs(1), loss: Duration::from_secs(2) };
    let mut server = Server::start(Kind::Postgres).unwrap();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).unwrap();
    let cache = open(&proxy.url(&server.url()), TableKind::Moka).await.unwrap();
    let mut other = Other::start(&server.url()).await;
    writes_are_seen(&cache, &mut other, &promise).await;

    let cut = async || proxy.refuse();
    a_loss_is_noticed(&cache, &mut other, "erin", &promise, cut, async || proxy.heal()).await;

    // A black hole: the connections stay open, and no byte comes through.
    let stall = async || proxy.stall();
    a_loss_is_noticed(&cache, &mut other, "grace", &promise, stall, async || proxy.heal()).await;

    let restart = async || {
        server.kill();
        server.restart().unwrap();
    };
    a_loss_is_noticed(&cache, &mut other, "frank", &promise, restart, async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_redis_cluster() {
    // It is told at once; the servers and their topology are looked at twice a second.
    let promise = Promise { news: Duration::from_millis(500), loss: Duration::from_secs(2) };
    let cluster = Cluster::start_behind_proxies(&[]).unwrap();
    let place = cluster.urls().join(",");
    let cache = open(&place, TableKind::Moka).await.unwrap();
    let mut other = Other::start(&place).await;
    writes_are_seen(&cache, &mut other, &promise).await;

    let nodes = 0..cluster.urls().len();
    let cut = async || nodes.for_each(|node| cluster.proxy(node).cut());
    a_loss_is_noticed(&cache, &mut other, "erin", &promise, cut, async || {}).await;

    let master = cluster.master_of(cluster.slot_of("acsid:default:m:{}id1")).unwrap();
    let cluster = RefCell::new(cluster);
    let kill = async || cluster.borrow_mut().kill(master);
    let restart = async || {
        cluster.borrow_mut().restart(master).unwrap();
        cluster.borrow().wait_until_ready().unwrap();
    };
    a_loss_is_noticed(&cache, &mut other, "frank", &promise, kill, restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_sqlite_file() {
    let promise = Promise { news: SQLITE_LOOKS, loss: SQLITE_LOOKS };
    let folder = Folder::new();
    let file = folder.path("mappings.db");
    let place = folder.sqlite("mappings.db").into_string().unwrap();
    let cache = open(&place, TableKind::Moka).await.unwrap();
    let mut other = Other::start(&place).await;
    writes_are_seen(&cache, &mut other, &promise).await;

    // The other process dies in the middle of its writes, and one that comes after it writes on: here, nothing is missed.
    let epoch = cache.stats().feed_epoch;
    knows(&cache, "id1", promise.news * ROOM).await;
    other.begins("flood 1000000").await;
    until("the flood has begun", Duration::from_secs(30), async || who(&cache, "flood0").await.unwrap().is_some())
        .await;
    other.kill().await;
    let mut other = Other::start(&place).await;
    assert_eq!(other.told("link id1 erin").await, "ok");
    sees(&cache, "id1", [Some("dave"), Some("erin")], Instant::now(), &promise).await;

    // More changes than are kept, between two looks of a process that looks seldom.
    let looks = Duration::from_secs(4);
    let seldom = cached(SqliteOptions::file(&file).poll_interval(looks).open().await.unwrap(), TableKind::Moka);
    knows(&seldom, "id1", 2 * looks).await;
    let epoch_of_seldom = seldom.stats().feed_epoch;
    assert_eq!(other.told("link id1 frank").await, "ok");
    assert_eq!(other.told("flood 22000").await, "ok");
    until("it has missed something", looks * ROOM, async || has_lost(&seldom, epoch_of_seldom)).await;
    assert_eq!(who(&seldom, "id1").await.unwrap().as_deref(), Some("frank"));
    knows(&seldom, "id1", looks * ROOM).await;
    assert!(seldom.stats().feed_epoch > epoch_of_seldom);
    // The one that looks often has not.
    assert!(!has_lost(&cache, epoch), "{:?}", cache.stats());
    knows(&cache, "id1", promise.news * ROOM).await;
    assert_eq!(who(&cache, "id1").await.unwrap().as_deref(), Some("frank"));
}
