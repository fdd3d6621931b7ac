//! The answer to "which customer is this ACS ID?".

use std::fmt;
use std::time::Duration;

use crate::{CustomerId, Properties, Revision};

/// What a [`Resolver`](crate::Resolver) knows of an ACS ID: the customer behind it, and how long that holds.
///
/// Cheap to clone. A resolver that knows nothing but the customer makes one with `From<CustomerId>`.
///
/// ```
/// use std::time::Duration;
/// use acs_identity_core::{CustomerId, Resolution};
/// let answer = Resolution::from(CustomerId::new("bob")?).lasting(Duration::from_secs(60));
/// assert_eq!(answer.customer_id().as_str(), "bob");
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
// Compact, and without options, since a cache keeps many and copies one with each hit.
#[derive(Clone, PartialEq, Eq)]
pub struct Resolution {
    customer_id: CustomerId,
    properties: Properties,
    /// Its value; [`NONE`] without one.
    revision: u64,
    /// In microseconds; [`NONE`] if it does not expire.
    remaining: u64,
    /// The age of a stale answer in microseconds; [`NONE`] of a fresh one.
    stale_for: u64,
}

/// No revision and no time that is kept is as great.
const NONE: u64 = u64::MAX;

#[inline]
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(NONE).min(NONE - 1)
}

/// Whether an answer is one that its source stands by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Freshness {
    /// It is.
    #[default]
    Fresh,
    /// A cache has given out what it knew before, since its source did not answer; only on request, as with `ReadThrough`'s
    /// option `stale_if_error`.
    Stale {
        /// How long ago its source was asked for it.
        age: Duration,
    },
}

impl Resolution {
    /// The customer whose ACS ID it is.
    #[inline]
    pub fn customer_id(&self) -> &CustomerId {
        &self.customer_id
    }

    /// The custom properties of the mapping; empty where the resolver has none.
    #[inline]
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// How much longer the mapping lasts, counted from this answer, in whole microseconds; `None` if it does not expire.
    ///
    /// A length and not a date, so that the clocks of two machines need not agree.
    #[inline]
    pub fn remaining(&self) -> Option<Duration> {
        (self.remaining != NONE).then(|| Duration::from_micros(self.remaining))
    }

    /// The revision of the mapping, where the resolver has revisions.
    #[inline]
    pub fn revision(&self) -> Option<Revision> {
        (self.revision != NONE).then(|| Revision::new(self.revision))
    }

    /// Whether the answer is fresh, or was given out by a cache whose source did not answer.
    pub fn freshness(&self) -> Freshness {
        match self.stale_for {
            NONE => Freshness::Fresh,
            age => Freshness::Stale { age: Duration::from_micros(age) },
        }
    }

    /// The same with custom properties.
    #[must_use]
    #[inline]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// The same, valid for so much longer.
    #[must_use]
    #[inline]
    pub fn lasting(mut self, remaining: impl Into<Option<Duration>>) -> Self {
        self.remaining = remaining.into().map_or(NONE, micros);
        self
    }

    /// The same with the revision of the mapping.
    #[must_use]
    #[inline]
    pub fn at_revision(mut self, revision: Revision) -> Self {
        self.revision = revision.get();
        self
    }

    /// The same, said to be as fresh as this.
    #[must_use]
    #[inline]
    pub fn with_freshness(mut self, freshness: Freshness) -> Self {
        self.stale_for = match freshness {
            Freshness::Fresh => NONE,
            Freshness::Stale { age } => micros(age),
        };
        self
    }
}

impl From<CustomerId> for Resolution {
    #[inline]
    fn from(customer_id: CustomerId) -> Self {
        Self { customer_id, properties: Properties::default(), revision: NONE, remaining: NONE, stale_for: NONE }
    }
}

impl fmt::Debug for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolution")
            .field("customer_id", &self.customer_id)
            .field("properties", &self.properties)
            .field("remaining", &self.remaining())
            .field("revision", &self.revision())
            .field("freshness", &self.freshness())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_was_said_of_it() {
        let answer = Resolution::from(CustomerId::from(7));
        assert_eq!((answer.remaining(), answer.freshness(), answer.revision()), (None, Freshness::Fresh, None));
        let age = Duration::from_secs(3);
        for remaining in [Duration::ZERO, Duration::from_micros(1), Duration::from_secs(u32::MAX.into())] {
            let told = answer.clone().lasting(remaining).with_freshness(Freshness::Stale { age });
            assert_eq!((told.remaining(), told.freshness()), (Some(remaining), Freshness::Stale { age }));
            assert_eq!(told.lasting(None).with_freshness(Freshness::Fresh), answer);
        }
        assert!(answer.clone().lasting(Duration::MAX).remaining() > Some(Duration::from_secs(u32::MAX.into())));
        let other = answer.clone().at_revision(Revision::new(9));
        assert_eq!((answer.revision(), other.revision()), (None, Some(Revision::new(9))), "a clone is changed alone");
    }
}
