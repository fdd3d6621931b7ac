//! The numbers that are missing in the log of changes: in ranges, as a transaction that was rolled back leaves many in a
//! row.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a number may be missing, and not be in the log even uncommitted, before it is taken for one that was rolled
/// back. Between the giving of a number and the writing of its row the server does nothing else.
const GRACE: Duration = Duration::from_secs(10);

/// Ranges of missing numbers, by the first of each. They don't overlap.
#[derive(Debug, Clone, Default)]
pub(super) struct Holes(BTreeMap<i64, Hole>);

#[derive(Debug, Clone, Copy)]
struct Hole {
    last: i64,
    since: Instant,
    state: State,
}

/// What was in a range when it was looked at last, be it committed or not.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Unknown,
    Nothing,
    Something,
}

impl Holes {
    /// How many ranges there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first and the last number of each range, in rising order.
    pub(super) fn ranges(&self) -> Vec<(i64, i64)> {
        self.0.iter().map(|(first, hole)| (*first, hole.last)).collect()
    }

    /// From the first to the last number all are missing, none of which is in a range yet.
    pub(super) fn add(&mut self, first: i64, last: i64, now: Instant) {
        if first <= last {
            self.0.insert(first, Hole { last, since: now, state: State::Unknown });
        }
    }

    /// A number is not missing any more.
    pub(super) fn fill(&mut self, number: i64) {
        let Some((&first, &hole)) = self.0.range(..=number).next_back() else { return };
        if number > hole.last {
            return;
        }
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, Hole { last: number - 1, ..hole });
        }
        if number < hole.last {
            self.0.insert(number + 1, hole);
        }
    }

    /// Leaves out what is not above a number, as it was deleted from the log. Answers whether any of it may have been in
    /// the log since it was looked at last.
    pub(super) fn trim(&mut self, until: i64) -> bool {
        let kept = self.0.split_off(&(until + 1));
        let trimmed = std::mem::replace(&mut self.0, kept);
        let missed = trimmed.values().any(|hole| hole.state != State::Nothing);
        if let Some((_, hole)) = trimmed.last_key_value().filter(|(_, hole)| hole.last > until) {
            self.0.insert(until + 1, *hole);
        }
        missed
    }

    /// Notes which ranges hold something, by these numbers in rising order, and forgets those that have been empty for long.
    pub(super) fn look(&mut self, there: &[i64], now: Instant) {
        self.0.retain(|first, hole| {
            let next = there.get(there.partition_point(|number| number < first));
            if next.is_some_and(|number| *number <= hole.last) {
                (hole.state, hole.since) = (State::Something, now);
                return true;
            }
            hole.state = State::Nothing;
            now.duration_since(hole.since) < GRACE
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(ranges: &[(i64, i64)], now: Instant) -> Holes {
        let mut holes = Holes::default();
        for (first, last) in ranges {
            holes.add(*first, *last, now);
        }
        holes
    }

    #[test]
    fn what_is_filled_leaves_the_numbers_around_it() {
        let now = Instant::now();
        let mut holes = holes(&[(3, 7), (9, 9), (11, 10)], now);
        for number in [5, 9, 8, 2, 100] {
            holes.fill(number);
        }
        assert_eq!(holes.ranges(), [(3, 4), (6, 7)]);
        for number in [3, 4, 7, 6] {
            holes.fill(number);
        }
        assert_eq!(holes.count(), 0);
    }

    #[test]
    fn what_is_missing_for_long_was_rolled_back_unless_it_is_there_uncommitted() {
        let start = Instant::now();
        let mut holes = holes(&[(1, 1000), (2000, 2010)], start);
        holes.look(&[2005], start + GRACE - Duration::from_millis(1));
        assert_eq!(holes.count(), 2);
        holes.look(&[], start + GRACE);
        assert_eq!(holes.ranges(), [(2000, 2010)]);
        holes.look(&[], start + 3 * GRACE);
        assert_eq!(holes.count(), 0);
    }

    #[test]
    fn what_is_trimmed_was_missed_unless_there_was_nothing() {
        let now = Instant::now();
        let mut unknown = holes(&[(1, 10)], now);
        assert!(!unknown.clone().trim(0));
        assert!(unknown.trim(4));
        assert_eq!(unknown.ranges(), [(5, 10)]);
        let mut looked_at = holes(&[(1, 10), (20, 30)], now);
        looked_at.look(&[25], now);
        assert!(!looked_at.trim(10));
        assert!(looked_at.trim(20));
        assert_eq!(looked_at.ranges(), [(21, 30)]);
    }
}
