//! A customer's list, while it is being read.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use acs_identity_core::{AcsId, Mapping, MappingStore, Namespace, PageRequest, Revision, Timestamp};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Kind, Server};
use by_hand::ByHand;
use redis::cmd;

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_away_from_among_mappings_of_one_moment_hides_no_other() {
    let server = Server::start(Kind::Redis).unwrap();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).unwrap();
    let by_hand = ByHand::new(vec![server.url()], &Namespace::default());
    let store = RedisOptions::url(proxy.url(&server.url())).open().await.unwrap();
    // All in one part.
    let part = by_hand.index("8:acs:r_0", "ann");
    let ids: Vec<AcsId> = (0..1000)
        .map(|n| format!("8:acs:r_{n}"))
        .filter(|id| by_hand.index(id, "ann") == part)
        .map(|id| AcsId::new(id).unwrap())
        .collect();
    let mapping = |id: &AcsId| {
        Mapping::new(id.clone(), "ann".parse().unwrap(), Revision::new(1 << 50), Timestamp::from_micros(7))
    };
    let mut mappings: Vec<Mapping> = ids[..12].iter().map(mapping).collect();
    store.import(&mappings).await.into_iter().for_each(|imported| assert!(imported.is_ok()));
    mappings.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
    let page = PageRequest::first(6).unwrap();
    let first = store.mappings_of(&"ann".parse().unwrap(), page.clone()).await.unwrap();
    assert_eq!(first.items, mappings[..6]);

    // Half a second there, and half back. The first answer holds none that is to come, so more are asked for; meanwhile one of those that
    // were shown goes.
    proxy.delay(Duration::from_millis(500));
    let going = {
        let gone = mappings[0].acs_id.clone();
        tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(900));
            by_hand.run::<u64>(cmd("ZREM").arg(part).arg(gone.as_str()))
        })
    };
    let second = store.mappings_of(&"ann".parse().unwrap(), page.after(first.next.unwrap())).await.unwrap();
    assert_eq!(going.await.unwrap(), 1);
    assert_eq!(second.items, mappings[6..]);
}
