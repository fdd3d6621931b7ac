//! What the two directions keep: the answer for an ACS ID, and the first page of a customer's mappings.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Freshness, Mapping, Page, PageRequest, Properties, Resolution, Revision};

use crate::barriers::{Key, Side};
use crate::sync::{Guard, is_on};

/// An answer that a lane can keep.
pub(crate) trait Cached: Clone + Send + Sync + 'static {
    /// The key of the other direction, of which answers name some.
    type Named: Key;
    /// What is kept of an answer.
    type Kept: Kept<Self>;
    /// What a load of it asks for, apart from the key.
    type Request: Default + Send + Sync + 'static;

    /// Whether it says that there is nothing; such answers live shorter, and in a table of their own.
    fn is_absent(&self) -> bool;

    /// Whether its source does not say that it is stale.
    fn is_fresh(&self) -> bool;

    /// How long it holds, counted from the start of its load; `None` if nothing in it expires.
    fn remaining(&self) -> Option<Duration>;

    /// The same, so many microseconds later.
    fn aged(self, age: u64) -> Self;

    /// What it names.
    fn named(&self) -> impl Iterator<Item = &Self::Named>;

    /// The answer as it is kept.
    fn keep(self, named: &Side<Self::Named>) -> Self::Kept;
}

/// A kept answer.
pub(crate) trait Kept<V: Cached>: Clone + Send + Sync + 'static {
    /// How much of the capacity one may take.
    const HEAVIEST: u32;

    /// How much of the capacity it takes.
    fn weight(&self) -> u32;

    /// Whether nothing it names was stamped since its load began.
    fn is_unchanged(&self, born: u64, named: &Side<V::Named>) -> bool;

    /// The answer, given so many microseconds later than its load began.
    fn give(self, age: u64) -> V;

    /// The answer, given although it is not fresh any more; `None` if it holds no more, or can't say that it is not fresh.
    fn give_stale(self, age: u64) -> Option<V>;
}

/// What is kept of an answer for an ACS ID that has a customer.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    customer_id: CustomerId,
    properties: Properties,
    /// Its value; [`NONE`] without one.
    revision: u64,
    /// How long the mapping lasted when its load began, in microseconds; [`NONE`] if it does not expire.
    lasts: u64,
    /// Where the customer's barriers are.
    place: u32,
}

const NONE: u64 = u64::MAX;

impl Known {
    #[inline]
    fn resolution(self, age: u64) -> Resolution {
        let resolution = Resolution::from(self.customer_id).with_properties(self.properties);
        let resolution = match self.lasts {
            NONE => resolution,
            lasts => resolution.lasting(Duration::from_micros(lasts.saturating_sub(age))),
        };
        match self.revision {
            NONE => resolution,
            revision => resolution.at_revision(Revision::new(revision)),
        }
    }
}

/// The answer for an ACS ID.
impl Cached for Option<Resolution> {
    type Named = CustomerId;
    type Kept = Option<Known>;
    type Request = ();

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn is_fresh(&self) -> bool {
        self.as_ref().is_none_or(|resolution| resolution.freshness() == Freshness::Fresh)
    }

    fn remaining(&self) -> Option<Duration> {
        self.as_ref().and_then(Resolution::remaining)
    }

    fn aged(self, age: u64) -> Self {
        self.map(|resolution| {
            let remaining = resolution.remaining();
            resolution.lasting(remaining.map(|remaining| remaining.saturating_sub(Duration::from_micros(age))))
        })
    }

    fn named(&self) -> impl Iterator<Item = &CustomerId> {
        self.iter().map(Resolution::customer_id)
    }

    fn keep(self, named: &Side<CustomerId>) -> Option<Known> {
        self.map(|resolution| Known {
            customer_id: resolution.customer_id().clone(),
            properties: resolution.properties().clone(),
            revision: resolution.revision().map_or(NONE, Revision::get),
            lasts: resolution.remaining().map_or(NONE, micros),
            place: named.place(resolution.customer_id()),
        })
    }
}

impl Kept<Option<Resolution>> for Option<Known> {
    const HEAVIEST: u32 = 1;

    fn weight(&self) -> u32 {
        1
    }

    #[inline]
    fn is_unchanged(&self, born: u64, named: &Side<CustomerId>) -> bool {
        self.as_ref().is_none_or(|known| named.is_newer(born, known.place))
    }

    #[inline]
    fn give(self, age: u64) -> Option<Resolution> {
        self.map(|known| known.resolution(age))
    }

    fn give_stale(self, age: u64) -> Option<Option<Resolution>> {
        let known = self.filter(|known| age < known.lasts || !is_on(Guard::StaleWhileItLasts))?;
        let freshness = Freshness::Stale { age: Duration::from_micros(age) };
        Some(Some(known.resolution(age).with_freshness(freshness)))
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
}

impl Cached for Listing {
    type Named = AcsId;
    type Kept = Self;
    type Request = PageRequest;

    fn is_absent(&self) -> bool {
        self.page.items.is_empty() && self.page.next.is_none()
    }

    /// A page has no place in which its source could say otherwise.
    fn is_fresh(&self) -> bool {
        true
    }

    fn remaining(&self) -> Option<Duration> {
        let expiries = self.page.items.iter().filter_map(|mapping| mapping.expires_at);
        expiries.min().map(|soonest| soonest.since(self.page.read_at))
    }

    fn aged(mut self, age: u64) -> Self {
        self.age = Duration::from_micros(age);
        self
    }

    fn named(&self) -> impl Iterator<Item = &AcsId> {
        self.page.items.iter().map(|mapping| &mapping.acs_id)
    }

    fn keep(self, _: &Side<AcsId>) -> Self {
        self
    }
}

impl Kept<Self> for Listing {
    const HEAVIEST: u32 = PageRequest::MAX_LIMIT;

    fn weight(&self) -> u32 {
        self.page.items.len().max(1) as u32
    }

    fn is_unchanged(&self, born: u64, named: &Side<AcsId>) -> bool {
        self.named().all(|id| named.is_newer(born, named.place(id)))
    }

    fn give(self, age: u64) -> Self {
        self.aged(age)
    }

    /// A page has no place in which it could say so.
    fn give_stale(self, _: u64) -> Option<Self> {
        None
    }
}

/// A duration in microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use acs_identity_core::Timestamp;

    use super::*;
    use crate::barriers::Barriers;

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
        let page = listing.give(7).page_for(&PageRequest::default()).unwrap();
        assert_eq!(page.read_at, Timestamp::from_micros(57));
    }

    #[test]
    fn an_answer_is_given_as_it_was_but_for_its_lifetime_which_counts_down() {
        let barriers = Barriers::new(false);
        let properties = Properties::new([("name", "Bob")]).unwrap();
        let answer = Resolution::from(CustomerId::from(1)).with_properties(properties).at_revision(Revision::new(7));
        for (given, later) in [
            (answer.clone().lasting(Duration::from_secs(5)), answer.clone().lasting(Duration::from_secs(3))),
            (answer.clone(), answer),
        ] {
            let kept = Some(given).keep(CustomerId::side(&barriers));
            assert_eq!(kept.give(2_000_000), Some(later));
        }
    }
}
