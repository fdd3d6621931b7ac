//! Renewals that have failed: without a pause after that, each hit of an answer near its end would ask a source that fails.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use crate::sync::{Mutex, lock};

/// Of how many keys it is noted at most that their renewal failed.
const MOST: usize = 10_000;

/// The longest time, in microseconds, that the next renewal of a key waits.
const LONGEST: u64 = 1_000_000;

/// When the last renewal of a key failed, in microseconds, by the key's hash.
#[derive(Debug, Default)]
pub(super) struct FailedRenewals(Mutex<HashMap<u64, u64, RandomState>>);

impl FailedRenewals {
    pub(super) fn note(&self, hash: u64, now: u64) {
        let mut failed = lock(&self.0);
        if failed.len() >= MOST {
            failed.clear();
        }
        failed.insert(hash, now);
    }

    /// Whether the next one is to wait, of an answer that can be renewed for so many microseconds.
    pub(super) fn has_to_wait(&self, hash: u64, window: u64, now: u64) -> bool {
        let failed = lock(&self.0).get(&hash).copied();
        failed.is_some_and(|at| now < at.saturating_add(LONGEST.min(window / 10)))
    }
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_waits_for_a_tenth_of_its_time_and_no_longer_than_a_second() {
        let failed = FailedRenewals::default();
        failed.note(1, 5);
        for (window, pause) in [(500, 50), (10_000_000, LONGEST), (u64::MAX, LONGEST)] {
            assert!(!failed.has_to_wait(1, window, 5 + pause));
            assert!(failed.has_to_wait(1, window, 4 + pause));
            assert!(!failed.has_to_wait(2, window, 5), "it is another one's");
        }
    }

    #[test]
    fn no_more_are_noted_than_there_may_be() {
        let failed = FailedRenewals::default();
        (0..3 * MOST as u64).for_each(|hash| failed.note(hash, 0));
        assert!(lock(&failed.0).len() <= MOST);
        assert!(failed.has_to_wait(3 * MOST as u64 - 1, LONGEST, 0));
    }
}
