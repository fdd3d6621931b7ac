//! Short ways to say what the tests say often.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{AcsId, Clock, CustomerId, Link, MappingStore, MemoryStore, PageRequest, Resolver};
use acs_identity_testkit::ManualClock;

pub fn id(text: &str) -> AcsId {
    AcsId::new(text).expect("a legal ACS ID")
}

pub fn customer(text: &str) -> CustomerId {
    CustomerId::new(text).expect("a legal customer ID")
}

/// Links whatever is there.
pub async fn link(store: &impl MappingStore, acs_id: &str, to: &str) {
    store.link(Link::replace(id(acs_id), customer(to))).await.expect("a link");
}

/// The customer behind an ACS ID.
pub async fn who(resolver: &impl Resolver, acs_id: &str) -> Option<String> {
    let found = resolver.resolve(&id(acs_id)).await.expect("an answer");
    found.map(|resolution| resolution.customer_id().as_str().to_owned())
}

/// The ACS IDs of a customer.
pub async fn ids_of(store: &impl MappingStore, of: &str) -> Vec<String> {
    let page = store.mappings_of(&customer(of), PageRequest::default()).await.expect("a page");
    page.items.iter().map(|mapping| mapping.acs_id.as_str().to_owned()).collect()
}

/// A cache over a store, both on a clock that stands still; without jitter.
pub fn on_manual_clock<W>(wrap: impl FnOnce(MemoryStore) -> W) -> (ReadThrough<Arc<W>>, Arc<W>, ManualClock)
where
    W: Resolver + 'static,
{
    let clock = ManualClock::new();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let store = Arc::new(wrap(MemoryStore::with_clock(shared.clone())));
    let cached = ReadThrough::builder(store.clone())
        .clock(shared)
        .jitter(0.0)
        .lifetime(Duration::from_secs(100))
        .absent_lifetime(Duration::from_secs(10))
        .write_deadline(Duration::from_secs(30))
        .build();
    (cached, store, clock)
}
