//! A server that takes no writes says why, and the caller is told; nothing is changed, and lookups go on.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, ErrorKind, Expect, Link, MappingStore, MappingStoreExt, Namespace, Resolver, Revision,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Server};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn set(connection: &mut MultiplexedConnection, setting: &str, value: &str) {
    cmd("CONFIG").arg("SET").arg(setting).arg(value).exec_async(connection).await.unwrap();
}

/// A server on which `ann` has an ACS ID.
async fn opened() -> (Server, RedisStore, MultiplexedConnection) {
    let server = Server::start(Kind::Redis).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    store.link(Link::create(id("8:acs:a"), customer("ann"))).await.unwrap();
    let connection = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    (server, store, connection)
}

async fn writes_are_refused(store: &RedisStore, why: &str) {
    let links = [Link::create(id("8:acs:b"), customer("bea")), Link::replace(id("8:acs:a"), customer("bea"))];
    let mut errors = vec![store.unlink(&id("8:acs:a"), Expect::Any).await.unwrap_err()];
    errors.extend(store.link_many(&links).await.into_iter().map(Result::unwrap_err));
    for link in links {
        errors.push(store.link(link).await.unwrap_err());
    }
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_transient() && error.to_string().contains(why), "{error}");
    }
    assert_eq!(store.resolve(&id("8:acs:a")).await.unwrap().unwrap().customer_id(), &customer("ann"));
    assert!(store.resolve(&id("8:acs:b")).await.unwrap().is_none());
    assert_eq!(store.all_mappings_of(&customer("ann")).await.unwrap().len(), 1);
    assert_eq!(store.all_mappings_of(&customer("bea")).await.unwrap(), []);
}

async fn writes_are_taken(store: &RedisStore) {
    assert!(store.link(Link::create(id("8:acs:c"), customer("cleo"))).await.unwrap().changed);
}

#[tokio::test]
async fn a_server_without_memory_is_told() {
    let (_server, store, mut connection) = opened().await;
    set(&mut connection, "maxmemory", "1").await;
    writes_are_refused(&store, "no memory left").await;
    set(&mut connection, "maxmemory", "0").await;
    writes_are_taken(&store).await;
}

#[tokio::test]
async fn a_server_with_too_few_replicas_is_told() {
    let (_server, store, mut connection) = opened().await;
    set(&mut connection, "min-replicas-to-write", "1").await;
    writes_are_refused(&store, "too few replicas").await;
    set(&mut connection, "min-replicas-to-write", "0").await;
    writes_are_taken(&store).await;
}

#[tokio::test]
async fn what_was_not_done_is_told_from_what_no_replica_has() {
    let (server, _, mut connection) = opened().await;
    let options = RedisOptions::url(server.url()).replica_acknowledgements(1, Duration::from_millis(10));
    let store = options.open().await.unwrap();
    // Of a batch, the first hundred have to do with an index that is none; the others are in a script of their own.
    for part in 0..16 {
        set_key(&mut connection, &format!("acsid:default:c:{{}}{part:x}:poisoned")).await;
    }
    let link = |n: usize| Link::create(id(&format!("8:acs:r_{n}")), customer(if n < 100 { "poisoned" } else { "bea" }));
    let links: Vec<Link> = (0..150).map(link).collect();
    for (n, linked) in store.link_many(&links).await.into_iter().enumerate() {
        let expected = if n < 100 { ErrorKind::Corrupt } else { ErrorKind::OutcomeUnknown };
        assert_eq!(linked.unwrap_err().kind(), expected, "{n}");
    }
    assert!(store.resolve(&id("8:acs:r_0")).await.unwrap().is_none());
    assert!(store.resolve(&id("8:acs:r_100")).await.unwrap().is_some());
}

async fn set_key(connection: &mut MultiplexedConnection, key: &str) {
    cmd("SET").arg(key).arg("somebody else's").exec_async(connection).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_save_is_told() {
    let (_server, store, mut connection) = opened().await;
    let setting = async |connection: &mut MultiplexedConnection, name| {
        let found: RedisResult<Vec<String>> = cmd("CONFIG").arg("GET").arg(name).query_async(connection).await;
        found.unwrap().pop().unwrap()
    };
    // A folder in the place of the file.
    let place = std::path::PathBuf::from(setting(&mut connection, "dir").await);
    let file = place.join(setting(&mut connection, "dbfilename").await);
    let _ = std::fs::remove_file(&file);
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    set(&mut connection, "stop-writes-on-bgsave-error", "yes").await;
    set(&mut connection, "save", "3600 1000000").await;
    cmd("BGSAVE").exec_async(&mut connection).await.unwrap();
    let saved = async |connection: &mut MultiplexedConnection| {
        let info: String = cmd("INFO").arg("persistence").query_async(connection).await.unwrap();
        !info.contains("rdb_last_bgsave_status:err")
    };
    while saved(&mut connection).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writes_are_refused(&store, "cannot write to its disk").await;
    set(&mut connection, "stop-writes-on-bgsave-error", "no").await;
    writes_are_taken(&store).await;
}

#[tokio::test]
async fn in_a_cluster_nothing_is_written_whose_index_too_few_replicas_have() {
    let cluster = Cluster::start().unwrap();
    let options = RedisOptions::cluster(cluster.urls());
    let link = || Link::create(id("8:acs:a"), customer("ann"));
    // Each master has one.
    let store = options.clone().replica_acknowledgements(2, Duration::from_millis(30)).open().await.unwrap();
    let error = store.link(link()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("too few replicas") && error.to_string().contains("nothing is written"));
    assert!(store.resolve(&id("8:acs:a")).await.unwrap().is_none());

    let store = options.replica_acknowledgements(1, Duration::from_secs(1)).open().await.unwrap();
    // Until each of them has the scripts.
    let others: Vec<Link> = (0..40).map(|n| Link::create(id(&format!("8:acs:r_{n}")), customer("cleo"))).collect();
    assert!(store.link_many(&others).await.iter().all(Result::is_ok));
    let waits = || -> u64 { (0..6).map(|node| waits(&cluster.node(node).url())).sum() };
    let mut before = waits();
    let mut took = || {
        let now = waits();
        std::mem::replace(&mut before, now).abs_diff(now)
    };
    // For the entry and for the record; not for what is taken away then.
    store.link(link()).await.unwrap();
    assert_eq!(took(), 2);
    store.link(Link::replace(id("8:acs:a"), customer("bea")).expiring_in(Duration::from_secs(3600))).await.unwrap();
    assert!(took() <= 3, "there is an index by expiry, too");
    // An entry without a record is taken out by who meets it.
    let index = by_hand::ByHand::new(vec![], &Namespace::default()).index("8:acs:none", "ann");
    let master = cluster.node(cluster.master_of(cluster.slot_of(&index)).unwrap()).url();
    let mut connection = redis::Client::open(master).unwrap().get_multiplexed_async_connection().await.unwrap();
    cmd("ZADD").arg(&index).arg(1).arg("8:acs:none").exec_async(&mut connection).await.unwrap();
    assert_eq!(store.all_mappings_of(&customer("ann")).await.unwrap(), []);
    let left: u64 = cmd("EXISTS").arg(&index).query_async(&mut connection).await.unwrap();
    assert_eq!((left, took()), (0, 0));
}

/// How often a server was asked to wait for its replicas.
fn waits(url: &str) -> u64 {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let info: String = cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls="));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_conflict_is_told_although_no_replica_acknowledges_it() {
    let server = Server::start(Kind::Redis).unwrap();
    let one = RedisOptions::url(server.url());
    for options in [one, RedisOptions::cluster(acs_identity_servers::cluster_urls())] {
        let namespace = Namespace::new(&format!("unheard-{}", std::process::id())).unwrap();
        let options = options.namespace(namespace);
        let store = options.clone().open().await.unwrap();
        store.link(Link::create(id("8:acs:a"), customer("ann"))).await.unwrap();
        // Nobody has so many replicas. In a cluster the entry in bea's index comes first, and is refused.
        let store = options.replica_acknowledgements(5, Duration::from_millis(10)).open().await.unwrap();
        let conflict = store.link(Link::create(id("8:acs:a"), customer("bea"))).await;
        let unlinked = store.unlink(&id("8:acs:a"), Expect::Revision(Revision::new(1))).await;
        let unlinked = unlinked.unwrap_err();
        assert_eq!(unlinked.kind(), ErrorKind::Conflict, "{unlinked}");
        let conflict = conflict.unwrap_err().kind();
        assert!([ErrorKind::Conflict, ErrorKind::Unavailable].contains(&conflict), "{conflict:?}");
        // What is there is not known to stay.
        let again = store.link(Link::create(id("8:acs:a"), customer("ann"))).await.unwrap_err().kind();
        assert!([ErrorKind::OutcomeUnknown, ErrorKind::Unavailable].contains(&again), "{again:?}");
    }
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_told_and_not_that_a_write_may_have_been_done() {
    let (server, _, mut connection) = opened().await;
    let options = RedisOptions::url(server.url()).call_deadline(Duration::from_millis(700));
    let store = options.open().await.unwrap();
    cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec_async(&mut connection).await.unwrap();
    for _ in 0..4 {
        let error = store.link(Link::replace(id("8:acs:a"), customer("bea"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("replica"), "{error}");
    }
}
