//! [`ReadThrough`] and its read side.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Answers, CustomerId, Error, ErrorKind, Resolution, Resolver, Result};
use async_trait::async_trait;
use tokio_util::task::TaskTracker;

use crate::barriers::{Barriers, Key};
use crate::batches::Batches;
use crate::breaker::Breaker;
use crate::builder::ReadThroughBuilder;
use crate::clock::Time;
use crate::counters::{CacheStats, Counters};
use crate::flight::Seat;
use crate::follow::Follower;
use crate::guarded::outside;
use crate::lane::{Entered, Lane, Limits, Load};
use crate::sync::{Moment, has_runtime, moment};
use crate::traced::Direction;
use crate::values::{Cached, Listing};

/// A cache in front of a resolver or a store.
///
/// Clones share the cache. Around a [`MappingStore`](acs_identity_core::MappingStore) it is one itself: writes go to the store, and once
/// a write has returned, no read through this wrapper or a clone that begins later sees what was there before. What others
/// write is seen as soon as the change feed tells it, if there is [one](ReadThroughBuilder::feed); without, when the
/// [`lifetime`](ReadThroughBuilder::lifetime) of an answer is over, or after a purge.
///
/// # Concurrent calls
/// At most one load of an ACS ID, or of a customer's page, is under way, and all who ask meanwhile get its answer; but who asks after a write, a purge or a
/// piece of news that the load may not have seen, or after its deadline, starts another. Loads of different IDs are gathered: the
/// first goes at once, and those that are asked for while as many calls of the source are under way as there
/// [may be](ReadThroughBuilder::batches_at_once) go together in one call as soon as one of these ends. A failed load is shared by those who
/// wait and is not stored.
///
/// # Failures
/// A call that fails for all its IDs for good, or panics, is split until what it fails for stands alone. After one that was late, each of its IDs
/// is asked for alone, until that was in time; those that were late alone hold at most half of the calls there may be.
/// So it is with customers' pages, each of which has a call of its own, among as many others.
///
/// A source that keeps failing is spared, by a breaker. It opens after five failed calls in a row, if the last success is a second ago.
/// A call has failed in this way if the source was unreachable or late for all that it asked for (`Unavailable`, `Timeout`). It counts
/// only if it asked for something that had not failed before: something whose last answer was no such failure. While the breaker is
/// open, loads are `Unavailable` at once, also those that wait for a call. After half a second to a second, at random, one load is let
/// through: at first only one that asks for something not known to fail, half a second later any. If the source answers, the breaker
/// closes. What is only passed on to a store (writes, later pages, `scan`) is not refused.
///
/// # Cancellation
/// Every call may be dropped at any point. Loads and writes run in tasks of their own and go on: others who wait for the
/// load get their answer, and a write is finished. What is only passed on (later pages, `scan`, `purge_expired`, `ping`) ends with its caller.
///
/// # Closing
/// [`close`](acs_identity_core::MappingStore::close), of a cache around a store, is for all clones. It ends the following of the feed and
/// waits for the writes under way. Then it closes the store and forgets everything. At last it waits for the loads under way. Each of the
/// three waits lasts at most as long as the longer one of the [load's](ReadThroughBuilder::load_deadline) and the
/// [write's deadline](ReadThroughBuilder::write_deadline); a longer write (a large batch, an erasure) may then be cut off by its store.
/// Outside of a tokio runtime with a timer nothing is waited for but the store, and that without a deadline. A call that is dropped
/// does no more; it can be made again.
///
/// From then on, no answer from before is given out, also not as a stale one. Reads and writes go to the closed store, and get what that
/// answers: `Unavailable` from those of this library.
///
/// # Panics
/// A panicking resolver gives each of those who wait one `Internal` error, and the next caller tries again. Outside of a
/// tokio runtime with a timer, a question that has to be asked of the resolver, and a write, is answered with `Unavailable`.
/// Whether a runtime has a timer is found out by trying, once for each runtime and thread: where it has none, tokio panics, the panic
/// hook says so, and the panic is caught. That needs unwinding: with `panic = "abort"` the process would end, so always enable the
/// timer there.
pub struct ReadThrough<R>(pub(crate) Arc<Shared<R>>);

pub(crate) struct Shared<R> {
    pub(crate) resolver: R,
    pub(crate) ids: Arc<Lane<AcsId, Option<Resolution>>>,
    pub(crate) customers: Arc<Lane<CustomerId, Listing>>,
    pub(crate) barriers: Arc<Barriers>,
    pub(crate) batches: Batches<AcsId, Option<Resolution>>,
    /// Of customers' pages, each of which has a call of its own.
    pub(crate) pages: Batches<CustomerId, Listing>,
    pub(crate) breaker: Breaker,
    pub(crate) follower: Option<Follower>,
    pub(crate) tasks: TaskTracker,
    pub(crate) writes: TaskTracker,
    pub(crate) load_deadline: Duration,
    pub(crate) soft_deadline: Duration,
    pub(crate) write_deadline: Duration,
    pub(crate) time: Time,
}

/// Until when a caller waits for fresh answers, and for any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    soft: Moment,
    hard: Moment,
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
        let time = options.clock.map_or(Time::Coarse, Time::Of);
        let barriers = Arc::new(Barriers::new(options.feed.is_some()));
        let ids = Arc::new(Lane::new(options.table, options.limits, time.clone(), barriers.clone()));
        let customers = Arc::new(Lane::new(options.table, customer_limits, time.clone(), barriers.clone()));
        let follower = options
            .feed
            .map(|feed| Follower::new(feed, barriers.clone(), ids.clone(), customers.clone(), time.clone()));
        Self(Arc::new(Shared {
            resolver: options.resolver,
            ids,
            customers,
            barriers,
            batches: Batches::new(options.batch_size, options.batches_at_once),
            pages: Batches::new(1, options.batches_at_once),
            breaker: Breaker::default(),
            follower,
            tasks: TaskTracker::new(),
            writes: TaskTracker::new(),
            load_deadline: options.limits.load_deadline,
            soft_deadline: options.soft_deadline.min(options.limits.load_deadline),
            write_deadline: options.write_deadline,
            time,
        }))
    }

    /// What is wrapped. Reads and writes of it pass the cache by.
    pub fn inner(&self) -> &R {
        &self.0.resolver
    }

    /// What the cache has done for questions by ACS ID.
    pub fn stats(&self) -> CacheStats {
        self.stats_of(Direction::ById)
    }

    /// What the cache has done for questions by customer.
    pub fn customer_stats(&self) -> CacheStats {
        self.stats_of(Direction::ByCustomer)
    }

    fn stats_of(&self, direction: Direction) -> CacheStats {
        let feed = self.0.barriers.feed();
        CacheStats {
            feed_epoch: feed.epoch,
            feed_live: feed.live && self.0.barriers.is_heard(self.0.time.now()),
            breaker_open: self.0.breaker.is_open(),
            ..self.0.counters(direction).stats()
        }
    }

    /// Forgets an ACS ID, and the customers' pages that hold it: who asks from now on gets an answer that is loaded from
    /// now on. A customer to whom somebody else has linked it has to be purged, too.
    pub fn purge(&self, id: &AcsId) {
        self.0.barriers.stamp_id(id);
        self.0.ids.forget(id);
    }

    /// Forgets a customer, and every ACS ID of which the cache knows that it is the customer's.
    pub fn purge_customer(&self, customer: &CustomerId) {
        self.0.barriers.stamp_customer(customer);
        self.0.customers.forget(customer);
    }

    /// Forgets everything.
    pub fn purge_all(&self) {
        self.0.barriers.forget_all();
        self.0.ids.clear();
        self.0.customers.clear();
    }
}

impl<R> Shared<R> {
    pub(crate) fn counters(&self, direction: Direction) -> &Counters {
        match direction {
            Direction::ById => self.ids.counters(),
            Direction::ByCustomer => self.customers.counters(),
        }
    }

    /// Waits for a load. If it takes long or fails, what was known before is the answer, where that is allowed. `None` is
    /// that of a load joined so late that its answer may be over: then the caller is to enter anew.
    pub(crate) async fn wait<K: Key, V: Cached>(
        &self,
        lane: &Lane<K, V>,
        key: &K,
        seat: &Seat<K, V>,
        until: &Deadlines,
    ) -> Result<Option<V>> {
        let mut answer = seat.wait(until.soft).await;
        if until.soft < until.hard && answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            if let Some(stale) = lane.get_stale(key) {
                return Ok(Some(stale));
            }
            answer = seat.wait(until.hard).await;
        }
        answer.or_else(|error| self.stale(lane, key, error).map(Some))
    }

    /// What was known before, instead of an error that says that the source was not there.
    fn stale<K: Key, V: Cached>(&self, lane: &Lane<K, V>, key: &K, error: Error) -> Result<V> {
        let known = if error.is_transient() { lane.get_stale(key) } else { None };
        known.ok_or(error)
    }

    /// The load that renews an answer in use which is near its end; none while the source is spared.
    #[cold]
    pub(crate) fn renewal<K: Key, V: Cached>(&self, lane: &Arc<Lane<K, V>>, key: &K) -> Option<Load<K, V>> {
        if self.breaker.lets_nobody_through(self.time.now()) || !has_runtime() {
            return None;
        }
        lane.refresh(key)
    }

    /// Until when a caller waits who asks now.
    ///
    /// # Errors
    /// `Unavailable` outside of a runtime.
    pub(crate) fn deadlines(&self) -> Result<Deadlines> {
        if !has_runtime() {
            return Err(outside());
        }
        Ok(Deadlines { soft: moment(self.soft_deadline), hard: moment(self.load_deadline) })
    }

    /// Has the change feed followed, if there is one. Nothing is fresh before it is.
    pub(crate) fn follow(&self) {
        if let Some(follower) = &self.follower
            && has_runtime()
        {
            follower.start(&self.tasks);
        }
    }
}

impl<R: Resolver + 'static> Shared<R> {
    /// Has an answer in use loaded anew which is near its end.
    fn renew(self: &Arc<Self>, id: &AcsId) {
        if let Some(load) = self.renewal(&self.ids, id) {
            self.submit([load]);
        }
    }

    /// Finds the answer for an ID, or waits for it.
    async fn look_up(self: &Arc<Self>, id: &AcsId, mut until: Option<Deadlines>) -> Answer {
        loop {
            let seat = match self.ids.enter(id, |_| true, || self.renew(id)) {
                Entered::Hit(value) => return Ok(value),
                Entered::Joined(seat) => seat,
                Entered::Leader(load) => {
                    let seat = load.seat();
                    self.follow();
                    self.submit([load]);
                    seat
                }
            };
            let given = until.map_or_else(|| self.deadlines(), Ok)?;
            until = Some(given);
            if let Some(answer) = self.wait(&self.ids, id, &seat, &given).await? {
                return Ok(answer);
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<R: Resolver + 'static> Resolver for ReadThrough<R> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        self.0.look_up(id, None).await
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let until = self.0.deadlines();
        let mut known: Vec<(&str, Answer)> = Vec::with_capacity(ids.len());
        let mut waiting = Vec::new();
        let mut loads = Vec::new();
        let mut seen = HashSet::with_capacity(ids.len());
        for id in ids.iter().filter(|id| seen.insert(id.as_str())) {
            match self.0.ids.enter(id, |_| true, || loads.extend(self.0.renewal(&self.0.ids, id))) {
                Entered::Hit(value) => known.push((id.as_str(), Ok(value))),
                Entered::Joined(seat) => waiting.push((id, seat)),
                Entered::Leader(load) => {
                    waiting.push((id, load.seat()));
                    loads.push(load);
                }
            }
        }
        if !loads.is_empty() {
            self.0.follow();
            self.0.submit(loads);
        }
        for (id, seat) in waiting {
            let answer = match &until {
                Ok(until) => match self.0.wait(&self.0.ids, id, &seat, until).await.transpose() {
                    Some(answer) => answer,
                    None => self.0.look_up(id, Some(*until)).await,
                },
                Err(outside) => Err(outside.clone()),
            };
            known.push((id.as_str(), answer));
        }
        let forgotten = Error::new(ErrorKind::Internal, "the ID was not asked");
        Answers::each_by_id(ids, known, &Err(forgotten))
    }

    fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
        self.0.ids.get(id, |_| true, || self.0.renew(id))
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
