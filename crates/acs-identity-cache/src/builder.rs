//! The options of a cache.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Clock, SystemClock};

use crate::ReadThrough;
use crate::lane::Limits;

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
    pub(crate) load_deadline: Duration,
    pub(crate) write_deadline: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl<R> ReadThroughBuilder<R> {
    pub(crate) fn new(resolver: R) -> Self {
        Self {
            resolver,
            limits: Limits {
                lifetime: Duration::from_secs(300),
                absent_lifetime: Duration::from_secs(10),
                jitter: 0.1,
                capacity: 100_000,
                absent_capacity: 10_000,
            },
            customer_capacity: 10_000,
            load_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
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

    /// How long a load, or another question that is passed on, may take before those who wait get a `Timeout`. Ten seconds
    /// by default; should be more than the backend's own deadline.
    pub fn load_deadline(mut self, deadline: Duration) -> Self {
        self.load_deadline = deadline;
        self
    }

    /// How long a write may take before it is `OutcomeUnknown`. If nobody can say how a write ended, what it touched
    /// is not stored for this time after that, in case the backend applies it late. Ten seconds by default; should be more than the backend's own deadline. A batch has
    /// this time once for each 500 items that it begins, and the unlinking of a customer a hundred times.
    pub fn write_deadline(mut self, deadline: Duration) -> Self {
        self.write_deadline = deadline;
        self
    }

    /// The clock by which lifetimes are counted; the operating system's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The cache.
    pub fn build(self) -> ReadThrough<R> {
        ReadThrough::from_builder(self)
    }
}
