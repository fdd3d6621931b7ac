//! [`ReadThrough`] as a store: its write side, and what it passes on.
//!
//! A write bars what it touches, in its own task, before the store is asked, and lifts the bars after the store has
//! answered: so it does not matter whether the caller is still there. If nobody can say whether the write was applied, the
//! bars stay for a while.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acs_identity_core::{
    AcsId, Capabilities, CustomerId, Error, ErrorKind, Expect, Imported, Link, Linked, Mapping, MappingStore, Page,
    PageRequest, Result,
};
use async_trait::async_trait;
use futures::channel::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::ReadThrough;
use crate::guarded::{caught, guarded, outside};
use crate::read_through::Shared;
use crate::sync::{Guard, has_runtime, is_on, spawn};
use crate::traced;
use crate::values::micros;

/// What a write may change: what is known of these, and what names them.
struct Touched {
    /// The name of the write.
    operation: &'static str,
    ids: Vec<AcsId>,
    customers: Vec<CustomerId>,
    /// Whether it removes all ACS IDs of the customers, of which nobody knows how many there are.
    erases: bool,
}

/// Whether nobody can say what a write has changed: perhaps all that it may touch, perhaps nothing, perhaps later.
fn is_unknown(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::InvalidInput
            | ErrorKind::Conflict
            | ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Unsupported
            | ErrorKind::Denied
            | ErrorKind::Misconfigured
            | ErrorKind::Corrupt
    ) // What is left is a panic, a lost answer, and kinds that are newer than this crate.
}

/// How a write ended that failed.
fn failure<T>(outcome: &Result<T>) -> Option<ErrorKind> {
    outcome.as_ref().err().map(Error::kind)
}

/// How a write of so many items ended, if one of them failed: an unknown outcome is the worst.
fn worst_failure<T>(outcomes: &[Result<T>], items: usize) -> Option<ErrorKind> {
    if outcomes.len() != items {
        return Some(ErrorKind::Internal);
    }
    let failures = || outcomes.iter().filter_map(failure);
    failures().find(|kind| is_unknown(*kind)).or_else(|| failures().next())
}

/// The bars of one write. Dropped without an outcome, as in a runtime that shuts down, they stay for a while.
struct Bars<S> {
    shared: Arc<Shared<S>>,
    touched: Touched,
    lifted: bool,
}

/// For how many items at most a write has its deadline once: stores work through a batch in parts.
const ITEMS_OF_A_PART: usize = 500;

/// How many times a batch of so many items has the deadline of a write.
fn parts(items: usize) -> u32 {
    u32::try_from(items.div_ceil(ITEMS_OF_A_PART).max(1)).unwrap_or(u32::MAX)
}

/// The same for an erasure.
const PARTS_OF_AN_ERASURE: u32 = 100;

impl<S> Bars<S> {
    fn new(shared: Arc<Shared<S>>, touched: Touched) -> Self {
        // First of all: who begins to load after the barrier has to find them.
        touched.ids.iter().for_each(|id| shared.barriers.ids.bar(id));
        touched.customers.iter().for_each(|customer| shared.barriers.customers.bar(customer));
        let bars = Self { shared, touched, lifted: false };
        if is_on(Guard::ForgetBeforeWrite) {
            bars.forget();
        }
        bars
    }

    /// Forgets what is touched, and what names it.
    fn forget(&self) {
        let (shared, touched) = (&self.shared, &self.touched);
        for id in &touched.ids {
            shared.barriers.stamp_id(id);
            shared.ids.forget(id);
        }
        for customer in &touched.customers {
            // What else is the customer's stays so.
            if touched.erases {
                shared.barriers.stamp_customer(customer);
            }
            shared.customers.forget(customer);
        }
    }

    fn lift(mut self, unknown: bool) {
        self.settle(unknown);
    }

    fn settle(&mut self, unknown: bool) {
        self.lifted = true;
        let shared = &self.shared;
        // If nobody can say how the write ended, the backend may still be about to apply it.
        let now = shared.time.now();
        let until = unknown.then(|| now.saturating_add(micros(shared.write_deadline)));
        self.touched.ids.iter().for_each(|id| shared.barriers.lift(id, until, now));
        self.touched.customers.iter().for_each(|customer| shared.barriers.lift(customer, until, now));
        // Again, since what was loaded meanwhile may be older than the write.
        if is_on(Guard::ForgetAfterWrite) {
            self.forget();
        }
    }
}

impl<S> Drop for Bars<S> {
    fn drop(&mut self) {
        if !self.lifted {
            traced::runtime_lost("write");
            self.settle(true);
        }
    }
}

impl<S: MappingStore + 'static> ReadThrough<S> {
    /// Runs a write in a task of its own, between bars.
    ///
    /// # Errors
    /// `OutcomeUnknown` or `Internal` if the store gave no answer, and `Unavailable` if it was not asked as there is no runtime; the
    /// store's own errors are part of `T`.
    async fn write<T, Fut>(
        &self,
        touched: Touched,
        write: impl FnOnce(Arc<Shared<S>>) -> Fut,
        failure: impl FnOnce(&T) -> Option<ErrorKind> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        if !has_runtime() {
            return Err(outside());
        }
        let shared = self.0.clone();
        let written = write(shared.clone());
        let parts = if touched.erases { PARTS_OF_AN_ERASURE } else { parts(touched.ids.len()) };
        let patience = shared.write_deadline.saturating_mul(parts);
        let (tell, told) = oneshot::channel();
        let span = traced::write(touched.operation, touched.ids.len().max(touched.customers.len()));
        let outer = span.clone();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = begun.clone();
        let task = async move {
            begins.store(true, Ordering::Release);
            let bars = Bars::new(shared, touched);
            let outcome = guarded(patience, ErrorKind::OutcomeUnknown, written).await;
            let failure = outcome.as_ref().map_or_else(|error| Some(error.kind()), failure);
            bars.lift(failure.is_some_and(is_unknown));
            traced::ended(&span, failure);
            let _ = tell.send(outcome);
        };
        spawn(self.0.writes.track_future(task.instrument(outer)));
        told.await.unwrap_or_else(|_| {
            let why = "the task of the write was lost: does its runtime go on?";
            let was_sent = begun.load(Ordering::Acquire);
            let kind = if was_sent { ErrorKind::OutcomeUnknown } else { ErrorKind::Unavailable };
            Err(Error::new(kind, why).in_backend("cache"))
        })
    }

    /// Runs a write of many items; what happens to all happens to each.
    async fn write_many<I, T, Fut>(
        &self,
        touched: Touched,
        items: &[I],
        write: impl FnOnce(Arc<Shared<S>>, Vec<I>) -> Fut,
    ) -> Vec<Result<T>>
    where
        I: Clone + Send + 'static,
        T: Send + 'static,
        Fut: Future<Output = Vec<Result<T>>> + Send + 'static,
    {
        let owned = items.to_vec();
        let count = items.len();
        let all =
            self.write(touched, |shared| write(shared, owned), move |all: &Vec<Result<T>>| worst_failure(all, count));
        let each = all.await.and_then(|all| {
            let why = "the store did not answer each item";
            if all.len() == count {
                Ok(all)
            } else {
                Err(Error::new(ErrorKind::OutcomeUnknown, why).in_backend("cache"))
            }
        });
        each.unwrap_or_else(|error| items.iter().map(|_| Err(error.clone())).collect())
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
            operation: "link",
            ids: vec![link.acs_id.clone()],
            customers: vec![link.customer_id.clone()],
            erases: false,
        };
        self.write(touched, |shared| async move { shared.resolver.link(link).await }, failure).await.flatten()
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        let touched = Touched {
            operation: "link_many",
            ids: links.iter().map(|link| link.acs_id.clone()).collect(),
            customers: links.iter().map(|link| link.customer_id.clone()).collect(),
            erases: false,
        };
        let write = |shared: Arc<Shared<S>>, links: Vec<Link>| async move { shared.resolver.link_many(&links).await };
        self.write_many(touched, links, write).await
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        let touched = Touched {
            operation: "import",
            ids: mappings.iter().map(|mapping| mapping.acs_id.clone()).collect(),
            customers: mappings.iter().map(|mapping| mapping.customer_id.clone()).collect(),
            erases: false,
        };
        let write =
            |shared: Arc<Shared<S>>, mappings: Vec<Mapping>| async move { shared.resolver.import(&mappings).await };
        self.write_many(touched, mappings, write).await
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        let customers = match &expect {
            Expect::Customer(customer) => vec![customer.clone()],
            _ => Vec::new(),
        };
        let touched = Touched { operation: "unlink", ids: vec![id.clone()], customers, erases: false };
        let id = id.clone();
        self.write(touched, |shared| async move { shared.resolver.unlink(&id, expect).await }, failure).await.flatten()
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        let customer = customer.clone();
        let touched =
            Touched { operation: "unlink_customer", ids: Vec::new(), customers: vec![customer.clone()], erases: true };
        let write = |shared: Arc<Shared<S>>| async move { shared.resolver.unlink_customer(&customer).await };
        self.write(touched, write, failure).await.flatten()
    }

    /// One first page is kept for a customer, that of the last size asked for; it also answers for other sizes if it is
    /// complete and fits. The pages after it are asked of the store each time.
    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        if page.cursor().is_none() {
            return self.first_page(customer, &page).await;
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

    /// See [`ReadThrough`], "Closing".
    async fn close(&self) {
        if let Some(follower) = &self.0.follower {
            follower.stop();
        }
        let patience = self.0.load_deadline.max(self.0.write_deadline);
        // Each at most so long: a task whose runtime stands still can't be waited for.
        let all_over = async |tasks: &TaskTracker| {
            tasks.close();
            let _ = guarded(patience, ErrorKind::Timeout, tasks.wait()).await;
        };
        all_over(&self.0.writes).await;
        // However it ends: from here on nothing is to be answered from the cache.
        let closed = self.0.resolver.close();
        let _ = if has_runtime() {
            guarded(patience, ErrorKind::Timeout, closed).await
        } else {
            // There is no timer, and nobody else to close it.
            caught(closed).await
        };
        self.purge_all();
        all_over(&self.0.tasks).await;
    }
}

impl<S: MappingStore + 'static> ReadThrough<S> {
    /// A question that the cache has no part in, but for its deadline.
    async fn pass_on<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        guarded(self.0.load_deadline, ErrorKind::Timeout, question).await.flatten()
    }
}
