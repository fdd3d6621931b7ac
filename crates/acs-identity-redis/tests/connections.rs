//! Which connections are made, and when one is given up for another.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use acs_identity_core::Change::Live;
use acs_identity_core::{AcsId, ChangeFeed, CustomerId, Link, MappingStore, Resolver};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Sentinel, Server, cluster_urls, url};
use futures::StreamExt;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn ann() -> CustomerId {
    "ann".parse().unwrap()
}

fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
}

/// How many connections a server has taken.
fn taken(url: &str) -> u64 {
    let info: String = ask(url, &["INFO", "stats"]);
    let count = info.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
    count.trim().parse().unwrap()
}

/// Follows the changes for a while, in which the servers are looked at again and again; and says how many connections each
/// of them has taken meanwhile, that of who asks included.
async fn taken_while_followed(store: &RedisStore, urls: &[String]) -> Vec<u64> {
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Live));
    let next = async |changes: &mut futures::stream::BoxStream<'static, _>| {
        let change = timeout(Duration::from_secs(1), changes.next()).await;
        assert!(change.is_err(), "{change:?}");
    };
    next(&mut changes).await;
    let before: Vec<u64> = urls.iter().map(|url| taken(url)).collect();
    for _ in 0..3 {
        next(&mut changes).await;
    }
    urls.iter().zip(before).map(|(url, before)| taken(url) - before).collect()
}

/// An address that leads to a server, and for new connections to another one once it has changed; as names do.
async fn address(server: Arc<AtomicU16>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = server.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_becomes_a_replica_is_left_for_the_one_that_its_name_leads_to_by_then() {
    let [old, new] = [(); 2].map(|()| Server::start(Kind::Redis).unwrap());
    let server = Arc::new(AtomicU16::new(old.port()));
    let store = RedisOptions::url(address(server.clone()).await).open().await.unwrap();
    store.link(Link::create(id("8:acs:a"), ann())).await.unwrap();
    // The connections to it stay as they are.
    ask::<()>(&old.url(), &["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    server.store(new.port(), Ordering::SeqCst);
    store.link(Link::create(id("8:acs:b"), ann())).await.unwrap();
    assert_eq!(ask::<u64>(&new.url(), &["EXISTS", "acsid:default:m:{}8:acs:b"]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_asked_again_and_again_are_connected_to_once() {
    let cluster = Cluster::start().unwrap();
    // Among them replicas, and a name for an address.
    let mut seeds = cluster.urls();
    seeds[0] = seeds[0].replace("127.0.0.1", "localhost");
    let store = RedisOptions::cluster(seeds).open().await.unwrap();
    let taken = taken_while_followed(&store, &cluster.urls()).await;
    assert!(taken.iter().all(|taken| *taken <= 2), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_are_asked_again_and_again_are_connected_to_once() {
    let sentinel = Sentinel::start().unwrap();
    let options = RedisOptions::sentinel("redis://primary", Sentinel::MASTER_NAME, sentinel.urls());
    let taken = taken_while_followed(&options.open().await.unwrap(), &sentinel.urls()).await;
    assert!(taken.iter().all(|taken| *taken <= 2), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_new_and_gets_a_slot_is_connected_to_once() {
    let cluster = Cluster::start().unwrap();
    let store = RedisOptions::cluster(cluster.urls()).open().await.unwrap();
    store.link(Link::create(id("8:acs:a"), ann())).await.unwrap();
    // A replica becomes a master, without slots.
    let (new, known) = (cluster.node(5).url(), cluster.node(0).port());
    ask::<()>(&new, &["CLUSTER", "RESET", "SOFT"]);
    ask::<()>(&new, &["CLUSTER", "MEET", "127.0.0.1", &known.to_string(), &(known - 5000).to_string()]);
    // It knows who has the slot before it gets it; afterwards it would not be told any more.
    cluster.wait_until_ready().unwrap();
    let migration = cluster.migrate_slot(cluster.slot_of("acsid:default:m:{}8:acs:a"), 5).unwrap();
    assert_eq!(migration.move_keys(10).unwrap(), 1);
    assert!(store.resolve(&id("8:acs:a")).await.unwrap().is_some());
    let before = taken(&new);
    for _ in 0..20 {
        assert!(store.resolve(&id("8:acs:a")).await.unwrap().is_some());
    }
    let taken = taken(&new) - before;
    assert!(taken <= 3, "{taken}");
    migration.finish().unwrap();
    assert!(store.resolve(&id("8:acs:a")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_fails_its_own_ids_alone() {
    // It is missed long after the test.
    let mut cluster = Cluster::start_with(&[("cluster-node-timeout", "60000")]).unwrap();
    let options = RedisOptions::cluster(cluster.urls()).call_deadline(Duration::from_secs(2));
    let store = options.open().await.unwrap();
    let dead = 1;
    let links: Vec<Link> = (0..150).map(|n| Link::create(id(&format!("8:acs:r_{n}")), ann())).collect();
    let is_on_dead = |link: &Link| {
        let id = link.acs_id.as_str();
        let index = by_hand::ByHand::new(vec![], &acs_identity_core::Namespace::default()).index(id, "ann");
        let keys = [format!("acsid:default:m:{{}}{id}"), index];
        keys.iter().any(|key| cluster.master_of(by_hand::ByHand::slot(key)) == Some(dead))
    };
    let expected: Vec<bool> = links.iter().map(|link| !is_on_dead(link)).collect();
    assert!(expected.iter().any(|done| *done) && !expected.iter().all(|done| *done));
    cluster.kill(dead);
    let answers = store.link_many(&links).await;
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, expected);
    let ids: Vec<AcsId> = links.into_iter().map(|link| link.acs_id).collect();
    let found = store.resolve_many(&ids).await;
    for (n, found) in found.iter().enumerate() {
        assert!(!expected[n] || found.as_ref().unwrap().is_some(), "{n}");
    }
}

#[tokio::test]
async fn the_longest_timeouts_that_can_be_written_are_as_good_as_others() {
    for options in [RedisOptions::url(url(Kind::Redis)), RedisOptions::cluster(cluster_urls())] {
        let longest = Duration::MAX;
        let options = options.connect_timeout(longest).response_timeout(longest).call_deadline(longest);
        options.open().await.unwrap().ping().await.unwrap();
    }
}
