//! A listing ends with an error where something may be missing from it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use acs_identity_core::{ErrorKind, Link, MappingStore, MappingStoreExt, PageRequest};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Server};
use futures::TryStreamExt;

const MAPPINGS: usize = 300;

async fn fill(store: &RedisStore) {
    let links: Vec<Link> =
        (0..MAPPINGS).map(|n| Link::create(format!("8:acs:r_{n}").parse().unwrap(), "ann".parse().unwrap())).collect();
    for linked in store.link_many(&links).await {
        linked.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_goes_to_another_node_between_two_pages_ends_the_listing() {
    let cluster = Cluster::start().unwrap();
    let store = RedisOptions::cluster(cluster.urls()).open().await.unwrap();
    fill(&store).await;
    let all: Vec<_> = store.scan_all().try_collect().await.unwrap();
    assert_eq!(all.len(), MAPPINGS);

    // From a node that is listed late to one that is listed early, and the other way round.
    let mut by_port: Vec<usize> = cluster.masters();
    by_port.sort_by_key(|node| cluster.node(*node).port());
    // Some slots of a third of all.
    let slots_of = |node: usize| {
        let first = [100, 5600, 11100].into_iter().find(|slot| cluster.master_of(*slot) == Some(node)).unwrap();
        first..first + 40
    };
    for (from, to) in [(by_port[2], by_port[0]), (by_port[0], by_port[2])] {
        let first = store.scan(PageRequest::first(20).unwrap()).await.unwrap();
        for slot in slots_of(from) {
            let migration = cluster.migrate_slot(slot, to).unwrap();
            migration.finish().unwrap();
        }
        let mut next = first.next;
        let ended = loop {
            let Some(cursor) = next else { break Ok(()) };
            match store.scan(PageRequest::first(20).unwrap().after(cursor)).await {
                Ok(page) => next = page.next,
                Err(error) => break Err(error),
            }
        };
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("begin anew"), "{error}");
        let all: Vec<_> = store.scan_all().try_collect().await.unwrap();
        assert_eq!(all.len(), MAPPINGS, "a new listing is whole");
    }
}

#[tokio::test]
async fn a_server_that_was_started_again_ends_the_listing() {
    // Synced each time: with `everysec` a killed server may lose what it has acknowledged while the disk is slow.
    let mut server = Server::start_with(Kind::Redis, &[("appendonly", "yes"), ("appendfsync", "always")]).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    fill(&store).await;
    let first = store.scan(PageRequest::first(20).unwrap()).await.unwrap();
    server.kill();
    server.restart().unwrap();
    let second = store.scan(PageRequest::first(20).unwrap().after(first.next.unwrap())).await;
    assert!(second.unwrap_err().to_string().contains("begin anew"));
    let all: Vec<_> = store.scan_all().try_collect().await.unwrap();
    assert_eq!(all.len(), MAPPINGS);
}

/// The server's table shrinks then, and what it lists in one step changes.
#[tokio::test]
async fn what_stays_is_listed_while_much_else_goes_away() {
    let server = Server::start(Kind::Redis).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    for limit in [3, 20, 100] {
        fill(&store).await;
        let going: Vec<String> = (0..6000).map(|n| format!("acsid:default:m:{{}}8:acs:going_{n}")).collect();
        for key in &going {
            // A tombstone.
            let () =
                redis::cmd("SET").arg(key).arg(b"\x01\0\0\0\0\0\0\0\x01").query_async(&mut connection).await.unwrap();
        }
        let (mut listed, mut request) = (BTreeSet::new(), PageRequest::first(limit).unwrap());
        let mut going = going.chunks(20);
        loop {
            let page = store.scan(request.clone()).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            listed.extend(page.items.into_iter().map(|mapping| mapping.acs_id));
            let Some(cursor) = page.next else { break };
            request = request.after(cursor);
            if let Some(keys) = going.next() {
                let _: u32 = redis::cmd("DEL").arg(keys).query_async(&mut connection).await.unwrap();
            }
        }
        assert_eq!(listed.len(), MAPPINGS, "in pages of {limit}");
        let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    }
}
