//! What is behind the cache: a store whose calls fail, or panic, when they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use acs_identity::{
    AcsId, Answers, Capabilities, CustomerId, Expect, Imported, Link, Linked, Mapping, MappingStore, Page, PageRequest,
    Resolution, Resolver, Result,
};
use acs_identity_testkit::Faulty;
use async_trait::async_trait;

use crate::oracle::{Asked, Oracle};

/// The task of which the oracle is told that all loads are: it is not known which of the cache's they are.
pub(crate) const LOADS: usize = 0;

/// Panics where [`Faulty`] has no panics.
#[derive(Debug)]
pub(crate) struct Source<S> {
    pub(crate) faulty: Faulty<S>,
    oracle: Arc<Oracle>,
    /// Whether the next call is to panic.
    panics: AtomicBool,
    /// How many loads of one ACS ID, or of one page, have.
    panicked: AtomicU64,
}

impl<S> Source<S> {
    pub(crate) fn new(store: S, oracle: Arc<Oracle>) -> Self {
        Self { faulty: Faulty::new(store), oracle, panics: AtomicBool::default(), panicked: AtomicU64::default() }
    }

    pub(crate) fn panic_next(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// Nothing fails or panics any more.
    pub(crate) fn heal(&self) {
        self.panics.store(false, Ordering::SeqCst);
        self.faulty.heal();
    }

    pub(crate) fn panicked(&self) -> u64 {
        self.panicked.load(Ordering::SeqCst)
    }

    /// Panics if it is time to, in a load of one, or in what nobody is told of.
    fn may_panic(&self, load: Option<Asked>) {
        if !self.panics.swap(false, Ordering::SeqCst) {
            return;
        }
        if let Some(asked) = load {
            self.oracle.load_failed(self.oracle.load_begun(asked, LOADS));
            self.panicked.fetch_add(1, Ordering::SeqCst);
        }
        // Without a word of the panic hook.
        std::panic::resume_unwind(Box::new("a panic of the source"));
    }
}

/// Loads panic when they have the answer, so that others have joined them.
#[async_trait]
impl<S: Resolver> Resolver for Source<S> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        let answer = self.faulty.resolve(id).await;
        self.may_panic(Some(Asked::Id(id.clone())));
        answer
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let answers = self.faulty.resolve_many(ids).await;
        // One of several is split, and nobody is told.
        let alone = if let [id] = ids { Some(Asked::Id(id.clone())) } else { None };
        self.may_panic(alone);
        answers
    }
}

/// Writes panic before anything is written.
#[async_trait]
impl<S: MappingStore> MappingStore for Source<S> {
    fn capabilities(&self) -> Capabilities {
        self.faulty.capabilities()
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        self.may_panic(None);
        self.faulty.link(link).await
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        self.may_panic(None);
        self.faulty.link_many(links).await
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        self.may_panic(None);
        self.faulty.import(mappings).await
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        self.may_panic(None);
        self.faulty.unlink(id, expect).await
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        self.may_panic(None);
        self.faulty.unlink_customer(customer).await
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        let answer = self.faulty.mappings_of(customer, page).await;
        self.may_panic(Some(Asked::Page(customer.clone())));
        answer
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        self.faulty.scan(page).await
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        self.faulty.purge_expired(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.faulty.ping().await
    }
    async fn close(&self) {
        self.faulty.close().await;
    }
}
