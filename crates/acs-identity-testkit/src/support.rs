//! What several checks need.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Capability, CustomerId, Error, Expect, Link, Mapping, MappingStore, MappingStoreExt, Namespace, PageRequest,
    Result, Revision, Timestamp,
};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep, timeout};

use crate::{Faults, Fixture, NotApplicable, Verdict};

/// A namespace that no other check uses.
pub(crate) fn namespace(check: &str) -> Namespace {
    let random = RandomState::new().hash_one(check);
    Namespace::new(&format!("{check}-{random:016x}")).expect("a legal namespace")
}

pub(crate) fn acs(text: impl AsRef<str>) -> AcsId {
    AcsId::new(text.as_ref()).expect("a legal ACS ID")
}

pub(crate) fn customer(text: impl AsRef<str>) -> CustomerId {
    CustomerId::new(text.as_ref()).expect("a legal customer ID")
}

pub(crate) fn create(id: &str, to: &str) -> Link {
    Link::create(acs(id), customer(to))
}

pub(crate) fn replace(id: &str, to: &str) -> Link {
    Link::replace(acs(id), customer(to))
}

/// Who `resolve` says is behind an ACS ID.
pub(crate) async fn customer_of(store: &dyn MappingStore, id: &str) -> Option<String> {
    let answer = store.resolve(&acs(id)).await;
    answer.expect("resolve").map(|found| found.customer_id().as_str().to_owned())
}

/// What `mappings_of` says are the ACS IDs of a customer.
pub(crate) async fn ids_of(store: &dyn MappingStore, of: &str) -> Vec<String> {
    let mappings = store.all_mappings_of(&customer(of)).await.expect("mappings_of");
    mappings.iter().map(|mapping| mapping.acs_id.as_str().to_owned()).collect()
}

/// What a scan in large pages lists, by ACS ID.
pub(crate) async fn scanned(store: &dyn MappingStore) -> Vec<Mapping> {
    let mut all: Vec<Mapping> = store.scan_all().try_collect().await.expect("scan");
    all.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
    all
}

/// The first contradiction between the two directions, if there is one.
pub(crate) async fn disagreement(store: &dyn MappingStore, ids: &[&str], customers: &[&str]) -> Option<String> {
    for of in customers {
        let listed = ids_of(store, of).await;
        for id in ids {
            let forward = customer_of(store, id).await;
            let times = listed.iter().filter(|listed| listed == id).count();
            if times != usize::from(forward.as_deref() == Some(of)) {
                return Some(format!("resolve({id}) is {forward:?}, and mappings_of({of}) lists it {times} times"));
            }
        }
    }
    None
}

/// Every call of a store, each on the ACS ID and the customer of a link.
pub(crate) fn every_call<'a>(
    store: &'a dyn MappingStore,
    link: &'a Link,
) -> Vec<(&'static str, BoxFuture<'a, Result<()>>)> {
    fn all<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<()> {
        results.into_iter().try_for_each(|result| result.map(drop))
    }
    let (id, customer, links) = (&link.acs_id, &link.customer_id, std::slice::from_ref(link));
    let mapping = Mapping::new(id.clone(), customer.clone(), Revision::new(1), Timestamp::from_micros(1));
    vec![
        ("resolve", Box::pin(async move { store.resolve(id).await.map(drop) })),
        ("resolve_many", Box::pin(async move { all(store.resolve_many(std::slice::from_ref(id)).await) })),
        ("link", Box::pin(async move { store.link(link.clone()).await.map(drop) })),
        ("link_many", Box::pin(async move { all(store.link_many(links).await) })),
        ("import", Box::pin(async move { all(store.import(&[mapping]).await) })),
        ("unlink", Box::pin(async move { store.unlink(id, Expect::Any).await.map(drop) })),
        ("unlink_customer", Box::pin(async move { store.unlink_customer(customer).await.map(drop) })),
        ("mappings_of", Box::pin(async move { store.mappings_of(customer, PageRequest::default()).await.map(drop) })),
        ("scan", Box::pin(async move { store.scan(PageRequest::default()).await.map(drop) })),
        ("purge_expired", Box::pin(async move { store.purge_expired(1).await.map(drop) })),
        ("ping", Box::pin(store.ping())),
    ]
}

/// Runs so many tasks that begin at one moment, and answers with what each made, in order.
pub(crate) async fn at_once<T, F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let running: Vec<_> = (0..tasks)
        .map(|number| {
            let (start, task) = (start.clone(), task(number));
            tokio::spawn(async move {
                start.wait().await;
                task.await
            })
        })
        .collect();
    let mut made = Vec::with_capacity(tasks);
    for task in running {
        made.push(joined(task.await));
    }
    made
}

/// What a task made; its panic goes on here.
pub(crate) fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(made) => made,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(error) => panic!("a task ended early: {error}"),
        },
    }
}

/// Waits for something that must come within the fixture's patience.
pub(crate) async fn within<T>(fixture: &dyn Fixture, what: &str, future: impl Future<Output = T>) -> T {
    match timeout(fixture.patience(), future).await {
        Ok(made) => made,
        Err(_) => panic!("{what} took longer than {:?}", fixture.patience()),
    }
}

/// Asks again and again until nothing is wrong any more, for as long as the fixture's patience lasts.
pub(crate) async fn eventually<F: Future<Output = Option<String>>>(fixture: &dyn Fixture, wrong: impl Fn() -> F) {
    let start = Instant::now();
    while let Some(what) = wrong().await {
        assert!(start.elapsed() < fixture.patience(), "still after {:?}: {what}", fixture.patience());
        sleep(Duration::from_millis(5)).await;
    }
}

/// A lifetime that the check can wait for: short, if it has to do so in real time.
pub(crate) fn short_lifetime(fixture: &dyn Fixture) -> Duration {
    if fixture.clock().is_some() { Duration::from_secs(60) } else { Duration::from_secs(2) }
}

/// Lets time pass for the store, and a little more where it is real time.
pub(crate) async fn pass(fixture: &dyn Fixture, time: Duration) {
    match fixture.clock() {
        Some(clock) => clock.advance(time),
        None => sleep(time + Duration::from_millis(20)).await,
    }
}

pub(crate) fn needs(store: &dyn MappingStore, capability: Capability) -> Verdict {
    match store.capabilities().lacks(capability) {
        Some(reason) => Err(NotApplicable(reason)),
        None => Ok(()),
    }
}

pub(crate) fn faults(fixture: &dyn Fixture) -> Result<&dyn Faults, NotApplicable> {
    fixture.faults().ok_or(NotApplicable("the fixture has no way to break the backend"))
}

/// The error of a call that had to fail.
pub(crate) fn failure<T>(what: &str, result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("{what} succeeded"),
        Err(error) => error,
    }
}
