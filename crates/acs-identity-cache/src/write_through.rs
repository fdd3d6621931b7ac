//! The write side of [`ReadThrough`], and the other direction.
//!
//! A write bars what it may touch, in its own task, before the store is asked, and lifts the bars after the store has
//! answered: so it does not matter whether the caller is still there. If nobody can say whether the write was applied, the
//! bars stay for a while.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Capabilities, Change, ChangeFeed, CustomerId, Error, ErrorKind, Expect, Imported, Link, Linked, Mapping,
    MappingStore, Page, PageRequest, Result,
};
use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::task::JoinError;

use crate::ReadThrough;
use crate::guarded::guarded;
use crate::lane::Entered;
use crate::read_through::{Shared, deadline};
use crate::values::{Listing, is_of};

/// What a write may change, as far as it is known beforehand.
#[derive(Default)]
struct Touched {
    ids: Vec<AcsId>,
    customers: Vec<CustomerId>,
    /// Whether it may change all ACS IDs of those customers, whichever they are.
    all_ids_of_customers: bool,
    /// Whether it may change customers that nobody has named: those who have one of the ACS IDs.
    other_customers: bool,
}

/// What a write has changed.
enum Effect {
    /// Nothing but what it named and these customers.
    Known(Vec<CustomerId>),
    /// What it named, and customers that nobody knows.
    KnownButCustomers,
    /// Perhaps all that it may touch, perhaps nothing, perhaps later.
    Unknown,
}

impl Effect {
    /// The effect of the writes of a batch of so many items.
    fn of_batch<T>(items: usize, outcomes: &[Result<T>], each: impl Fn(&Result<T>) -> Self) -> Self {
        if outcomes.len() != items {
            return Self::Unknown;
        }
        let mut all = Self::Known(Vec::new());
        for effect in outcomes.iter().map(each) {
            // What is known least counts for the whole.
            all = match (all, effect) {
                (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
                (Self::KnownButCustomers, _) | (_, Self::KnownButCustomers) => Self::KnownButCustomers,
                (Self::Known(mut all), Self::Known(more)) => {
                    all.extend(more);
                    Self::Known(all)
                }
            };
        }
        all
    }

    fn of_failure(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput
            | ErrorKind::Conflict
            | ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Unsupported
            | ErrorKind::Denied
            | ErrorKind::Misconfigured
            | ErrorKind::Corrupt => Self::Known(Vec::new()),
            // A panic, a lost answer, and kinds that are newer than this crate.
            _ => Self::Unknown,
        }
    }

    fn of_link(outcome: &Result<Linked>) -> Self {
        match outcome {
            Ok(linked) => Self::Known(linked.displaced.iter().cloned().collect()),
            Err(error) => Self::of_failure(error),
        }
    }

    fn of_import(outcome: &Result<Imported>) -> Self {
        match outcome {
            // Whose the ACS ID was before is not said.
            Ok(Imported::Written) => Self::KnownButCustomers,
            Ok(_) => Self::Known(Vec::new()),
            Err(error) => Self::of_failure(error),
        }
    }
}

/// The bars of one write. Dropped without an outcome, as in a runtime that shuts down, they stay for a while.
struct Bars<S> {
    shared: Arc<Shared<S>>,
    touched: Touched,
    /// How long the write may take.
    patience: Duration,
    lifted: bool,
}

/// How many times a batch of so many items has the deadline of a write: stores work through it in parts.
fn parts(items: usize) -> u32 {
    u32::try_from(items.div_ceil(500).max(1)).unwrap_or(u32::MAX)
}

/// The same for an erasure, of which nobody knows how large it is.
const PARTS_OF_AN_ERASURE: u32 = 100;

impl<S> Bars<S> {
    fn new(shared: Arc<Shared<S>>, touched: Touched) -> Self {
        let parts = if touched.all_ids_of_customers { PARTS_OF_AN_ERASURE } else { parts(touched.ids.len()) };
        let patience = shared.write_deadline.saturating_mul(parts);
        touched.ids.iter().for_each(|id| shared.ids.bar(id));
        touched.customers.iter().for_each(|customer| shared.customers.bar(customer));
        let bars = Self { shared, touched, patience, lifted: false };
        bars.purge_ids_of_customers();
        bars
    }

    /// Forgets the ACS IDs of a customer who may lose all of them. Looks at every entry.
    fn purge_ids_of_customers(&self) {
        if self.touched.all_ids_of_customers {
            let customers = &self.touched.customers;
            self.shared.ids.purge_where(|_, answer| customers.iter().any(|customer| is_of(answer, customer)));
        }
    }

    fn lift(mut self, effect: &Effect) {
        self.settle(effect);
    }

    fn settle(&mut self, effect: &Effect) {
        self.lifted = true;
        let (ids, customers, touched) = (&self.shared.ids, &self.shared.customers, &self.touched);
        // If nobody can say how the write ended, the backend may still be about to apply it.
        let grace = || self.shared.clock.monotonic().saturating_add(self.shared.write_deadline);
        let until = matches!(effect, Effect::Unknown).then(grace);
        if touched.all_ids_of_customers {
            if let Some(until) = until {
                ids.bar_all(until);
            }
            self.purge_ids_of_customers();
        }
        if touched.other_customers {
            if let Some(until) = until {
                customers.bar_all(until);
            }
            match effect {
                Effect::Known(named) => named.iter().for_each(|customer| customers.purge(customer)),
                Effect::KnownButCustomers | Effect::Unknown => customers.purge_all(),
            }
        }
        touched.ids.iter().for_each(|id| ids.lift(id, until));
        touched.customers.iter().for_each(|customer| customers.lift(customer, until));
    }
}

impl<S> Drop for Bars<S> {
    fn drop(&mut self) {
        if !self.lifted {
            self.settle(&Effect::Unknown);
        }
    }
}

impl<S: MappingStore + 'static> ReadThrough<S> {
    /// Runs a write in a task of its own, between bars.
    ///
    /// # Errors
    /// `OutcomeUnknown` or `Internal` if the store gave no answer; the store's own errors are part of `T`.
    async fn write<T, Fut>(
        &self,
        touched: Touched,
        write: impl FnOnce(Arc<Shared<S>>) -> Fut,
        effect: impl FnOnce(&T) -> Effect + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let shared = self.0.clone();
        let written = write(shared.clone());
        let task = self.0.tasks.spawn(async move {
            let bars = Bars::new(shared.clone(), touched);
            let outcome = guarded(bars.patience, ErrorKind::OutcomeUnknown, written).await;
            bars.lift(&outcome.as_ref().map_or(Effect::Unknown, effect));
            outcome
        });
        let lost = |error: JoinError| {
            let why = if error.is_panic() {
                "its task panicked: has the runtime a timer?"
            } else {
                "the runtime is shutting down"
            };
            Err(Error::new(ErrorKind::OutcomeUnknown, why).in_backend("cache"))
        };
        task.await.unwrap_or_else(lost)
    }

    /// Runs a write of many items; what happens to all happens to each.
    async fn write_many<I, T, Fut>(
        &self,
        touched: Touched,
        items: &[I],
        write: impl FnOnce(Arc<Shared<S>>, Vec<I>) -> Fut,
        effect: fn(&Result<T>) -> Effect,
    ) -> Vec<Result<T>>
    where
        I: Clone + Send + 'static,
        T: Send + 'static,
        Fut: Future<Output = Vec<Result<T>>> + Send + 'static,
    {
        let owned = items.to_vec();
        let count = items.len();
        let all = self.write(
            touched,
            |shared| write(shared, owned),
            move |all: &Vec<_>| Effect::of_batch(count, all, effect),
        );
        all.await.unwrap_or_else(|error| items.iter().map(|_| Err(error.clone())).collect())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: MappingStore + 'static> MappingStore for ReadThrough<S> {
    fn capabilities(&self) -> Capabilities {
        self.0.resolver.capabilities()
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        let touched = Touched {
            ids: vec![link.acs_id.clone()],
            customers: vec![link.customer_id.clone()],
            // Also of a create-only link, which may take the place of a mapping that has expired.
            other_customers: true,
            ..Touched::default()
        };
        self.write(touched, |shared| async move { shared.resolver.link(link).await }, Effect::of_link).await.flatten()
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        let touched = Touched {
            ids: links.iter().map(|link| link.acs_id.clone()).collect(),
            customers: links.iter().map(|link| link.customer_id.clone()).collect(),
            other_customers: true,
            ..Touched::default()
        };
        let write = |shared: Arc<Shared<S>>, links: Vec<Link>| async move { shared.resolver.link_many(&links).await };
        self.write_many(touched, links, write, Effect::of_link).await
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        let touched = Touched {
            ids: mappings.iter().map(|mapping| mapping.acs_id.clone()).collect(),
            customers: mappings.iter().map(|mapping| mapping.customer_id.clone()).collect(),
            other_customers: true,
            ..Touched::default()
        };
        let write =
            |shared: Arc<Shared<S>>, mappings: Vec<Mapping>| async move { shared.resolver.import(&mappings).await };
        self.write_many(touched, mappings, write, Effect::of_import).await
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        let customers = match &expect {
            Expect::Customer(customer) => vec![customer.clone()],
            _ => Vec::new(),
        };
        let touched =
            Touched { ids: vec![id.clone()], other_customers: customers.is_empty(), customers, ..Touched::default() };
        let id = id.clone();
        let effect = |outcome: &Result<Option<Mapping>>| match outcome {
            Ok(removed) => Effect::Known(removed.iter().map(|mapping| mapping.customer_id.clone()).collect()),
            Err(error) => Effect::of_failure(error),
        };
        self.write(touched, |shared| async move { shared.resolver.unlink(&id, expect).await }, effect).await.flatten()
    }

    /// Looks at every entry of the cache, twice.
    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        let customer = customer.clone();
        let touched = Touched { customers: vec![customer.clone()], all_ids_of_customers: true, ..Touched::default() };
        let effect = |outcome: &Result<u64>| match outcome {
            Ok(_) => Effect::Known(Vec::new()),
            Err(error) => Effect::of_failure(error),
        };
        let write = |shared: Arc<Shared<S>>| async move { shared.resolver.unlink_customer(&customer).await };
        self.write(touched, write, effect).await.flatten()
    }

    /// One first page is kept for a customer, that of the last size asked for; it also answers for other sizes if it is
    /// complete and fits. The pages after it are asked of the store each time.
    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        if page.cursor().is_none()
            && let Some(found) = self.first_page(customer, &page).await?.page_for(&page)
        {
            return Ok(found);
        }
        self.pass_on(self.0.resolver.mappings_of(customer, page)).await
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        self.pass_on(self.0.resolver.scan(page)).await
    }

    /// Nothing has to be forgotten: what has expired is not given out by the cache either.
    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        let patience = self.0.write_deadline.saturating_mul(parts(limit as usize));
        guarded(patience, ErrorKind::OutcomeUnknown, self.0.resolver.purge_expired(limit)).await.flatten()
    }

    async fn ping(&self) -> Result<()> {
        self.pass_on(self.0.resolver.ping()).await
    }

    async fn close(&self) {
        let patience = self.0.load_deadline.max(self.0.write_deadline);
        // However it ends: from here on nothing is to be answered from the cache.
        let _ = guarded(patience, ErrorKind::Timeout, self.0.resolver.close()).await;
        self.purge_all();
        self.0.tasks.close();
        // A task whose runtime stands still can't be waited for.
        let _ = tokio::time::timeout(patience, self.0.tasks.wait()).await;
    }
}

impl<S: MappingStore + 'static> ReadThrough<S> {
    /// A question that the cache has no part in, but for its deadline.
    async fn pass_on<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        guarded(self.0.load_deadline, ErrorKind::Timeout, question).await.flatten()
    }

    async fn first_page(&self, customer: &CustomerId, page: &PageRequest) -> Result<Listing> {
        let flight = match self.0.customers.enter(customer, |listing| listing.answers(page)) {
            Entered::Hit(listing) => return Ok(listing),
            // Perhaps of another size; then its answer is of no use.
            Entered::Joined(flight) => flight,
            Entered::Leader(load) => {
                let flight = load.flight();
                let page = page.clone();
                self.start(load, |shared, customer| async move {
                    let found = shared.resolver.mappings_of(&customer, page.clone()).await?;
                    Ok(Listing::new(&page, found))
                });
                flight
            }
        };
        self.wait(&self.0.customers, customer, &flight, deadline(self.0.load_deadline)).await
    }
}

/// The store's own feed.
#[deny(clippy::missing_trait_methods)]
impl<S: ChangeFeed> ChangeFeed for ReadThrough<S> {
    fn changes(&self) -> BoxStream<'static, Change> {
        self.0.resolver.changes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_batch_what_is_known_least_counts_wherever_it_stands() {
        let lost = || Err(Error::new(ErrorKind::OutcomeUnknown, "cut"));
        for outcomes in [
            [lost(), Ok(Imported::Written), Ok(Imported::Kept)],
            [Ok(Imported::Written), lost(), Ok(Imported::Kept)],
            [Ok(Imported::Kept), Ok(Imported::Written), lost()],
        ] {
            assert!(matches!(Effect::of_batch(3, &outcomes, Effect::of_import), Effect::Unknown));
        }
        let written = [Ok(Imported::Kept), Ok(Imported::Written), Err(Error::conflict("taken", None))];
        assert!(matches!(Effect::of_batch(3, &written, Effect::of_import), Effect::KnownButCustomers));
        assert!(matches!(Effect::of_batch(3, &written[..1], Effect::of_import), Effect::Unknown));
        assert!(
            matches!(Effect::of_batch(1, &written[..1], Effect::of_import), Effect::Known(none) if none.is_empty())
        );
    }
}
