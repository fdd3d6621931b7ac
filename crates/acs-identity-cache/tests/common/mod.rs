//! Short ways to say what the tests say often.
#![allow(dead_code, unreachable_pub)]

mod source;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::{ReadThrough, ReadThroughBuilder, TableKind};
use acs_identity_core::{
    AcsId, Answer, Answers, Clock, CustomerId, Error, ErrorKind, Freshness, Link, MappingStore, MemoryStore,
    PageRequest, Resolver,
};
use acs_identity_testkit::ManualClock;
pub use source::{RuntimeClock, Source};
use tokio::task::JoinHandle;

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

/// The table of this target's caches: `moka`'s, but where the tests run once more with that of `quick_cache`.
pub fn table() -> TableKind {
    match env!("CARGO_CRATE_NAME") {
        #[cfg(feature = "quick-cache")]
        "with_quick_cache" => TableKind::QuickCache,
        _ => TableKind::Moka,
    }
}

/// A cache over a resolver, with the table of this target.
pub fn builder_for<R: Resolver + 'static>(source: R) -> ReadThroughBuilder<R> {
    ReadThrough::builder(source).table(table())
}

/// A cache over a store, both on a clock that stands still; without jitter.
pub fn on_manual_clock<W>(wrap: impl FnOnce(MemoryStore) -> W) -> (ReadThrough<Arc<W>>, Arc<W>, ManualClock)
where
    W: Resolver + 'static,
{
    let clock = ManualClock::new();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let store = Arc::new(wrap(MemoryStore::with_clock(shared.clone())));
    let cached = builder_for(store.clone())
        .clock(shared)
        .jitter(0.0)
        .lifetime(Duration::from_secs(100))
        .absent_lifetime(Duration::from_secs(10))
        .write_deadline(Duration::from_secs(30))
        .build();
    (cached, store, clock)
}

/// A cache over a source, both by the runtime's time, which is to be paused; without jitter.
pub fn on_runtime_clock(source: &Arc<Source>) -> ReadThroughBuilder<Arc<Source>> {
    builder_for(source.clone())
        .clock(Arc::new(RuntimeClock::new()))
        .jitter(0.0)
        .lifetime(Duration::from_secs(100))
        .absent_lifetime(Duration::from_secs(100))
}

/// Lets everything happen that can happen without time. Only in a runtime whose time is paused: it goes on when there is nothing else to do.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Waits until it is so, by the time of the real world.
pub async fn until(so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never is");
        tokio::task::yield_now().await;
    }
}

/// Asks in a task of its own.
pub fn asking<R: Resolver + 'static>(cached: &ReadThrough<R>, acs_id: &str) -> JoinHandle<Answer> {
    let (cached, id) = (cached.clone(), id(acs_id));
    tokio::spawn(async move { cached.resolve(&id).await })
}

/// Asks for several in a task of its own.
pub fn asking_for<R: Resolver + 'static>(cached: &ReadThrough<R>, acs_ids: &[&str]) -> JoinHandle<Answers> {
    let (cached, ids) = (cached.clone(), ids(acs_ids));
    tokio::spawn(async move { cached.resolve_many(&ids).await })
}

pub fn ids(texts: &[&str]) -> Vec<AcsId> {
    texts.iter().map(|text| id(text)).collect()
}

/// The customer of an answer, or the kind of its error.
pub fn said(answer: &Answer) -> Result<Option<&str>, ErrorKind> {
    let found = answer.as_ref().map_err(Error::kind)?;
    Ok(found.as_ref().map(|found| found.customer_id().as_str()))
}

/// How old an answer says that it is; `None` of a fresh one.
pub fn age(answer: &Answer) -> Option<Duration> {
    let found = answer.as_ref().expect("an answer").as_ref().expect("a customer");
    match found.freshness() {
        Freshness::Stale { age } => Some(age),
        _ => None,
    }
}
