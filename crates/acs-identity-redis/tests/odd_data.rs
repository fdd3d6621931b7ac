//! Data that somebody else has made, and times that nobody expects.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, ErrorKind, Expect, Imported, Link, Mapping, MappingStore, MappingStoreExt, Resolver, Revision,
    Timestamp,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Server};
use redis::aio::MultiplexedConnection;

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn on_server() -> (Server, RedisStore, MultiplexedConnection) {
    let server = Server::start(Kind::Redis).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    let connection = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    (server, store, connection)
}

#[tokio::test]
async fn a_mapping_of_the_first_microsecond_is_listed() {
    let cluster = Cluster::start().unwrap();
    let (_server, alone, _) = on_server().await;
    for store in [alone, RedisOptions::cluster(cluster.urls()).open().await.unwrap()] {
        let mapping = Mapping::new(id("8:acs:old"), customer("ann"), Revision::new(7), Timestamp::from_micros(0));
        assert_eq!(store.import(std::slice::from_ref(&mapping)).await.remove(0).unwrap(), Imported::Written);
        assert_eq!(store.all_mappings_of(&customer("ann")).await.unwrap(), [mapping]);
    }
}

#[tokio::test]
async fn a_batch_that_meets_a_foreign_key_changes_nothing_and_loses_no_entry() {
    let (_server, store, mut connection) = on_server().await;
    let ids: Vec<AcsId> = (0..20).map(|n| id(&format!("8:acs:r_{n}"))).collect();
    for linked in
        store.link_many(&ids.iter().map(|id| Link::create(id.clone(), customer("old"))).collect::<Vec<_>>()).await
    {
        linked.unwrap();
    }
    for part in 0..16 {
        let key = format!("acsid:default:c:{{}}{part:x}:poisoned");
        let () = redis::cmd("SET").arg(key).arg("mine").query_async(&mut connection).await.unwrap();
    }
    let mut links: Vec<Link> = ids.iter().map(|id| Link::replace(id.clone(), customer("new"))).collect();
    links.push(Link::create(id("8:acs:other"), customer("poisoned")));
    for answer in store.link_many(&links).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for id in &ids {
        assert_eq!(store.resolve(id).await.unwrap().unwrap().customer_id(), &customer("old"));
    }
    assert_eq!(store.all_mappings_of(&customer("old")).await.unwrap().len(), ids.len());
    assert_eq!(store.all_mappings_of(&customer("new")).await.unwrap(), []);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_not_written_over() {
    let (_server, store, mut connection) = on_server().await;
    // A customer that is no UTF-8, with a control character in ASCII and in Unicode, too long, and one that is fine.
    let long = [b'a'; 513];
    for (customer_id, is_legal) in [
        (&b"\xff"[..], false),
        (b"a\nb", false),
        (b"\xc2\x85", false),
        (b"\xed\xa0\x80", false),
        (&long, false),
        ("bób 名 🙂".as_bytes(), true),
    ] {
        let record = [b"\x01\x01\0\0\0\0\0\0\x07", customer_id].concat();
        let () = redis::cmd("SET").arg("acsid:default:m:{}a").arg(&record).query_async(&mut connection).await.unwrap();
        let linked = store.link(Link::replace(id("a"), customer("ann"))).await;
        let unlinked = store.unlink(&id("a"), Expect::Any).await;
        let there: Vec<u8> = redis::cmd("GET").arg("acsid:default:m:{}a").query_async(&mut connection).await.unwrap();
        assert_eq!(
            (linked.is_ok(), unlinked.is_ok(), there == record),
            (is_legal, is_legal, !is_legal),
            "{customer_id:?}"
        );
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_no_record_and_is_not_written_over() {
    let cluster = Cluster::start().unwrap();
    let (_server, alone, at_server) = on_server().await;
    let (key, slot) = ("acsid:default:m:{}8:acs:a", cluster.slot_of("acsid:default:m:{}8:acs:a"));
    let master = cluster.node(cluster.master_of(slot).unwrap()).url();
    let at_master = redis::Client::open(master).unwrap().get_multiplexed_async_connection().await.unwrap();
    let in_cluster = RedisOptions::cluster(cluster.urls()).open().await.unwrap();
    for (store, mut connection) in [(alone, at_server), (in_cluster, at_master)] {
        store.link(Link::create(id("8:acs:b"), customer("ann"))).await.unwrap();
        let () = redis::cmd("RPUSH").arg(key).arg("mine").query_async(&mut connection).await.unwrap();
        let kind = |error: acs_identity_core::Error| error.kind();
        assert_eq!(store.resolve(&id("8:acs:a")).await.map_err(kind), Err(ErrorKind::Corrupt));
        assert_eq!(
            store.link(Link::replace(id("8:acs:a"), customer("ann"))).await.map_err(kind),
            Err(ErrorKind::Corrupt)
        );
        assert_eq!(store.unlink(&id("8:acs:a"), Expect::Any).await.map_err(kind), Err(ErrorKind::Corrupt));
        // Those beside it in a batch are written, be they there already or not.
        let links = ["8:acs:a", "8:acs:b", "8:acs:c"].map(|name| Link::create(id(name), customer("ann")));
        let [a, b, c] = store.link_many(&links).await.try_into().unwrap();
        assert_eq!(a.map_err(kind), Err(ErrorKind::Corrupt));
        assert_eq!((b.unwrap().changed, c.unwrap().changed), (false, true));
        let there: Vec<String> =
            redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query_async(&mut connection).await.unwrap();
        assert_eq!(there, ["mine"]);
    }
}

#[tokio::test]
async fn a_refused_link_does_not_put_off_the_purge_of_what_is_there() {
    let cluster = Cluster::start().unwrap();
    let store = RedisOptions::cluster(cluster.urls()).open().await.unwrap();
    let short = Duration::from_millis(500);
    store.link(Link::create(id("8:acs:a"), customer("ann")).expiring_in(short)).await.unwrap();
    let refused = store.link(Link::create(id("8:acs:a"), customer("bea")).expiring_in(Duration::from_secs(3600))).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    tokio::time::sleep(2 * short).await;
    assert_eq!(store.purge_expired(10).await.unwrap(), 1);
}

#[tokio::test]
async fn a_node_that_gets_a_slot_gets_the_scripts_too() {
    let cluster = Cluster::start().unwrap();
    let store = RedisOptions::cluster(cluster.urls()).open().await.unwrap();
    store.link(Link::create(id("8:acs:a"), customer("ann"))).await.unwrap();
    let slot = cluster.slot_of("acsid:default:m:{}8:acs:a");
    let to = cluster.masters().into_iter().find(|node| cluster.master_of(slot) != Some(*node)).unwrap();
    let migration = cluster.migrate_slot(slot, to).unwrap();
    while migration.move_keys(100).unwrap() > 0 {}
    let mut connection =
        redis::Client::open(cluster.node(to).url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut connection).await.unwrap();
    store.link(Link::replace(id("8:acs:a"), customer("bea"))).await.unwrap();
    assert!(store.unlink(&id("8:acs:a"), Expect::Any).await.unwrap().is_some());
    migration.finish().unwrap();
}

#[tokio::test]
async fn a_part_of_the_index_by_expiry_that_is_something_else_keeps_no_other_from_its_purge() {
    let (_server, store, mut connection) = on_server().await;
    let links = (0..40).map(|n| Link::create(id(&format!("8:acs:r_{n}")), customer("ann")).expiring_in(Duration::ZERO));
    store.link_many(&links.collect::<Vec<_>>()).await.into_iter().for_each(|linked| drop(linked.unwrap()));
    let part: Vec<String> = redis::cmd("KEYS").arg("acsid:default:e:*").query_async(&mut connection).await.unwrap();
    let of_part: usize = redis::cmd("ZCARD").arg(&part[0]).query_async(&mut connection).await.unwrap();
    let () = redis::cmd("SET").arg(&part[0]).arg("somebody else's").query_async(&mut connection).await.unwrap();
    assert_eq!(store.purge_expired(100).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let left: Vec<String> = redis::cmd("KEYS").arg("acsid:default:e:*").query_async(&mut connection).await.unwrap();
    assert_eq!(left, part[..1]);
    let () = redis::cmd("DEL").arg(&part[0]).query_async(&mut connection).await.unwrap();
    store.rebuild_reverse().await.unwrap();
    assert_eq!(store.purge_expired(100).await.unwrap(), of_part as u64);
}
