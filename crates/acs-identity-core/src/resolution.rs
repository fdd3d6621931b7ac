//! The answer to "which customer is this ACS ID?".

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    customer_id: CustomerId,
    properties: Properties,
    remaining: Option<Duration>,
    revision: Option<Revision>,
    freshness: Freshness,
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
    pub fn customer_id(&self) -> &CustomerId {
        &self.customer_id
    }

    /// The custom properties of the mapping; empty where the resolver has none.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// How much longer the mapping lasts, counted from this answer; `None` if it does not expire.
    ///
    /// A length and not a date, so that the clocks of two machines need not agree.
    pub fn remaining(&self) -> Option<Duration> {
        self.remaining
    }

    /// The revision of the mapping, where the resolver has revisions.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Whether the answer is fresh, or was given out by a cache whose source did not answer.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// The same with custom properties.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// The same, valid for so much longer.
    #[must_use]
    pub fn lasting(mut self, remaining: impl Into<Option<Duration>>) -> Self {
        self.remaining = remaining.into();
        self
    }

    /// The same with the revision of the mapping.
    #[must_use]
    pub fn at_revision(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// The same, said to be as fresh as this.
    #[must_use]
    pub fn with_freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }
}

impl From<CustomerId> for Resolution {
    fn from(customer_id: CustomerId) -> Self {
        Self {
            customer_id,
            properties: Properties::default(),
            remaining: None,
            revision: None,
            freshness: Freshness::Fresh,
        }
    }
}
