//! [`MappingStore`]: a resolver that can be written, and read in the other direction.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};

use crate::{
    AcsId, Capabilities, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, Page, PageRequest, Resolver,
    Result,
};

/// Keeps mappings, in both directions.
///
/// # Promises
/// One ACS ID has at most one customer; a customer may have many ACS IDs. After a write has returned, `resolve` and
/// [`mappings_of`](Self::mappings_of) tell the same story. IDs are compared byte for byte. An expired mapping reads as
/// absent. The decision `0001-store-contract` in the repository lists every promise and how each backend keeps it;
/// the crate `acs-identity-testkit` tests them on any implementation.
///
/// # Errors
/// `InvalidInput` is said before any I/O. `Unavailable` and `Timeout` say that nothing was changed. A write whose
/// answer was lost is `OutcomeUnknown`. After [`close`](Self::close), every call is `Unavailable`.
///
/// # Deadlines
/// Every call ends within a deadline of the store's. Those on many items (`link_many`, `import`, `unlink_customer`,
/// `purge_expired`) may work in parts, each of which has the deadline.
///
/// # Cancellation
/// Any call may be dropped. A dropped write is applied wholly or not at all.
#[async_trait]
pub trait MappingStore: Resolver {
    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// Maps an ACS ID to a customer, in one atomic step under concurrent writers.
    ///
    /// # Errors
    /// `Conflict` if the condition does not hold; [`Error::present_revision`] tells what is there.
    async fn link(&self, link: Link) -> Result<Linked>;

    /// Links many, each as [`link`](Self::link) does, with one answer each, in order. Not atomic as a whole.
    ///
    /// # Errors
    /// Per link. An ACS ID that is among them twice is `InvalidInput` in all its places.
    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>>;

    /// Writes mappings as they are, revisions and times included, with one answer each, in order; for moving from one
    /// store to another. What is there already with the same revision or a newer one is kept, so an import may be
    /// repeated, and may go on while the store is in use.
    ///
    /// # Errors
    /// Per mapping. An ACS ID that is among them twice is `InvalidInput` in all its places.
    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>>;

    /// Removes the mapping of an ACS ID and answers with what it was; `Ok(None)` if there was none.
    ///
    /// # Errors
    /// `Conflict` if there is a mapping that is not the expected one.
    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>>;

    /// Removes the mappings of a customer that are there when it starts, each only if it is still the customer's, and
    /// answers with how many it removed. His expired mappings are removed, too, and not counted. A link that is made
    /// meanwhile may stay. May be repeated.
    ///
    /// # Errors
    /// After an error some may have been removed.
    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64>;

    /// The mappings of a customer, oldest first: by creation time, and those of one moment by ACS ID.
    ///
    /// # Errors
    /// `InvalidInput` if the cursor is not one of this listing.
    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>>;

    /// Every mapping, in an order of the store's own: what was there throughout is listed at least once, and exactly once where
    /// [`Capability::ScanExactlyOnce`](crate::Capability::ScanExactlyOnce) is declared, while writers go on.
    ///
    /// # Errors
    /// `InvalidInput` if the cursor is not one of this listing. `Unavailable`, for as long as the cursor is used, if it is one of a
    /// cluster whose nodes, or their slots, have changed since: then begin anew without one. So do not ask again with the same
    /// cursor without a limit.
    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>>;

    /// Frees the space of at most so many expired mappings, and answers with how many there were. Expired mappings
    /// read as absent in any case; an application calls this now and then, until it answers 0. It also removes some of
    /// what the store remembers of unlinked IDs, once its time of an hour is over, as writes do, too; that is not counted.
    async fn purge_expired(&self, limit: u32) -> Result<u64>;

    /// Checks that the backend can be reached and answers.
    async fn ping(&self) -> Result<()>;

    /// Ends background tasks and connections, of this handle and those that share them, and waits until they have
    /// ended. Writes that are under way are finished first.
    async fn close(&self);
}

macro_rules! forward_store {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: MappingStore + ?Sized> MappingStore for $pointer {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            async fn link(&self, link: Link) -> Result<Linked> {
                (**self).link(link).await
            }

            async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
                (**self).link_many(links).await
            }

            async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
                (**self).import(mappings).await
            }

            async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
                (**self).unlink(id, expect).await
            }

            async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
                (**self).unlink_customer(customer).await
            }

            async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
                (**self).mappings_of(customer, page).await
            }

            async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
                (**self).scan(page).await
            }

            async fn purge_expired(&self, limit: u32) -> Result<u64> {
                (**self).purge_expired(limit).await
            }

            async fn ping(&self) -> Result<()> {
                (**self).ping().await
            }

            async fn close(&self) {
                (**self).close().await
            }
        }
    )*};
}

forward_store!(&S, Box<S>, Arc<S>);

/// What every store can do besides its own methods.
#[async_trait]
pub trait MappingStoreExt: MappingStore {
    /// All mappings of a customer, oldest first, page after page.
    ///
    /// # Errors
    /// As [`MappingStore::mappings_of`].
    async fn all_mappings_of(&self, customer: &CustomerId) -> Result<Vec<Mapping>> {
        let mut all = Vec::new();
        let mut request = PageRequest::default();
        loop {
            let page = self.mappings_of(customer, request.clone()).await?;
            all.extend(page.items);
            match page.next {
                Some(cursor) => request = request.after(cursor),
                None => return Ok(all),
            }
        }
    }

    /// [`MappingStore::scan`] as a stream, which holds one page at a time and ends after an error.
    fn scan_all(&self) -> BoxStream<'_, Result<Mapping>> {
        let pages = stream::try_unfold(Some(PageRequest::default()), move |request| async move {
            let Some(request) = request else { return Ok(None) };
            let page = self.scan(request.clone()).await?;
            let next = page.next.map(|cursor| request.after(cursor));
            Ok::<_, Error>(Some((stream::iter(page.items.into_iter().map(Ok)), next)))
        });
        Box::pin(futures::TryStreamExt::try_flatten(pages))
    }
}

impl<S: MappingStore + ?Sized> MappingStoreExt for S {}
