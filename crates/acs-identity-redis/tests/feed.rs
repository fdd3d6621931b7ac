//! The change feed: what is heard of changes that others make, and when it says that something may have been missed.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use acs_identity_core::Change::{Acs, Customer, Live, Lost};
use acs_identity_core::{AcsId, Change, ChangeFeed, Link, LostReason, MappingStore, Namespace};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Sentinel, Server};
use futures::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

/// Within which time after a change of the servers the feed has to say so, with room for a slow machine: it should be
/// 2 s.
const NOTICE: Duration = Duration::from_secs(6);

/// After which time it is a failure that nothing comes.
const LONG: Duration = Duration::from_secs(30);

/// What a subscriber hears, and when.
struct Heard {
    news: UnboundedReceiver<(Instant, Change)>,
}

impl Heard {
    /// Subscribes, and waits until changes are reported.
    async fn begin(store: &RedisStore) -> Self {
        let (sender, news) = unbounded_channel();
        let mut changes = store.changes();
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                if sender.send((Instant::now(), change)).is_err() {
                    break;
                }
            }
        });
        let mut heard = Self { news };
        assert_eq!(heard.next().await, Live);
        heard
    }

    async fn next(&mut self) -> Change {
        let (_, change) = timeout(LONG, self.news.recv()).await.expect("no news").expect("the feed has ended");
        change
    }

    /// Waits for this, and returns when it was said; what comes before is passed over.
    async fn until(&mut self, what: impl Fn(&Change) -> bool) -> Instant {
        loop {
            let (when, change) = timeout(LONG, self.news.recv()).await.expect("no news").expect("the feed has ended");
            if what(&change) {
                return when;
            }
        }
    }

    /// Passes over what is said while the servers settle, and checks that it is all heard again at the end.
    async fn settle(&mut self) {
        let mut last = None;
        while let Ok(news) = timeout(Duration::from_secs(2), self.news.recv()).await {
            let (_, change) = news.expect("the feed has ended");
            if matches!(change, Live | Lost(_)) {
                last = Some(change);
            }
        }
        assert!(last.is_none_or(|last| last == Live), "it stays lost");
    }

    /// Writes a record as `redis-cli` would, and checks that it is heard of at once, without anything missed.
    async fn hears(&mut self, url: &str, id: &str) {
        ask::<()>(url, &["SET", &record(id), "by hand"]).await;
        assert_eq!(self.next().await, acs(id), "{url}");
    }
}

fn acs(id: &str) -> Change {
    Acs(id.parse().unwrap(), None)
}

fn record(id: &str) -> String {
    format!("acsid:default:m:{{}}{id}")
}

/// What a server answers to another client.
async fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
}

async fn single() -> (Server, RedisStore) {
    let server = Server::start(Kind::Redis).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    (server, store)
}

async fn cluster() -> (Cluster, RedisStore) {
    let cluster = Cluster::start().unwrap();
    let store = RedisOptions::cluster(cluster.urls()).open().await.unwrap();
    (cluster, store)
}

/// On each master of a cluster a change is heard of.
async fn every_master_is_heard(cluster: &Cluster, heard: &mut Heard) {
    let masters = cluster.masters();
    assert_eq!(masters.len(), 3);
    for master in masters {
        let ids = (0..).map(|n| format!("8:acs:r_{n}"));
        let id = { ids }.find(|id| cluster.master_of(cluster.slot_of(record(id))) == Some(master)).unwrap();
        heard.hears(&cluster.node(master).url(), &id).await;
    }
}

/// Waits until a node is a master, and returns when that was seen.
async fn becomes_master(cluster: &Cluster, node: usize) -> Instant {
    let start = Instant::now();
    while !cluster.masters().contains(&node) {
        assert!(start.elapsed() < LONG);
        sleep(Duration::from_millis(20)).await;
    }
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_client_writes_and_deletes_is_heard() {
    let (server, store) = single().await;
    let (url, mut heard) = (server.url(), Heard::begin(&store).await);
    heard.hears(&url, "8:acs:r_1").await;
    ask::<()>(&url, &["DEL", &record("8:acs:r_1")]).await;
    assert_eq!(heard.next().await, acs("8:acs:r_1"));
    ask::<()>(&url, &["ZADD", "acsid:default:c:{}a:bob: a {b}", "1", "8:acs:r_1"]).await;
    assert_eq!(heard.next().await, Customer("bob: a {b}".parse().unwrap()));
    // Its time comes, and nobody does anything.
    ask::<()>(&url, &["SET", &record("8:acs:r_2"), "by hand", "PX", "200"]).await;
    assert_eq!([heard.next().await, heard.next().await], [acs("8:acs:r_2"), acs("8:acs:r_2")]);
    // What is not of this namespace, or of no legal ID, is nothing to tell.
    let too_long = record(&"x".repeat(acs_identity_core::MAX_ID_BYTES + 1));
    let others = ["x", "acsid:defaul:m:{}8:acs:r_3", "acsid:default", "acsid:default:", "acsid:default:x:{}8:acs:r_3"];
    for key in others.into_iter().chain(["acsid:default:m:{}", &too_long, "acsid:default:e:{}00"]) {
        ask::<()>(&url, &["SET", key, "by hand"]).await;
    }
    heard.hears(&url, "8:acs:r_4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespace_is_not_heard() {
    let (server, store) = single().await;
    let another = RedisOptions::url(server.url()).namespace(Namespace::new("default-2").unwrap());
    let another = another.open().await.unwrap();
    let mut heard = Heard::begin(&store).await;
    another.link(Link::create("8:acs:r_1".parse().unwrap(), "bob".parse().unwrap())).await.unwrap();
    heard.hears(&server.url(), "8:acs:r_2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_of_everything_is_told_and_later_changes_are_heard() {
    let (server, store) = single().await;
    let (url, mut heard) = (server.url(), Heard::begin(&store).await);
    for flush in [&["FLUSHALL"][..], &["FLUSHDB"], &["FLUSHALL", "ASYNC"], &["FLUSHDB", "ASYNC"]] {
        heard.hears(&url, "8:acs:r_1").await;
        ask::<()>(&url, flush).await;
        assert_eq!([heard.next().await, heard.next().await], [Lost(LostReason::Flushed), Live], "{flush:?}");
        heard.hears(&url, "8:acs:r_1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_a_flush_of_one_node_and_a_slot_that_moves_are_told() {
    let (cluster, store) = cluster().await;
    let mut heard = Heard::begin(&store).await;
    every_master_is_heard(&cluster, &mut heard).await;
    for master in cluster.masters() {
        ask::<()>(&cluster.node(master).url(), &["FLUSHALL"]).await;
        assert_eq!([heard.next().await, heard.next().await], [Lost(LostReason::Flushed), Live]);
        every_master_is_heard(&cluster, &mut heard).await;
    }

    let slot = cluster.slot_of(record("8:acs:r_moving"));
    let to = (cluster.master_of(slot).unwrap() + 1) % 3;
    let migration = cluster.migrate_slot(slot, to).unwrap();
    sleep(Duration::from_secs(1)).await;
    let before = Instant::now();
    migration.finish().unwrap();
    let moved = Instant::now();
    let told = heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    assert!(before < told && told < moved + NOTICE, "{:?}", told - moved);
    heard.until(|change| *change == Live).await;
    cluster.wait_until_ready().unwrap();
    heard.settle().await;
    heard.hears(&cluster.node(to).url(), "8:acs:r_moving").await;
    every_master_is_heard(&cluster, &mut heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_on_their_way_are_heard_by_a_master_and_unheard_by_one_that_is_new() {
    let (cluster, store) = cluster().await;
    let mut heard = Heard::begin(&store).await;
    let slot = cluster.slot_of(record("8:acs:r_moving"));
    let from = cluster.master_of(slot).unwrap();
    let migration = cluster.migrate_slot(slot, (from + 1) % 3).unwrap();
    // As both are listened to, what happens to the keys is told.
    assert!(timeout(Duration::from_secs(2), heard.news.recv()).await.is_err());
    migration.finish().unwrap();
    heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    cluster.wait_until_ready().unwrap();
    heard.settle().await;

    // A replica becomes a master, without slots.
    let (new, known) = (cluster.node(5), cluster.node(0).port());
    ask::<()>(&new.url(), &["CLUSTER", "RESET", "SOFT"]).await;
    let (port, bus) = (known.to_string(), (known - 5000).to_string());
    ask::<()>(&new.url(), &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
    let begun = Instant::now();
    let migration = loop {
        match cluster.migrate_slot(slot, 5) {
            Ok(migration) => break migration,
            Err(error) => assert!(begun.elapsed() < LONG, "{error}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    for _ in 0..3 {
        heard.until(|change| *change == Change::All).await;
    }
    migration.finish().unwrap();
    heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    heard.until(|change| *change == Live).await;
    heard.settle().await;
    heard.hears(&new.url(), "8:acs:r_moving").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_in_a_cluster_is_told_and_the_new_master_is_heard() {
    let (mut cluster, store) = cluster().await;
    let mut heard = Heard::begin(&store).await;
    every_master_is_heard(&cluster, &mut heard).await;

    // An orderly one: the former master stays, and so do the connections to it.
    let before = Instant::now();
    ask::<()>(&cluster.node(4).url(), &["CLUSTER", "FAILOVER"]).await;
    let failed_over = becomes_master(&cluster, 4).await;
    let told = heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    assert!(before < told && told < failed_over + NOTICE, "{:?}", told.duration_since(failed_over));
    heard.until(|change| *change == Live).await;
    cluster.wait_until_ready().unwrap();
    heard.settle().await;
    every_master_is_heard(&cluster, &mut heard).await;

    // And one that nobody wants.
    let killed = Instant::now();
    cluster.kill(0);
    let told = heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    assert!(told < killed + NOTICE, "{:?}", told - killed);
    let failed_over = becomes_master(&cluster, 3).await;
    let live = heard.until(|change| *change == Live).await;
    assert!(live < failed_over + NOTICE, "{:?}", live.duration_since(failed_over));
    cluster.wait_until_ready().unwrap();
    heard.settle().await;
    every_master_is_heard(&cluster, &mut heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_primary_behind_sentinel_is_told_and_heard() {
    let sentinel = Sentinel::start().unwrap();
    let store = RedisOptions::sentinel("redis://primary.invalid", Sentinel::MASTER_NAME, sentinel.urls());
    let mut heard = Heard::begin(&store.open().await.unwrap()).await;
    let old = sentinel.primary().unwrap();
    heard.hears(&sentinel.server(old).url(), "8:acs:r_1").await;
    ask::<()>(&sentinel.urls()[0], &["SENTINEL", "FAILOVER", Sentinel::MASTER_NAME]).await;
    let start = Instant::now();
    let new = loop {
        if let Some(new) = sentinel.primary().filter(|primary| *primary != old) {
            break new;
        }
        assert!(start.elapsed() < LONG);
        sleep(Duration::from_millis(20)).await;
    };
    let failed_over = Instant::now();
    let told = heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    assert!(told < failed_over + NOTICE, "{:?}", told.duration_since(failed_over));
    heard.until(|change| *change == Live).await;
    sentinel.wait_until_ready().unwrap();
    heard.settle().await;
    heard.hears(&sentinel.server(new).url(), "8:acs:r_2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_and_a_server_that_is_silent_are_told() {
    let (mut server, store) = single().await;
    let (url, mut heard) = (server.url(), Heard::begin(&store).await);
    ask::<i64>(&url, &["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert_eq!([heard.next().await, heard.next().await], [Lost(LostReason::Disconnected), Live]);
    heard.hears(&url, "8:acs:r_1").await;

    server.pause();
    let paused = Instant::now();
    let told = heard.until(|change| *change == Lost(LostReason::Disconnected)).await;
    assert!(told < paused + NOTICE, "{:?}", told - paused);
    server.resume();
    assert_eq!(heard.next().await, Live);
    heard.hears(&url, "8:acs:r_2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_reads_nothing_lags_and_can_go_on() {
    let (server, store) = single().await;
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    let url = server.url();
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for part in 0..15 {
        let mut pipeline = redis::pipe();
        for n in 0..1000 {
            pipeline.set(record(&format!("8:acs:r_{part}_{n}")), "by hand").ignore();
        }
        pipeline.exec_async(&mut connection).await.unwrap();
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(changes.next().await, Some(Lost(LostReason::Lagged)));
    assert_eq!(timeout(LONG, changes.next()).await.unwrap(), Some(Live));
    // Nothing of what was missed comes after that.
    ask::<()>(&url, &["SET", &record("8:acs:r_later"), "by hand"]).await;
    assert_eq!(timeout(LONG, changes.next()).await.unwrap(), Some(acs("8:acs:r_later")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_piece_of_news_that_is_too_large_hides_nothing_that_comes_after_it() {
    let (server, store) = single().await;
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    // It waits for news, and does not look again until all is there.
    assert!(futures::poll!(changes.next()).is_pending());
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut many = redis::cmd("MSET");
    for n in 0..12_000 {
        many.arg(record(&format!("8:acs:r_{n}"))).arg("by hand");
    }
    many.exec_async(&mut connection).await.unwrap();
    ask::<()>(&server.url(), &["SET", &record("8:acs:r_later"), "by hand"]).await;
    sleep(Duration::from_secs(1)).await;
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(Lost(_))) && !heard.contains(&acs("8:acs:r_later")) {
        heard.push(timeout(LONG, changes.next()).await.expect("neither told nor lost").unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_reads_late_misses_nothing_that_is_kept() {
    let (server, store) = single().await;
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    let mut expected: Vec<AcsId> = (0..5000).map(|n| AcsId::new(format!("8:acs:r_{n}")).unwrap()).collect();
    let client = redis::Client::open(server.url()).unwrap();
    let mut pipeline = redis::pipe();
    for id in &expected {
        pipeline.set(record(id.as_str()), "by hand").ignore();
    }
    pipeline.exec_async(&mut client.get_multiplexed_async_connection().await.unwrap()).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let mut heard = Vec::new();
    for _ in 0..expected.len() {
        match timeout(LONG, changes.next()).await.unwrap().unwrap() {
            Acs(id, None) => heard.push(id),
            other => panic!("{other:?}"),
        }
    }
    heard.sort();
    expected.sort();
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_store_ends_every_subscription() {
    let (mut server, store) = single().await;
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    let closing = {
        let store = store.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(200)).await;
            store.close().await;
        })
    };
    assert_eq!(timeout(NOTICE, changes.next()).await.unwrap(), None);
    // Also for who asks again, and for who begins then.
    assert_eq!(timeout(NOTICE, changes.next()).await.unwrap(), None);
    assert_eq!(timeout(NOTICE, store.changes().next()).await.unwrap(), None);
    closing.await.unwrap();

    // And for who waits for a server that is gone.
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    server.kill();
    assert_eq!(changes.next().await, Some(Lost(LostReason::Disconnected)));
    let waiting = tokio::spawn(async move { changes.next().await });
    sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    store.close().await;
    assert_eq!(timeout(NOTICE, waiting).await.unwrap().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_follow_changes_hears_that_all_may_have_changed() {
    let server = Server::start(Kind::Redis).unwrap();
    let url = server.url();
    ask::<()>(&url, &["ACL", "SETUSER", "app", "on", ">secret", "~acsid:*", "+@all", "-client|tracking"]).await;
    let login = url.replace("redis://", "redis://app:secret@");
    let store = RedisOptions::url(login).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    // Again and again, whatever happens.
    ask::<()>(&url, &["SET", &record("8:acs:r_1"), "by hand"]).await;
    for _ in 0..4 {
        assert_eq!(timeout(NOTICE, changes.next()).await.unwrap(), Some(Change::All));
    }
    // What it may do after a new beginning, it does.
    ask::<()>(&url, &["ACL", "SETUSER", "app", "+client|tracking"]).await;
    ask::<i64>(&url, &["CLIENT", "KILL", "USER", "app"]).await;
    assert_eq!(timeout(NOTICE, changes.next()).await.unwrap(), Some(Lost(LostReason::Disconnected)));
    assert_eq!(timeout(NOTICE, changes.next()).await.unwrap(), Some(Live));
    ask::<()>(&url, &["SET", &record("8:acs:r_1"), "by hand"]).await;
    assert_eq!(timeout(NOTICE, changes.next()).await.unwrap(), Some(acs("8:acs:r_1")));
}
