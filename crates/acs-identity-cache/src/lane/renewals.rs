//! Renewals that have failed: without a pause after that, each hit of an answer near its end would ask a source that fails.

use crate::sync::{AtomicU64, Ordering};

/// In which of these a key's failure is noted, its hash says. Those that share one share a pause, too, which harms none of them.
const PLACES: usize = 1 << 12;

/// The longest time, in microseconds, that the next renewal of a key waits.
const LONGEST: u64 = 1_000_000;

/// When a renewal last failed, in microseconds, plus one; zero if none did.
#[derive(Debug)]
pub(super) struct FailedRenewals(Box<[AtomicU64]>);

impl FailedRenewals {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn note(&self, hash: u64, now: u64) {
        self.place(hash).fetch_max(now.saturating_add(1), Ordering::AcqRel);
    }

    /// Whether the next one is to wait, of an answer that can be renewed for so many microseconds.
    pub(super) fn has_to_wait(&self, hash: u64, window: u64, now: u64) -> bool {
        let failed = self.place(hash).load(Ordering::Acquire);
        failed > 0 && now < (failed - 1).saturating_add(LONGEST.min(window / 10))
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        &self.0[(hash >> 32) as usize % PLACES]
    }
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_waits_for_a_tenth_of_its_time_and_no_longer_than_a_second() {
        let failed = FailedRenewals::new();
        failed.note(1 << 32, 5);
        for (window, pause) in [(500, 50), (10_000_000, LONGEST), (u64::MAX, LONGEST)] {
            assert!(!failed.has_to_wait(1 << 32, window, 5 + pause));
            assert!(failed.has_to_wait(1 << 32, window, 4 + pause));
            assert!(!failed.has_to_wait(2 << 32, window, 5), "it is another one's");
        }
    }

    #[test]
    fn however_many_fail_each_waits() {
        let failed = FailedRenewals::new();
        let hashes = || (0..100_000_u64).map(|n| n << 32);
        hashes().for_each(|hash| failed.note(hash, 0));
        assert!(hashes().all(|hash| failed.has_to_wait(hash, LONGEST, 0)));
    }
}
