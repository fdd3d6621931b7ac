//! A customer's mappings are unlinked whatever clock they were created by.
#![allow(clippy::unwrap_used)]

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acs_identity_core::{
    AcsId, CustomerId, Imported, Link, Mapping, MappingStore, MappingStoreExt, Namespace, Revision, Timestamp,
};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Kind, cluster_urls, url};

/// More than are unlinked at once.
const MANY: u64 = 700;

fn acs(n: u64) -> AcsId {
    AcsId::new(format!("8:acs:r_{n}")).unwrap()
}

async fn what_is_of_a_later_time_than_the_servers_is_unlinked(options: RedisOptions) {
    let namespace = Namespace::new(&format!("erased-{:016x}", RandomState::new().hash_one(0))).unwrap();
    let store = options.namespace(namespace).open().await.unwrap();
    let (ann, bea): (CustomerId, CustomerId) = ("ann".parse().unwrap(), "bea".parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Several of one moment, some of others, and one of now.
    let later = |n: u64| {
        let after = Duration::from_secs(60 + if n.is_multiple_of(3) { n } else { 5 });
        let created_at = (now + after).as_micros() as u64;
        Mapping::new(acs(n), ann.clone(), Revision::new(created_at), Timestamp::from_micros(created_at))
    };
    let imported: Vec<Mapping> = (1..MANY).map(later).collect();
    for answer in store.import(&imported).await {
        assert_eq!(answer.unwrap(), Imported::Written);
    }
    store.link(Link::create(acs(MANY), ann.clone())).await.unwrap();
    store.link(Link::create(acs(MANY + 1), bea.clone())).await.unwrap();
    assert_eq!(store.unlink_customer(&ann).await.unwrap(), MANY);
    assert!(store.all_mappings_of(&ann).await.unwrap().is_empty());
    assert_eq!(store.all_mappings_of(&bea).await.unwrap().len(), 1);
    assert_eq!(store.unlink_customer(&ann).await.unwrap(), 0);
}

#[tokio::test]
async fn on_one_server_what_is_of_a_later_time_is_unlinked() {
    what_is_of_a_later_time_than_the_servers_is_unlinked(RedisOptions::url(url(Kind::Redis))).await;
}

#[tokio::test]
async fn in_a_cluster_what_is_of_a_later_time_is_unlinked() {
    what_is_of_a_later_time_than_the_servers_is_unlinked(RedisOptions::cluster(cluster_urls())).await;
}
