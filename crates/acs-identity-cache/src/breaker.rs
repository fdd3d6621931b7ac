//! The breaker: spares a source that keeps failing, and its callers the wait for it.
//!
//! What is kept is not asked for, while what fails is asked for again and again. So where only a part of the source is down, nearly all calls
//! fail, and still the rest is to be answered: a success keeps the breaker closed for a while, and what has failed before tells nothing new.
//! Where it has opened nevertheless, what has not failed is let through first.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

use acs_identity_core::{Error, ErrorKind};

use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};
use crate::traced::{self, Direction};

/// After so many failures in a row, with no success between them.
const FAILURES: u32 = 5;
/// How long ago the last success is at the least, in microseconds.
const QUIET: u64 = 1_000_000;
/// The longest time, in microseconds, for which nobody is let through; the shortest is half of it.
const LONGEST: u64 = 1_000_000;
/// For how much longer, in microseconds, only a load is let through that asks for something which has not failed.
const FOR_OTHERS: u64 = LONGEST / 2;
/// Of how many keys it is noted at most that they failed.
const MOST_FAILED: usize = 10_000;

/// Whether the source is asked.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Failures in a row that told something new.
    failures: AtomicU32,
    /// Not before this moment, in microseconds, since the source has worked shortly before.
    closed_until: AtomicU64,
    /// Until when nobody but a probe is let through, in microseconds; zero while the breaker is closed.
    open_until: AtomicU64,
    /// The keys whose last answer was a failure, by their hashes.
    failed: Mutex<HashSet<u64>>,
    /// How many these are.
    known: AtomicU32,
    hasher: RandomState,
}

impl Breaker {
    /// Whether loads of these keys may go to the source. While it keeps failing, one may from time to time, to see whether it still does;
    /// says which of them, if that is why.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn admit<K: Hash>(
        &self,
        direction: Direction,
        keys: impl Iterator<Item = K>,
        now: u64,
    ) -> Result<Option<usize>, Error> {
        let until = self.open_until.load(Ordering::Acquire);
        if until == 0 {
            return Ok(None);
        }
        if now >= until {
            let probe =
                self.first_not_failed(direction, keys).or((now >= until.saturating_add(FOR_OTHERS)).then_some(0));
            // Who is the first to move it is let through.
            if probe.is_some()
                && self.open_until.compare_exchange(until, pause(now), Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                return Ok(probe);
            }
        }
        Err(spared())
    }

    /// Where the first of these keys is whose last answer was no failure.
    fn first_not_failed<K: Hash>(&self, direction: Direction, mut keys: impl Iterator<Item = K>) -> Option<usize> {
        let failed = lock(&self.failed);
        keys.position(|key| !failed.contains(&self.hasher.hash_one((direction, key))))
    }

    /// Notes how a call of the source ended: for each key that it asked for, whether the source was there to answer.
    pub(crate) fn note<K: Hash>(&self, direction: Direction, ended: impl Iterator<Item = (K, bool)> + Clone, now: u64) {
        let works = ended.clone().any(|(_, works)| works);
        let is_news = self.remember(direction, ended);
        if works {
            self.failures.store(0, Ordering::Release);
            self.closed_until.fetch_max(now.saturating_add(QUIET), Ordering::AcqRel);
            if self.open_until.swap(0, Ordering::AcqRel) != 0 {
                traced::breaker_closed();
            }
            return;
        }
        let failures = if is_news {
            self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1)
        } else {
            self.failures.load(Ordering::Acquire)
        };
        if failures >= FAILURES
            && now >= self.closed_until.load(Ordering::Acquire)
            && self.open_until.compare_exchange(0, pause(now), Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            traced::breaker_opened(failures);
        }
    }

    /// Notes which keys failed; whether one of them had not failed before.
    fn remember<K: Hash>(&self, direction: Direction, ended: impl Iterator<Item = (K, bool)> + Clone) -> bool {
        if self.known.load(Ordering::Acquire) == 0 && ended.clone().all(|(_, works)| works) {
            return false;
        }
        let mut failed = lock(&self.failed);
        let note = |is_news: bool, (key, works): (K, bool)| {
            let hash = self.hasher.hash_one((direction, key));
            if works {
                failed.remove(&hash);
                return is_news;
            }
            if failed.len() >= MOST_FAILED && !failed.contains(&hash) {
                failed.clear();
            }
            failed.insert(hash) || is_news
        };
        let is_news = ended.fold(false, note);
        self.known.store(u32::try_from(failed.len()).unwrap_or(u32::MAX), Ordering::Release);
        is_news
    }

    /// Whether nobody would be let through now.
    pub(crate) fn lets_nobody_through(&self, now: u64) -> bool {
        now < self.open_until.load(Ordering::Acquire)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Acquire) != 0
    }
}

/// What callers get meanwhile.
fn spared() -> Error {
    Error::new(ErrorKind::Unavailable, "the backend keeps failing and is spared for a moment").in_backend("cache")
}

/// The end of a pause that begins now: of a random length, so that many processes don't all probe at once. The standard
/// library's hashers are seeded at random.
fn pause(now: u64) -> u64 {
    now.saturating_add(LONGEST / 2 + RandomState::new().hash_one(now) % (LONGEST / 2))
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use std::ops::Range;

    use super::*;

    /// A failure of a key, or a success.
    fn note(breaker: &Breaker, key: u64, works: bool, now: u64) {
        breaker.note(Direction::ById, std::iter::once((key, works)), now);
    }

    /// Whether a load of a key is let through, and as a probe.
    fn admit(breaker: &Breaker, key: u64, now: u64) -> Option<bool> {
        Some(breaker.admit(Direction::ById, std::iter::once(key), now).ok()?.is_some())
    }

    /// The keys from 0 to 4 have failed.
    fn opened() -> Breaker {
        let breaker = Breaker::default();
        (0..5).for_each(|key| note(&breaker, key, false, 0));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let breaker = Breaker::default();
        for (key, works) in [false, false, false, false, true, false, false, false, false].into_iter().enumerate() {
            assert_eq!(admit(&breaker, 99, QUIET), Some(false));
            note(&breaker, key as u64, works, 0);
        }
        assert!(!breaker.is_open());
        note(&breaker, 10, false, QUIET);
        let refused = breaker.admit(Direction::ById, std::iter::once(99), QUIET + LONGEST / 2 - 1);
        assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    }

    #[test]
    fn it_stays_closed_for_a_second_after_a_success_however_much_fails() {
        let breaker = Breaker::default();
        note(&breaker, 0, true, 7);
        (1..100).for_each(|key| note(&breaker, key, false, 6 + QUIET));
        assert!(!breaker.is_open());
        // Then it opens with the next failure, whatever that is of.
        note(&breaker, 1, false, 7 + QUIET);
        assert!(breaker.is_open());
    }

    #[test]
    fn what_fails_again_is_not_counted_and_in_the_other_direction_it_is_something_else() {
        let breaker = Breaker::default();
        (0..100).for_each(|n| note(&breaker, n % 4, false, n));
        breaker.note(Direction::ById, [(0_u64, false), (1, false)].into_iter(), 100);
        assert!(!breaker.is_open());
        breaker.note(Direction::ByCustomer, std::iter::once((0_u64, false)), 100);
        assert!(breaker.is_open());
        // What was answered since counts again.
        let breaker = Breaker::default();
        for n in 0..10 {
            note(&breaker, 0, true, 0);
            note(&breaker, 0, false, n * QUIET);
        }
        (1..4).for_each(|key| note(&breaker, key, false, 10 * QUIET));
        assert!(!breaker.is_open());
        note(&breaker, 4, false, 10 * QUIET);
        assert!(breaker.is_open());
    }

    #[test]
    fn of_no_more_keys_than_there_may_be_it_is_noted_that_they_failed() {
        let breaker = Breaker::default();
        (0..3 * MOST_FAILED as u64).for_each(|key| note(&breaker, key, false, 0));
        assert!(lock(&breaker.failed).len() <= MOST_FAILED);
        let all = 0..3 * MOST_FAILED as u64;
        breaker.note(Direction::ById, all.map(|key| (key, true)), 0);
        assert_eq!((lock(&breaker.failed).len(), breaker.known.load(Ordering::Acquire)), (0, 0));
    }

    #[test]
    fn a_call_for_more_keys_than_that_keeps_to_it_too_and_a_success_forgets_only_its_own() {
        let most = MOST_FAILED as u64;
        let noted = |breaker: &Breaker, keys: Range<u64>, works: bool| {
            breaker.note(Direction::ById, keys.map(|key| (key, works)), 0);
            lock(&breaker.failed).len()
        };
        let breaker = Breaker::default();
        assert!((1..=MOST_FAILED).contains(&noted(&breaker, 0..2 * most + 7, false)));
        assert_eq!(
            breaker.first_not_failed(Direction::ById, std::iter::once(2 * most + 6)),
            None,
            "the last one is noted"
        );
        let breaker = Breaker::default();
        assert_eq!(noted(&breaker, 0..most, false), MOST_FAILED);
        assert_eq!(noted(&breaker, 0..most, false), MOST_FAILED, "these are noted already");
        assert_eq!(noted(&breaker, 0..1, true), MOST_FAILED - 1);
    }

    #[test]
    fn one_probe_is_let_through_a_second() {
        let breaker = opened();
        assert_eq!(admit(&breaker, 10, LONGEST), Some(true));
        assert_eq!(admit(&breaker, 11, LONGEST), None, "while it is under way");
        note(&breaker, 10, false, LONGEST);
        assert_eq!(admit(&breaker, 11, LONGEST + LONGEST / 2 - 1), None);
        assert_eq!(admit(&breaker, 11, 2 * LONGEST), Some(true));
        note(&breaker, 11, true, 2 * LONGEST);
        assert_eq!([12, 13].map(|key| admit(&breaker, key, 2 * LONGEST)), [Some(false), Some(false)]);
    }

    #[test]
    fn what_has_failed_is_let_through_only_if_nothing_else_has_been_for_a_while() {
        let breaker = opened();
        let until = breaker.open_until.load(Ordering::Acquire);
        assert_eq!(admit(&breaker, 0, until), None);
        assert!(breaker.admit(Direction::ById, [0_u64, 4].into_iter(), until + FOR_OTHERS - 1).is_err());
        // Nobody else has come.
        assert_eq!(admit(&breaker, 0, until + FOR_OTHERS), Some(true));
        let until = breaker.open_until.load(Ordering::Acquire);
        let of_two = breaker.admit(Direction::ById, [0_u64, 5].into_iter(), until);
        assert_eq!(of_two.ok(), Some(Some(1)), "one of them has not failed");
        let until = breaker.open_until.load(Ordering::Acquire);
        assert!(breaker.admit(Direction::ByCustomer, std::iter::once(0_u64), until).is_ok(), "it is something else");
        assert_eq!(admit(&breaker, 0, until + FOR_OTHERS / 2), None, "as somebody else has come");
    }
}
