//! What the two directions keep: the answer for an ACS ID, and the first page of a customer's mappings.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Mapping, Page, PageRequest, Resolution};

/// An answer that a lane can keep.
pub(crate) trait Cached: Clone + Send + Sync + 'static {
    /// Whether it says that there is nothing; such answers live shorter, and in a table of their own.
    fn is_absent(&self) -> bool;

    /// How much of the capacity it takes.
    fn weight(&self) -> u32;

    /// How long it holds, counted from the start of its load; `None` if nothing in it expires.
    fn remaining(&self) -> Option<Duration>;

    /// The same answer, given so much later.
    fn aged(self, by: Duration) -> Self;
}

/// The answer for an ACS ID.
impl Cached for Option<Resolution> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn weight(&self) -> u32 {
        1
    }

    fn remaining(&self) -> Option<Duration> {
        self.as_ref().and_then(Resolution::remaining)
    }

    fn aged(self, by: Duration) -> Self {
        self.map(|resolution| match resolution.remaining() {
            Some(remaining) => resolution.lasting(remaining.saturating_sub(by)),
            None => resolution,
        })
    }
}

/// The first page of a customer's mappings, as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    limit: u32,
    page: Arc<Page<Mapping>>,
    age: Duration,
}

impl Listing {
    pub(crate) fn new(request: &PageRequest, page: Page<Mapping>) -> Self {
        Self { limit: request.limit(), page: Arc::new(page), age: Duration::ZERO }
    }

    /// Whether this is the answer to a request: it was loaded for the same, or is complete and small enough.
    pub(crate) fn answers(&self, request: &PageRequest) -> bool {
        let complete = self.page.next.is_none() && self.page.items.len() <= request.limit() as usize;
        complete || self.limit == request.limit()
    }

    /// The page, if it answers this request.
    pub(crate) fn page_for(&self, request: &PageRequest) -> Option<Page<Mapping>> {
        self.answers(request).then(|| {
            let mut page = self.page.as_ref().clone();
            page.read_at = page.read_at.saturating_add(self.age);
            page
        })
    }

    pub(crate) fn holds(&self, id: &AcsId) -> bool {
        self.page.items.iter().any(|mapping| mapping.acs_id == *id)
    }
}

impl Cached for Listing {
    fn is_absent(&self) -> bool {
        self.page.items.is_empty() && self.page.next.is_none()
    }

    fn weight(&self) -> u32 {
        // A page has a thousand items at most.
        self.page.items.len().max(1) as u32
    }

    fn remaining(&self) -> Option<Duration> {
        let expiries = self.page.items.iter().filter_map(|mapping| mapping.expires_at);
        expiries.min().map(|soonest| soonest.since(self.page.read_at))
    }

    fn aged(mut self, by: Duration) -> Self {
        self.age = by;
        self
    }
}

/// Whether an answer names this customer.
pub(crate) fn is_of(answer: &Option<Resolution>, customer: &CustomerId) -> bool {
    answer.as_ref().is_some_and(|resolution| resolution.customer_id() == customer)
}

#[cfg(test)]
mod tests {
    use acs_identity_core::{Revision, Timestamp};

    use super::*;

    fn listing(items: u64, limit: u32, more: bool) -> Listing {
        let at = Timestamp::from_micros;
        let mapping = |n: u64| {
            let mut mapping =
                Mapping::new(format!("id{n}").parse().unwrap(), "bob".parse().unwrap(), Revision::new(n), at(n));
            mapping.expires_at = Some(at(100 + n));
            mapping
        };
        let next = more.then(|| acs_identity_core::Cursor::new("next"));
        Listing::new(&PageRequest::first(limit).unwrap(), Page::new((1..=items).map(mapping).collect(), next, at(50)))
    }

    #[test]
    fn a_listing_answers_only_what_it_can() {
        let fits = |listing: &Listing, limit| listing.page_for(&PageRequest::first(limit).unwrap()).is_some();
        let complete = listing(3, 10, false);
        assert!(fits(&complete, 10) && fits(&complete, 3) && fits(&complete, 1000) && !fits(&complete, 2));
        let cut = listing(3, 3, true);
        assert!(fits(&cut, 3) && !fits(&cut, 4) && !fits(&cut, 2));
    }

    #[test]
    fn a_listing_lasts_as_long_as_its_first_expiry_and_tells_its_age() {
        let listing = listing(2, 10, false);
        assert_eq!(listing.remaining(), Some(Duration::from_micros(51)));
        let page = listing.aged(Duration::from_micros(7)).page_for(&PageRequest::default()).unwrap();
        assert_eq!(page.read_at, Timestamp::from_micros(57));
    }

    #[test]
    fn an_answers_lifetime_counts_down() {
        let answer = Some(Resolution::from(CustomerId::from(1)).lasting(Duration::from_secs(5)));
        assert_eq!(answer.aged(Duration::from_secs(2)).remaining(), Some(Duration::from_secs(3)));
    }
}
