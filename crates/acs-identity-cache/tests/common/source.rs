//! A resolver that notes what it is asked, and answers when and how it is told to.

use std::sync::Mutex;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Answer, Answers, Capabilities, Clock, CustomerId, Error, ErrorKind, Expect, Imported, Link, Linked, Mapping,
    MappingStore, Page, PageRequest, Resolution, Resolver, Result, Revision, Timestamp,
};
use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The customer of each ID is the ID itself, but for those that the text of an ID says something else of:
/// - `unknown`: it has none;
/// - `panic`: a call that asks for it panics;
/// - `hang`: a call that asks for it never ends;
/// - `corrupt`, `denied`, `down`: a call that asks for it fails for all its IDs, with this error;
/// - `shard`: it fails alone, as if the part of the source were down that has it;
/// - `short`: a call for it and for others has an answer too few;
/// - `sorted`: a call for it and for others has its answers in the order of the IDs' texts;
/// - `brief`: its mapping ends 30 seconds later; `instant`: at once.
///
/// Each answer has a revision, which counts the calls. The other way round, a customer has the ID that is the customer's name, and
/// a page of it is one of these calls. Nothing can be written.
#[derive(Debug)]
pub struct Source {
    calls: Mutex<Vec<Vec<String>>>,
    gate: Semaphore,
    /// How each call fails.
    failing: Mutex<Option<ErrorKind>>,
}

impl Source {
    /// One that answers at once.
    pub fn open() -> Self {
        Self::letting_through(Semaphore::MAX_PERMITS)
    }

    /// One whose calls wait until they are let through.
    pub fn held() -> Self {
        Self::letting_through(0)
    }

    fn letting_through(calls: usize) -> Self {
        Self { calls: Mutex::default(), gate: Semaphore::new(calls), failing: Mutex::default() }
    }

    /// Lets so many calls through, in their order: those that wait, and then those that come.
    pub fn let_through(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    /// From now on each call that comes waits until it is let through.
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// From now on each call fails, when it is let through.
    pub fn fail(&self, kind: ErrorKind) {
        *self.failing.lock().expect("no panic meanwhile") = Some(kind);
    }

    pub fn heal(&self) {
        *self.failing.lock().expect("no panic meanwhile") = None;
    }

    /// The IDs of each call.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().expect("no panic meanwhile").clone()
    }

    /// How many IDs each call had.
    pub fn sizes(&self) -> Vec<usize> {
        self.calls().iter().map(Vec::len).collect()
    }

    /// How many calls there were.
    pub fn count(&self) -> usize {
        self.calls().len()
    }

    async fn ask(&self, ids: &[AcsId]) -> Vec<Answer> {
        let call = {
            let mut calls = self.calls.lock().expect("no panic meanwhile");
            calls.push(ids.iter().map(|id| id.as_str().to_owned()).collect());
            calls.len() as u64
        };
        self.gate.acquire().await.expect("never closed").forget();
        let has = |word| ids.iter().any(|id| id.as_str().contains(word));
        assert!(!has("panic"), "as the ID says");
        if has("hang") {
            std::future::pending::<()>().await;
        }
        let of_the_ids =
            [("corrupt", ErrorKind::Corrupt), ("denied", ErrorKind::Denied), ("down", ErrorKind::Unavailable)];
        let failing = *self.failing.lock().expect("no panic meanwhile");
        let whole = failing.or_else(|| of_the_ids.iter().find(|(word, _)| has(word)).map(|(_, kind)| *kind));
        ids.iter().map(|id| whole.map_or_else(|| answer(id, call), |kind| Err(failure(kind)))).collect()
    }
}

fn answer(id: &AcsId, call: u64) -> Answer {
    let has = |word| id.as_str().contains(word);
    if has("shard") {
        return Err(failure(ErrorKind::Unavailable));
    }
    let found = Resolution::from(CustomerId::new(id.as_str())?).at_revision(Revision::new(call));
    let lasts = if has("brief") { Some(Duration::from_secs(30)) } else { has("instant").then_some(Duration::ZERO) };
    Ok((!has("unknown")).then(|| found.lasting(lasts)))
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "as the test says")
}

#[async_trait]
impl Resolver for Source {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        self.ask(std::slice::from_ref(id)).await.remove(0)
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let answers = self.ask(ids).await;
        let has = |word| ids.iter().any(|id| id.as_str().contains(word));
        let mut asked = if has("short") { ids[1..].to_vec() } else { ids.to_vec() };
        if has("sorted") {
            asked.sort();
        }
        let missing = Err(failure(ErrorKind::Internal));
        Answers::each_by_id(&asked, ids.iter().map(AcsId::as_str).zip(answers), &missing)
    }
}

#[async_trait]
impl MappingStore for Source {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }

    async fn link(&self, _: Link) -> Result<Linked> {
        Err(read_only())
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        links.iter().map(|_| Err(read_only())).collect()
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        mappings.iter().map(|_| Err(read_only())).collect()
    }

    async fn unlink(&self, _: &AcsId, _: Expect) -> Result<Option<Mapping>> {
        Err(read_only())
    }

    async fn unlink_customer(&self, _: &CustomerId) -> Result<u64> {
        Err(read_only())
    }

    async fn mappings_of(&self, customer: &CustomerId, _: PageRequest) -> Result<Page<Mapping>> {
        let (id, at) = (AcsId::new(customer.as_str())?, Timestamp::from_micros(0));
        let found = self.resolve(&id).await?;
        let mapping =
            |found: Resolution| Mapping::new(id, customer.clone(), found.revision().expect("each answer has one"), at);
        Ok(Page::new(found.map(mapping).into_iter().collect(), None, at))
    }

    async fn scan(&self, _: PageRequest) -> Result<Page<Mapping>> {
        Err(read_only())
    }

    async fn purge_expired(&self, _: u32) -> Result<u64> {
        Err(read_only())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) {}
}

fn read_only() -> Error {
    Error::unsupported("it can only be read")
}

/// The time of the runtime, which stands still but for `sleep` and `advance`.
#[derive(Debug)]
pub struct RuntimeClock(Instant);

impl RuntimeClock {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_750_000_000_000_000).saturating_add(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}
