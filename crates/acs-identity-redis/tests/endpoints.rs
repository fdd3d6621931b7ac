//! A cluster whose nodes do not say their hosts: each is on the host that was asked.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Link, MappingStore, Resolver};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_on_its_way_is_followed_to_a_node_that_is_not_named() {
    let cluster = Cluster::start_with(&[("cluster-preferred-endpoint-type", "unknown-endpoint")]).unwrap();
    let options = RedisOptions::cluster(cluster.urls()).call_deadline(Duration::from_secs(3));
    let store = options.open().await.unwrap();
    let (id, ann): (AcsId, CustomerId) = ("8:acs:r_1".parse().unwrap(), "ann".parse().unwrap());
    store.link(Link::create(id.clone(), ann.clone())).await.unwrap();
    let key = "acsid:default:m:{}8:acs:r_1";
    let slot = cluster.slot_of(key);
    let from = cluster.master_of(slot).unwrap();
    let to = cluster.masters().into_iter().find(|node| *node != from).unwrap();
    let migration = cluster.migrate_slot(slot, to).unwrap();
    assert_eq!(migration.move_keys(10).unwrap(), 1);
    let mut connection = redis::Client::open(cluster.node(from).url()).unwrap().get_connection().unwrap();
    let asked = redis::cmd("GET").arg(key).exec(&mut connection).unwrap_err();
    assert!(asked.redirect_node().unwrap().0.starts_with(':'), "{asked}");
    assert_eq!(store.resolve(&id).await.unwrap().unwrap().customer_id(), &ann);
    assert!(store.link(Link::replace(id.clone(), "bea".parse().unwrap())).await.unwrap().changed);
    migration.finish().unwrap();
    assert_eq!(store.resolve(&id).await.unwrap().unwrap().customer_id().as_str(), "bea");
}
