//! [`ManualClock`]: a clock that stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use acs_identity_core::{Clock, Timestamp};

/// A clock that stands still until it is moved. Clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use acs_identity_core::{Clock, Timestamp};
/// use acs_identity_testkit::ManualClock;
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().since(start), Duration::from_secs(60));
/// clock.set(start);
/// assert_eq!((clock.now(), clock.monotonic()), (start, Duration::from_secs(60)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug, Default)]
struct Hands {
    /// In microseconds since the epoch.
    now: AtomicU64,
    /// In microseconds.
    monotonic: AtomicU64,
}

impl ManualClock {
    /// Some moment of the year 2025; any would do.
    const START: u64 = 1_750_000_000_000_000;

    /// A clock that shows some moment of this century.
    pub fn new() -> Self {
        let clock = Self::default();
        clock.set(Timestamp::from_micros(Self::START));
        clock
    }

    /// Lets time pass on both hands, to the microsecond.
    pub fn advance(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let later = |hand: u64| Some(hand.saturating_add(micros));
        for hand in [&self.0.now, &self.0.monotonic] {
            // The closure always has a next value, so there is no failure to look at.
            let _ = hand.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        }
    }

    /// Sets the time of day, forward or back. The monotonic time stays, as it does when an operator sets a clock.
    pub fn set(&self, now: Timestamp) {
        self.0.now.store(now.as_micros(), Ordering::Release);
    }
}

#[deny(clippy::missing_trait_methods)]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.now.load(Ordering::Acquire))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.monotonic.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_clock() {
        let clock = ManualClock::new();
        clock.clone().advance(Duration::from_micros(5));
        assert_eq!(clock.now(), Timestamp::from_micros(ManualClock::START + 5));
        assert_eq!(clock.monotonic(), Duration::from_micros(5));
    }

    #[test]
    fn it_stops_at_the_end_of_time() {
        let clock = ManualClock::new();
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        clock.set(Timestamp::from_micros(1));
        assert_eq!(clock.now(), Timestamp::from_micros(1));
        assert_eq!(clock.monotonic(), Duration::from_micros(u64::MAX));
    }
}
