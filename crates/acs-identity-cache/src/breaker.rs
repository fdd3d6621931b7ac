//! The breaker: spares a source that keeps failing, and its callers the wait for it.

use std::hash::{BuildHasher, RandomState};

use acs_identity_core::{Error, ErrorKind};

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::traced;

/// After so many failures in a row, with no success between them.
const FAILURES: u32 = 5;
/// The longest time, in microseconds, for which nobody is let through; the shortest is half of it.
const LONGEST: u64 = 1_000_000;

/// Whether the source is asked.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Failures in a row.
    failures: AtomicU32,
    /// Until when nobody but a probe is let through, in microseconds.
    open_until: AtomicU64,
}

impl Breaker {
    /// Whether a load may go to the source. While it keeps failing, one may from time to time, to see whether it still does.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn admit(&self, now: u64) -> Result<(), Error> {
        if self.failures.load(Ordering::Acquire) < FAILURES {
            return Ok(());
        }
        let until = self.open_until.load(Ordering::Acquire);
        // Who is the first to move it is the probe.
        if now >= until
            && self.open_until.compare_exchange(until, pause(now), Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            return Ok(());
        }
        Err(spared())
    }

    /// Notes how a call of the source ended.
    pub(crate) fn note(&self, works: bool, now: u64) {
        if works {
            if self.failures.swap(0, Ordering::AcqRel) >= FAILURES {
                traced::breaker_closed();
            }
        } else if self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1) == FAILURES {
            self.open_until.store(pause(now), Ordering::Release);
            traced::breaker_opened(FAILURES);
        }
    }

    /// Whether nobody would be let through now.
    pub(crate) fn lets_nobody_through(&self, now: u64) -> bool {
        self.is_open() && now < self.open_until.load(Ordering::Acquire)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Acquire) >= FAILURES
    }
}

/// What callers get meanwhile.
pub(crate) fn spared() -> Error {
    Error::new(ErrorKind::Unavailable, "the backend keeps failing and is spared for a moment").in_backend("cache")
}

/// The end of a pause that begins now: of a random length, so that many processes don't all probe at once. The standard
/// library's hashers are seeded at random.
fn pause(now: u64) -> u64 {
    now.saturating_add(LONGEST / 2 + RandomState::new().hash_one(now) % (LONGEST / 2))
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let breaker = Breaker::default();
        for works in [false, false, false, false, true, false, false, false, false] {
            assert!(breaker.admit(0).is_ok());
            breaker.note(works, 0);
        }
        assert!(breaker.admit(0).is_ok() && !breaker.is_open());
        breaker.note(false, 0);
        assert_eq!(breaker.admit(LONGEST / 2 - 1).map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    }

    #[test]
    fn one_probe_is_let_through_a_second() {
        let breaker = Breaker::default();
        (0..FAILURES).for_each(|_| breaker.note(false, 0));
        assert!(breaker.admit(LONGEST).is_ok());
        assert!(breaker.admit(LONGEST).is_err(), "while it is under way");
        breaker.note(false, LONGEST);
        assert!(breaker.admit(LONGEST + LONGEST / 2 - 1).is_err());
        assert!(breaker.admit(2 * LONGEST).is_ok());
        breaker.note(true, 2 * LONGEST);
        assert!(breaker.admit(2 * LONGEST).is_ok() && breaker.admit(2 * LONGEST).is_ok());
    }
}
