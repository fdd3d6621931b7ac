//! The options of a cache.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{ChangeFeed, Clock};

use crate::ReadThrough;
use crate::lane::Limits;
use crate::table::TableKind;

/// Sets up a [`ReadThrough`]; made by [`ReadThrough::builder`].
///
/// ```
/// use std::time::Duration;
/// use acs_identity_cache::ReadThrough;
/// use acs_identity_core::MemoryStore;
/// let cached = ReadThrough::builder(MemoryStore::new())
///     .lifetime(Duration::from_secs(60))
///     .capacity(1_000_000)
///     .build();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ReadThroughBuilder<R> {
    pub(crate) resolver: R,
    pub(crate) limits: Limits,
    pub(crate) customer_capacity: u64,
    pub(crate) batch_size: usize,
    pub(crate) batches_at_once: usize,
    pub(crate) soft_deadline: Duration,
    pub(crate) write_deadline: Duration,
    pub(crate) feed: Option<Arc<dyn ChangeFeed>>,
    pub(crate) table: TableKind,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

impl<R> ReadThroughBuilder<R> {
    pub(crate) fn new(resolver: R) -> Self {
        Self {
            resolver,
            limits: Limits {
                lifetime: Duration::from_secs(300),
                absent_lifetime: Duration::from_secs(10),
                jitter: 0.1,
                refresh_ahead: 0.0,
                stale_for: Duration::ZERO,
                load_deadline: Duration::from_secs(10),
                capacity: 100_000,
                absent_capacity: 10_000,
            },
            customer_capacity: 10_000,
            batch_size: 500,
            batches_at_once: 4,
            soft_deadline: Duration::MAX,
            write_deadline: Duration::from_secs(10),
            feed: None,
            table: TableKind::default(),
            clock: None,
        }
    }

    /// How long an answer is kept at most, from the start of its load; never beyond the mapping's own expiry. Five minutes
    /// by default. It bounds how long another process's write can go unseen. Zero keeps nothing.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.limits.lifetime = lifetime;
        self
    }

    /// How long an absent answer is kept at most. Ten seconds by default. Zero keeps none.
    pub fn absent_lifetime(mut self, lifetime: Duration) -> Self {
        self.limits.absent_lifetime = lifetime;
        self
    }

    /// The part by which a lifetime is shortened at most, at random, so that what was loaded together is not reloaded
    /// together: 0.1 by default. Taken into the range 0 to 1; what is not a number counts as 0.
    pub fn jitter(mut self, part: f64) -> Self {
        self.limits.jitter = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// How many found answers are kept at most: 100,000 by default.
    pub fn capacity(mut self, entries: u64) -> Self {
        self.limits.capacity = entries;
        self
    }

    /// How many absent answers are kept at most, apart from the found ones, which they cannot push out: 10,000 by default.
    pub fn absent_capacity(mut self, entries: u64) -> Self {
        self.limits.absent_capacity = entries;
        self
    }

    /// How many mappings are kept at most in customers' first pages: 10,000 by default. As many customers without any are
    /// kept apart from these.
    pub fn customer_capacity(mut self, entries: u64) -> Self {
        self.customer_capacity = entries;
        self
    }

    /// The last part of a lifetime in which a hit has the answer loaded anew, off the caller's path, so that what is in use
    /// never has to be waited for: 0, which is never, by default; 0.2 is usual. Taken into the range 0 to 1; what is not a number counts as 0.
    /// After a failure, hits try again a tenth of that part later, or a second if that is less.
    pub fn refresh_ahead(mut self, part: f64) -> Self {
        self.limits.refresh_ahead = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Allows to answer with what was known before if its load fails as the source is not there (`Unavailable`, `Timeout`), or
    /// takes longer than the [soft deadline](Self::soft_deadline): for so long after the answer's lifetime, and as long as the mapping
    /// itself. Zero, by default, allows it never.
    ///
    /// Such an answer says so: [`Freshness::Stale`](acs_identity_core::Freshness::Stale), where it is asked of an
    /// [`IdentityMap`](acs_identity_core::IdentityMap) by `resolve` or `resolve_many`; an `Identity` has no place for it. What this process knows to be unlinked or linked anew is not
    /// given out; what others have changed meanwhile may be. Absent answers and customers' pages are never given out in this way.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.limits.stale_for = time;
        self
    }

    /// How long a caller waits for a load before a stale answer is given out instead, if there is one and
    /// [`stale_if_error`](Self::stale_if_error) allows it. By default as long as the load's deadline.
    pub fn soft_deadline(mut self, deadline: Duration) -> Self {
        self.soft_deadline = deadline;
        self
    }

    /// How long a load, or another question that is passed on, may take before those who wait get a `Timeout`. Ten seconds
    /// by default; should be more than the backend's own deadline. The load goes on for as long again, and if it lands, and
    /// no other that was started since has landed, its answer is kept.
    pub fn load_deadline(mut self, deadline: Duration) -> Self {
        self.limits.load_deadline = deadline;
        self
    }

    /// How many ACS IDs are asked for in one call at most: 500 by default. Zero counts as 1.
    pub fn batch_size(mut self, ids: usize) -> Self {
        self.batch_size = ids;
        self
    }

    /// How many calls for ACS IDs are under way at most, and how many for customers' first pages: 4 by default; zero counts as 1. Loads
    /// that come when there are as many wait, and those for ACS IDs go together. More make smaller batches; one makes the largest, but
    /// lets a slow call stand in the way of the others until the [load's deadline](Self::load_deadline). A call that is later than that
    /// is not counted any more.
    pub fn batches_at_once(mut self, calls: usize) -> Self {
        self.batches_at_once = calls;
        self
    }

    /// The news of what others write, mostly of the same store. While it is followed, a change made elsewhere is seen as soon
    /// as it is told; while it is not, as at the beginning and after its connection was lost, no answer that is kept
    /// is fresh, and every question is asked of the source. It is followed from the first question on, as long as the cache is there. If the runtime
    /// on which it is stands still for five seconds, nothing is fresh either, and it is followed on another one that asks.
    pub fn feed(mut self, feed: impl ChangeFeed + 'static) -> Self {
        self.feed = Some(Arc::new(feed));
        self
    }

    /// How long a write may take before it is `OutcomeUnknown`. If nobody can say how a write ended, what it touched
    /// is not stored for this time after that, in case the backend applies it late. Ten seconds by default; should be more than the backend's own
    /// deadline. A batch, and a purge of expired mappings, has this time once for each 500 items that it begins, and the unlinking of a
    /// customer a hundred times.
    pub fn write_deadline(mut self, deadline: Duration) -> Self {
        self.write_deadline = deadline;
        self
    }

    /// Which library's table holds the answers; `moka`'s by default.
    pub fn table(mut self, table: TableKind) -> Self {
        self.table = table;
        self
    }

    /// The clock by which lifetimes are counted. By default it is the operating system's coarse one, which may be some
    /// milliseconds behind; a mapping's expiry counts as 20 ms earlier, so that none is given out after its end.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The cache.
    pub fn build(self) -> ReadThrough<R> {
        ReadThrough::from_builder(self)
    }
}
