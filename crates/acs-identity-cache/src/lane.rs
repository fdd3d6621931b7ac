//! One direction of the cache: its entries, and the loads under way.
//!
//! # Why nothing stale gets in, or out
//! An answer is stored only under the lock of its key's stripe, and only if
//! - its flight is still in the stripe: a write or a purge of the key takes the flights of the key out, under the same lock, and so does a
//!   newer flight that has landed;
//! - neither the key nor anything that the answer names is barred: a write bars what it touches until it is over.
//!
//! It is given out only if no barrier came after the start of its load: neither one of everything, nor one of what it names (see
//! [`barriers`](crate::barriers)). Nobody joins a flight that has been taken out, or that began before a barrier which may turn out to count for it.

mod landing;
mod load;
mod renewals;
mod stripe;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::barriers::{Barriers, Key, Side};
use crate::clock::Time;
use crate::counters::{Counters, Event};
use crate::flight::{Flight, NOT_BEGUN, Seat};
use crate::sync::{AtomicU64, Guard, MutexGuard, Ordering, is_on, lock};
use crate::table::{Entry, Hashed, Table, TableKind};
use crate::values::{Cached, Kept, micros};
pub(crate) use load::Load;
use renewals::FailedRenewals;
use stripe::{Flights, Stripe};

const STRIPES: usize = 64;

/// How long, and how many, answers are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) lifetime: Duration,
    pub(crate) absent_lifetime: Duration,
    /// By how much a lifetime is shortened at most, as a part of it: 0 to 1.
    pub(crate) jitter: f64,
    /// The last part of a lifetime in which a hit has the answer loaded anew: 0 to 1.
    pub(crate) refresh_ahead: f64,
    /// How long after its freshness an answer may be given out where a load fails.
    pub(crate) stale_for: Duration,
    /// How long after its start a load may be joined.
    pub(crate) load_deadline: Duration,
    pub(crate) capacity: u64,
    pub(crate) absent_capacity: u64,
}

pub(crate) struct Lane<K: Key, V: Cached> {
    known: Table<K, V::Kept>,
    absent: Table<K, V::Kept>,
    stripes: Box<[Stripe<K, V>]>,
    failed_renewals: FailedRenewals,
    barriers: Arc<Barriers>,
    /// When a load last began, in microseconds.
    last_begun: AtomicU64,
    limits: Limits,
    time: Time,
    hasher: RandomState,
    counters: Arc<Counters>,
}

/// What somebody finds who asks for a key.
pub(crate) enum Entered<K: Key, V: Cached> {
    /// An answer.
    Hit(V),
    /// A load that somebody else started.
    Joined(Seat<K, V>),
    /// A load that this caller has to run.
    Leader(Load<K, V>),
}

impl<K: Key, V: Cached> Lane<K, V> {
    pub(crate) fn new(table: TableKind, limits: Limits, time: Time, barriers: Arc<Barriers>) -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            known: Table::new(table, limits.capacity, V::Kept::weight, V::Kept::HEAVIEST, counters.clone()),
            absent: Table::new(table, limits.absent_capacity, |_| 1, 1, counters.clone()),
            stripes: (0..STRIPES).map(|_| Stripe::new()).collect(),
            failed_renewals: FailedRenewals::new(),
            barriers,
            last_begun: AtomicU64::new(0),
            limits,
            time,
            hasher: RandomState::default(),
            counters,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The stored answer, if there is a fresh one that is usable, and `due` is called if it is time to load it anew. Takes no lock
    /// of this lane.
    #[inline]
    pub(crate) fn get(&self, key: &K, usable: impl Fn(&V::Kept) -> bool, due: impl FnOnce()) -> Option<V> {
        self.get_hashed(self.hashed(key), usable, due)
    }

    // An answer is moved as seldom as can be: that is a good part of what a hit costs.
    #[inline]
    fn get_hashed(&self, key: Hashed<&K>, usable: impl Fn(&V::Kept) -> bool, due: impl FnOnce()) -> Option<V> {
        match self.known.get(key) {
            Some(entry) => self.given(entry, Event::Hit, usable, due),
            None => self.given(self.absent.get(key)?, Event::NegativeHit, usable, due),
        }
    }

    #[inline]
    fn given(
        &self,
        entry: Entry<V::Kept>,
        event: Event,
        usable: impl Fn(&V::Kept) -> bool,
        due: impl FnOnce(),
    ) -> Option<V> {
        let now = self.time.now();
        if (now >= entry.fresh_until && is_on(Guard::Lifetime))
            || !self.is_unchanged(&entry, now)
            || !usable(&entry.kept)
        {
            return None;
        }
        self.counters.count(event);
        if self.limits.refresh_ahead > 0.0 && self.is_due(&entry, now) {
            due();
        }
        let age = now.saturating_sub(entry.loaded);
        Some(entry.kept.give(age))
    }

    /// Whether it is time to load an answer anew.
    fn is_due(&self, entry: &Entry<V::Kept>, now: u64) -> bool {
        let (left, lifetime) = (entry.fresh_until - now, entry.fresh_until - entry.loaded);
        (left as f64) < self.limits.refresh_ahead * lifetime as f64
    }

    /// Whether no barrier came after the start of its load.
    fn is_unchanged(&self, entry: &Entry<V::Kept>, now: u64) -> bool {
        self.barriers.is_fresh(entry.born, now) && self.names_unchanged(entry)
    }

    fn names_unchanged(&self, entry: &Entry<V::Kept>) -> bool {
        // Mostly nothing was stamped at all since then.
        K::side(&self.barriers).is_newest(entry.born)
            || entry.kept.is_unchanged(entry.born, self.named())
            || !is_on(Guard::Stamp)
    }

    /// What was known, if the source may be about to answer the same: not if it is known to have changed.
    pub(crate) fn get_stale(&self, key: &K) -> Option<V> {
        if self.limits.stale_for.is_zero() {
            return None;
        }
        let entry = self.known.get(self.hashed(key))?;
        let now = self.time.now();
        let is_young = now < entry.fresh_until.saturating_add(micros(self.limits.stale_for));
        if (!is_young && is_on(Guard::StaleForAWhile))
            || !self.barriers.is_usable(entry.born)
            || !self.names_unchanged(&entry)
        {
            return None;
        }
        // Rather some milliseconds too old than after its end.
        let age = (now + self.time.grain()).saturating_sub(entry.loaded);
        let stale = entry.kept.give_stale(age)?;
        self.counters.count(Event::ServedStale);
        Some(stale)
    }

    /// Finds the stored answer if it is usable, joins the load of a key, or starts one; see [`get`](Self::get).
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: &K,
        usable: impl Fn(&V::Kept) -> bool,
        due: impl FnOnce(),
    ) -> Entered<K, V> {
        let hashed = self.hashed(key);
        let stripe = self.stripe(hashed);
        let stored = stripe.stored.load(Ordering::Acquire);
        if let Some(value) = self.get_hashed(hashed, &usable, due) {
            return Entered::Hit(value);
        }
        let mut flights = lock(&stripe.flights);
        // Again under the lock, if a load may have landed in between; what has is not due.
        if stripe.stored.load(Ordering::Acquire) != stored
            && let Some(value) = self.get_hashed(hashed, &usable, || {})
        {
            return Entered::Hit(value);
        }
        self.counters.count(Event::Miss);
        match self.join_or_lead(&mut flights, hashed) {
            Ok(load) => Entered::Leader(load),
            Err(flight) => {
                self.counters.count(Event::Joined);
                Entered::Joined(Seat::joined(flight, self.time.now().saturating_add(self.time.grain())))
            }
        }
    }

    /// Starts a load that renews what is kept of a key, unless there is one under way, it has been renewed meanwhile, or that
    /// has just failed.
    pub(crate) fn refresh(self: &Arc<Self>, key: &K) -> Option<Load<K, V>> {
        let hashed = self.hashed(key);
        let mut flights = self.lock(hashed);
        // Again under the lock, since the load that an earlier hit has started may have landed in between.
        if self.needs_no_renewal(hashed) {
            return None;
        }
        let mut load = self.join_or_lead(&mut flights, hashed).ok()?;
        load.is_renewal = true;
        self.counters.count(Event::Refreshed);
        Some(load)
    }

    /// Whether a fresh answer is kept that is not due, or for which another try is to wait.
    fn needs_no_renewal(&self, key: Hashed<&K>) -> bool {
        let now = self.time.now();
        let Some(entry) = self.known.get(key).or_else(|| self.absent.get(key)) else { return false };
        if now >= entry.fresh_until || !self.is_unchanged(&entry, now) {
            return false;
        }
        let window = self.limits.refresh_ahead * (entry.fresh_until - entry.loaded) as f64;
        !self.is_due(&entry, now) || self.failed_renewals.has_to_wait(key.hash, window as u64, now)
    }

    fn join_or_lead(
        self: &Arc<Self>,
        flights: &mut Flights<K, V>,
        key: Hashed<&K>,
    ) -> Result<Load<K, V>, Arc<Flight<K, V>>> {
        let now = self.time.now();
        let last = flights.last(key);
        let is_late = last.is_some_and(|flight| !self.is_young(flight, now));
        let is_again = !is_late && last.is_some_and(|flight| flight.started() != NOT_BEGUN);
        if let Some(flight) = last
            && K::side(&self.barriers).is_joinable(flight.born())
            // While nobody listens, others may have written since it began; and who leads has the feed followed again.
            && self.barriers.is_heard(now)
            && (!is_late || !is_on(Guard::JoinedWhileYoung))
        {
            return Err(flight.clone());
        }
        let flight = Arc::new(Flight::new(key.to_owned(), now));
        flights.add(flight.clone());
        let mut load = Load::new(self.clone(), flight);
        load.goes_alone = is_late;
        load.is_again = is_again;
        Ok(load)
    }

    /// Whether a load is still within its deadline. One that waits for others to end is, however long it has to: to start
    /// another would only make the line longer. But a line that does not move is on a runtime that stands still.
    fn is_young(&self, flight: &Flight<K, V>, now: u64) -> bool {
        let since = match flight.started() {
            NOT_BEGUN => flight.asked.max(self.last_begun.load(Ordering::Acquire)),
            started => started,
        };
        // The clock may be behind by its grain: rather a load too many than one joined that its own callers have given up.
        let deadline = micros(self.limits.load_deadline);
        now < since.saturating_add(deadline - self.time.grain().min(deadline / 2))
    }

    /// Forgets a key, and keeps the loads of it that are under way from being stored or joined.
    pub(crate) fn forget(&self, key: &K) {
        let hashed = self.hashed(key);
        let mut flights = self.lock(hashed);
        if is_on(Guard::FlightsAreForgotten) {
            flights.forget(hashed);
        }
        self.known.remove(hashed);
        self.absent.remove(hashed);
    }

    /// Throws away all entries. None of them is to be given out any more already.
    pub(crate) fn clear(&self) {
        self.known.clear();
        self.absent.clear();
    }

    fn named(&self) -> &Side<V::Named> {
        V::Named::side(&self.barriers)
    }

    fn hashed<'k>(&self, key: &'k K) -> Hashed<&'k K> {
        Hashed { hash: self.hasher.hash_one(key), key }
    }

    fn stripe(&self, key: Hashed<&K>) -> &Stripe<K, V> {
        // The tables choose by other bits.
        &self.stripes[(key.hash >> 24) as usize % STRIPES]
    }

    fn lock(&self, key: Hashed<&K>) -> MutexGuard<'_, Flights<K, V>> {
        lock(&self.stripe(key).flights)
    }
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use acs_identity_core::{AcsId, CustomerId, Error, ErrorKind, Resolution};
    use acs_identity_testkit::ManualClock;

    use super::*;

    type Ids = Arc<Lane<AcsId, Option<Resolution>>>;

    /// Its answers live ten seconds, and are due in the last five.
    fn lane() -> (Ids, ManualClock) {
        let second = Duration::from_secs(1);
        let limits = Limits {
            lifetime: 10 * second,
            absent_lifetime: 10 * second,
            jitter: 0.0,
            refresh_ahead: 0.5,
            stale_for: Duration::ZERO,
            load_deadline: second,
            capacity: 100,
            absent_capacity: 100,
        };
        let clock = ManualClock::new();
        let time = Time::Of(Arc::new(clock.clone()));
        (Arc::new(Lane::new(TableKind::default(), limits, time, Arc::new(Barriers::new(false)))), clock)
    }

    fn land(load: Load<AcsId, Option<Resolution>>) {
        load.begin();
        load.land(Ok(Some(CustomerId::from(1).into())));
    }

    #[test]
    fn an_answer_is_not_renewed_again_for_a_hit_from_before_its_renewal() {
        let (lane, clock) = lane();
        let id = "id".parse().unwrap();
        land(lane.refresh(&id).expect("nothing is kept"));
        clock.advance(Duration::from_secs(6));
        let hits: Vec<_> = (0..2)
            .map(|_| {
                let mut is_due = false;
                lane.get(&id, |_| true, || is_due = true).expect("a hit");
                is_due
            })
            .collect();
        assert_eq!(hits, [true, true]);
        land(lane.refresh(&id).expect("it is due"));
        assert!(lane.refresh(&id).is_none(), "it has been renewed");
        clock.advance(Duration::from_secs(10));
        assert!(lane.refresh(&id).is_some(), "it is over");
    }

    #[test]
    fn nobody_joins_a_load_while_nobody_listens_to_the_feed() {
        let (lane, clock) = lane();
        let id = "id".parse().unwrap();
        let listener = lane.barriers.next_follower();
        lane.barriers.hear_until(lane.time.now() + 500_000, listener);
        let enter = || lane.enter(&id, |_| true, || {});
        let Entered::Leader(first) = enter() else { panic!("nothing is under way") };
        first.begin();
        assert!(matches!(enter(), Entered::Joined(_)));
        clock.advance(Duration::from_millis(501));
        assert!(matches!(enter(), Entered::Leader(_)), "it is to have the feed followed");
    }

    #[test]
    fn a_load_that_is_refused_has_not_failed_and_counts_only_if_somebody_has_asked_for_it() {
        let (lane, _) = lane();
        let refuse = |load: Load<_, _>| load.refuse(Error::new(ErrorKind::Unavailable, "spared"));
        let id = "id".parse().unwrap();
        refuse(lane.refresh(&id).expect("nothing is kept"));
        let Entered::Leader(load) = lane.enter(&id, |_| true, || {}) else { panic!("the other load is over") };
        refuse(load);
        let stats = lane.counters().stats();
        assert_eq!((stats.refreshed, stats.misses, stats.refused, stats.failed), (1, 1, 1, 0));
    }
}
