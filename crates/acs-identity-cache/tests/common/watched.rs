//! A store whose writes are told to somebody as soon as they are done, before their callers hear of it.

use std::fmt::Debug;

use acs_identity_core::{
    AcsId, Answers, Capabilities, Change, CustomerId, Expect, Imported, Link, Linked, Mapping, MappingStore, Page,
    PageRequest, Resolution, Resolver, Result,
};
use acs_identity_testkit::ManualFeed;
use async_trait::async_trait;

/// Who is told.
#[async_trait]
pub trait Watcher: Debug + Send + Sync {
    /// A write begins; the number is handed back when it is done.
    fn begins(&self) -> u64 {
        0
    }

    async fn linked(&self, begun: u64, id: &AcsId, to: &CustomerId, linked: &Linked);

    async fn imported(&self, mapping: &Mapping);

    async fn unlinked(&self, begun: u64, gone: &Mapping);

    async fn erased(&self, customer: &CustomerId);
}

/// The store, and who is told of its writes.
#[derive(Debug, Clone)]
pub struct Watched<S, W> {
    pub store: S,
    pub watcher: W,
}

#[async_trait]
impl<S: Resolver, W: Watcher> Resolver for Watched<S, W> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        self.store.resolve(id).await
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        self.store.resolve_many(ids).await
    }
}

#[async_trait]
impl<S: MappingStore, W: Watcher> MappingStore for Watched<S, W> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        let begun = self.watcher.begins();
        let linked = self.store.link(link.clone()).await?;
        self.watcher.linked(begun, &link.acs_id, &link.customer_id, &linked).await;
        Ok(linked)
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        let begun = self.watcher.begins();
        let all = self.store.link_many(links).await;
        for (link, linked) in links.iter().zip(&all) {
            if let Ok(linked) = linked {
                self.watcher.linked(begun, &link.acs_id, &link.customer_id, linked).await;
            }
        }
        all
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        let all = self.store.import(mappings).await;
        for (mapping, imported) in mappings.iter().zip(&all) {
            if imported.is_ok() {
                self.watcher.imported(mapping).await;
            }
        }
        all
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        let begun = self.watcher.begins();
        let gone = self.store.unlink(id, expect).await?;
        if let Some(gone) = &gone {
            self.watcher.unlinked(begun, gone).await;
        }
        Ok(gone)
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        let erased = self.store.unlink_customer(customer).await;
        self.watcher.erased(customer).await;
        erased
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        self.store.mappings_of(customer, page).await
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        self.store.scan(page).await
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        self.store.purge_expired(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

/// A feed that tells of each write at once: when the write returns, all who follow the feed have heeded it.
#[async_trait]
impl Watcher for ManualFeed {
    async fn linked(&self, _: u64, id: &AcsId, to: &CustomerId, linked: &Linked) {
        self.tell(Change::Acs(id.clone(), Some(linked.revision))).await;
        self.tell(Change::Customer(to.clone())).await;
        let before = linked.previous.as_ref().map(|previous| &previous.customer_id);
        for customer in before.into_iter().chain(&linked.displaced) {
            self.tell(Change::Customer(customer.clone())).await;
        }
    }

    async fn imported(&self, mapping: &Mapping) {
        self.tell(Change::Acs(mapping.acs_id.clone(), None)).await;
        self.tell(Change::Customer(mapping.customer_id.clone())).await;
    }

    async fn unlinked(&self, _: u64, gone: &Mapping) {
        self.tell(Change::Acs(gone.acs_id.clone(), None)).await;
        self.tell(Change::Customer(gone.customer_id.clone())).await;
    }

    async fn erased(&self, customer: &CustomerId) {
        self.tell(Change::Customer(customer.clone())).await;
    }
}
