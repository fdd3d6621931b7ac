//! How soon all is well again.

use std::thread;
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Link, MappingStore, Resolver, Result};
use acs_identity_redis::RedisStore;
use redis::cmd;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::by_hand::ByHand;

/// Three times what is promised, since the machine may have other things to do.
pub(crate) const RECOVERY: Duration = Duration::from_secs(3 * 2);

/// How many keys are tried: so many that no node of a cluster is without one.
const KEYS: usize = 40;

/// Waits until the store serves, and says how much longer that took than until the servers did.
pub(crate) async fn recovery(store: &RedisStore, by_hand: ByHand) -> Duration {
    let served = served(by_hand);
    let recovered = recovered(store).await;
    recovered.saturating_duration_since(served.await.unwrap())
}

/// Tries until the servers serve, wherever a key is.
pub(crate) fn served(by_hand: ByHand) -> JoinHandle<Instant> {
    let by_hand = by_hand.with_patience(Duration::from_millis(100));
    tokio::task::spawn_blocking(move || {
        while !(0..KEYS).all(|n| by_hand.ask::<()>(cmd("SET").arg(format!("probe:{n}")).arg("x")).is_ok()) {
            thread::sleep(Duration::from_millis(10));
        }
        Instant::now()
    })
}

/// Waits until every call succeeds, wherever its key is.
pub(crate) async fn recovered(store: &RedisStore) -> Instant {
    let ids: Vec<AcsId> = (0..KEYS).map(|n| AcsId::new(format!("8:acs:probe_{n}")).unwrap()).collect();
    let links: Vec<Link> = ids.iter().map(|id| Link::replace(id.clone(), CustomerId::new("probe").unwrap())).collect();
    let start = Instant::now();
    loop {
        let written = store.link_many(&links).await.into_iter().try_for_each(|answer| answer.map(drop));
        let read: Result<()> = store.resolve_many(&ids).await.iter().try_for_each(|answer| answer.clone().map(drop));
        match written.and(read) {
            Ok(()) => return Instant::now(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "it never recovers: {error}"),
        }
    }
}
