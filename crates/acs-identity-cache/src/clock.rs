//! The cache's time: microseconds of a monotonic clock.

use std::sync::Arc;

use acs_identity_core::Clock;
use coarsetime::Instant;

use crate::values::micros;

/// Where the time comes from.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    /// The operating system's coarse clock: it is a few milliseconds behind, and read in a fraction of the time.
    Coarse,
    /// Another clock.
    Of(Arc<dyn Clock>),
}

impl Time {
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::Coarse => {
                // The other one notes the time in a place that all threads would fight over.
                let ticks = Instant::now_without_cache_update().as_ticks();
                // Seconds in the upper half, and parts of one in the lower.
                (ticks >> 32) * 1_000_000 + (((ticks & 0xffff_ffff) * 1_000_000) >> 32)
            }
            Self::Of(clock) => micros(clock.monotonic()),
        }
    }

    /// By how much it may be behind, in microseconds.
    pub(crate) fn grain(&self) -> u64 {
        match self {
            Self::Coarse => 20_000,
            Self::Of(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_coarse_clock_goes_as_fast_as_others_and_is_behind_by_less_than_its_grain() {
        let start = std::time::Instant::now();
        // How far ours is from the other, which is read before and after it. Again if this thread had to wait in between.
        let distance = || loop {
            let before = start.elapsed();
            let ours = Time::Coarse.now();
            if start.elapsed() - before < Duration::from_millis(1) {
                return ours.wrapping_sub(micros(before));
            }
        };
        let at_first = distance();
        std::thread::sleep(Duration::from_millis(60));
        let difference = distance().abs_diff(at_first);
        assert!(difference < Time::Coarse.grain(), "{difference}");
    }
}
