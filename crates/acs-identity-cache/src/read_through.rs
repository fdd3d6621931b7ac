//! [`ReadThrough`] and its read side.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Answers, CustomerId, Error, ErrorKind, Resolution, Resolver, Result};
use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::builder::ReadThroughBuilder;
use crate::counters::CacheStats;
use crate::flight::Flight;
use crate::guarded::guarded;
use crate::lane::{Entered, Key, Lane, Limits, Load};
use crate::values::{Cached, Listing, is_of};

/// A cache in front of a resolver or a store.
///
/// Clones share the cache. Around a [`MappingStore`](acs_identity_core::MappingStore) it is one itself: writes go to the store, and once
/// a write has returned, no read through this wrapper or a clone that begins later sees what was there before. What others
/// write is seen when the [`lifetime`](ReadThroughBuilder::lifetime) of an answer is over, or after a purge.
///
/// # Concurrent calls
/// At most one load of an ACS ID is under way; all who ask meanwhile get its answer. A failed load is shared by those who
/// wait and is not stored.
///
/// # Cancellation
/// Every call may be dropped at any point. Loads and writes run in tasks of their own and go on: others who wait for the
/// load get their answer, and a write is finished.
///
/// # Panics
/// A panicking resolver gives each of those who wait one `Internal` error, and the next caller tries again. Outside of a
/// tokio runtime, a call that has to ask the resolver panics.
pub struct ReadThrough<R>(pub(crate) Arc<Shared<R>>);

pub(crate) struct Shared<R> {
    pub(crate) resolver: R,
    pub(crate) ids: Arc<Lane<AcsId, Option<Resolution>>>,
    pub(crate) customers: Arc<Lane<CustomerId, Listing>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) load_deadline: Duration,
    pub(crate) write_deadline: Duration,
    pub(crate) clock: Arc<dyn acs_identity_core::Clock>,
}

impl<R> ReadThrough<R> {
    /// A cache with the default options.
    pub fn new(resolver: R) -> Self {
        Self::builder(resolver).build()
    }

    /// A cache with other options.
    pub fn builder(resolver: R) -> ReadThroughBuilder<R> {
        ReadThroughBuilder::new(resolver)
    }

    pub(crate) fn from_builder(options: ReadThroughBuilder<R>) -> Self {
        let customer_limits = Limits {
            capacity: options.customer_capacity,
            absent_capacity: options.customer_capacity,
            ..options.limits
        };
        Self(Arc::new(Shared {
            resolver: options.resolver,
            ids: Arc::new(Lane::new(options.limits, options.clock.clone())),
            customers: Arc::new(Lane::new(customer_limits, options.clock.clone())),
            tasks: TaskTracker::new(),
            load_deadline: options.load_deadline,
            write_deadline: options.write_deadline,
            clock: options.clock,
        }))
    }

    /// What is wrapped. Reads and writes of it pass the cache by.
    pub fn inner(&self) -> &R {
        &self.0.resolver
    }

    /// What the cache has done for questions by ACS ID.
    pub fn stats(&self) -> CacheStats {
        self.0.ids.counters().stats()
    }

    /// What the cache has done for questions by customer.
    pub fn customer_stats(&self) -> CacheStats {
        self.0.customers.counters().stats()
    }

    /// Forgets an ACS ID, and the customers' pages that hold it: who asks from now on gets an answer that is loaded from
    /// now on. A customer to whom somebody else has linked it has to be purged, too. Looks at every customer's page.
    pub fn purge(&self, id: &AcsId) {
        self.0.ids.purge(id);
        self.0.customers.purge_where(|_, listing| listing.holds(id));
    }

    /// Forgets a customer, and every ACS ID of which the cache knows that it is the customer's. Looks at every entry.
    pub fn purge_customer(&self, customer: &CustomerId) {
        self.0.customers.purge(customer);
        self.0.ids.purge_where(|_, answer| is_of(answer, customer));
    }

    /// Forgets everything.
    pub fn purge_all(&self) {
        self.0.ids.purge_all();
        self.0.customers.purge_all();
    }
}

impl<R: 'static> ReadThrough<R> {
    /// Runs one load in a task of its own.
    pub(crate) fn start<K, V, Fut>(&self, load: Load<K, V>, ask: impl FnOnce(Arc<Shared<R>>, K) -> Fut)
    where
        K: Key,
        V: Cached,
        Fut: Future<Output = Result<V>> + Send + 'static,
    {
        let deadline = self.0.load_deadline;
        let asked = ask(self.0.clone(), load.key().clone());
        self.0.tasks.spawn(async move {
            let answer = guarded(deadline, ErrorKind::Timeout, asked).await.flatten();
            load.land(answer);
        });
    }
}

impl<R> ReadThrough<R> {
    /// Waits for a load, at most until then. One that does not land in time, as its runtime may stand still, is given up, so
    /// that the next caller starts another.
    pub(crate) async fn wait<K: Key, V: Cached>(
        &self,
        lane: &Lane<K, V>,
        key: &K,
        flight: &Arc<Flight<V>>,
        until: Instant,
    ) -> Result<V> {
        let answer = flight.wait(until.saturating_duration_since(Instant::now())).await;
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            lane.give_up(key, flight);
        }
        answer
    }
}

/// The moment so far ahead, or one that is as good as never.
pub(crate) fn deadline(patience: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + patience.min(NEVER)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<R: Resolver + 'static> Resolver for ReadThrough<R> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        let flight = match self.0.ids.enter(id, |_| true) {
            Entered::Hit(answer) => return Ok(answer),
            Entered::Joined(flight) => flight,
            Entered::Leader(load) => {
                let flight = load.flight();
                self.start(load, |shared, id| async move { shared.resolver.resolve(&id).await });
                flight
            }
        };
        self.wait(&self.0.ids, id, &flight, deadline(self.0.load_deadline)).await
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let mut known: Vec<(&str, Answer)> = Vec::with_capacity(ids.len());
        let mut flights = Vec::new();
        let mut loads = Vec::new();
        let mut seen = std::collections::HashSet::with_capacity(ids.len());
        for id in ids.iter().filter(|id| seen.insert(id.as_str())) {
            match self.0.ids.enter(id, |_| true) {
                Entered::Hit(answer) => known.push((id.as_str(), Ok(answer))),
                Entered::Joined(flight) => flights.push((id, flight)),
                Entered::Leader(load) => {
                    flights.push((id, load.flight()));
                    loads.push(load);
                }
            }
        }
        if !loads.is_empty() {
            self.start_many(loads);
        }
        let until = deadline(self.0.load_deadline);
        for (id, flight) in flights {
            known.push((id.as_str(), self.wait(&self.0.ids, id, &flight, until).await));
        }
        let forgotten = Error::new(ErrorKind::Internal, "the ID was not asked");
        Answers::each_by_id(ids, known, &Err(forgotten))
    }

    fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
        self.0.ids.get(id, |_| true)
    }
}

impl<R: Resolver + 'static> ReadThrough<R> {
    /// Runs the loads of a batch in one task and one call of the resolver.
    fn start_many(&self, loads: Vec<Load<AcsId, Option<Resolution>>>) {
        let shared = self.0.clone();
        self.0.tasks.spawn(async move {
            let ids: Vec<AcsId> = loads.iter().map(|load| load.key().clone()).collect();
            let asked = guarded(shared.load_deadline, ErrorKind::Timeout, shared.resolver.resolve_many(&ids)).await;
            let answers = match asked {
                Ok(answers) if answers.len() == ids.len() => answers,
                Ok(_) => Answers::failed(&ids, &Error::new(ErrorKind::Internal, "the resolver did not answer each ID")),
                Err(error) => Answers::failed(&ids, &error),
            };
            for (load, answer) in loads.into_iter().zip(answers) {
                load.land(answer);
            }
        });
    }
}

impl<R> Clone for ReadThrough<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: fmt::Debug> fmt::Debug for ReadThrough<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadThrough").field(&self.0.resolver).finish()
    }
}
