//! Counters that threads do not fight over.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a cache has done since it was made. The counters are read one after the other, not at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Questions answered from the cache with something found.
    pub hits: u64,
    /// Questions answered from the cache with "absent".
    pub negative_hits: u64,
    /// Questions that found nothing in the cache: each either joined a load or started one.
    pub misses: u64,
    /// Misses that joined a load that was under way.
    pub joined: u64,
    /// Loads that gave an answer, found or absent.
    pub loaded: u64,
    /// Loads that failed, or were late; nothing was stored.
    pub failed: u64,
    /// Loads that gave an answer which was not stored: because a write, a purge or news came in between, of this key or of one
    /// that shares its place in what is noted of them; because the load was late and a newer one had landed; or because the
    /// source said itself that its answer is stale.
    pub refused_as_stale: u64,
    /// Answers that were pushed out because the cache was full.
    pub evicted: u64,
    /// Answers given out although they were not fresh any more, as their load had failed or was slow.
    pub served_stale: u64,
    /// Loads that a hit started, before its answer's lifetime was over.
    pub refreshed: u64,
    /// Loads that were not begun, since the source kept failing: who waited for one was answered with `Unavailable` at once, or
    /// with a stale answer. Those that hits have started don't count.
    pub refused: u64,
    /// Calls of the source by loads, also those that failed: each for one or more ACS IDs, or for one customer's first page.
    pub batches: u64,
    /// The ACS IDs, or the first pages, of all these calls together.
    pub batched: u64,
    /// The most of them in one of these calls; of first pages it is one.
    pub largest_batch: u64,
    /// How many times the change feed has begun to work; 0 without one.
    pub feed_epoch: u64,
    /// Whether nothing is missed of the change feed at this moment; also true without one.
    pub feed_live: bool,
    /// Whether the source keeps failing, so that it is asked only now and then.
    pub breaker_open: bool,
}

/// What is counted. [`Batched`](Self::Batched) stays the last one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Hit,
    NegativeHit,
    Miss,
    Joined,
    Loaded,
    Failed,
    RefusedAsStale,
    Evicted,
    ServedStale,
    Refreshed,
    Refused,
    Batch,
    Batched,
}

const EVENTS: usize = Event::Batched as usize + 1;
const CELLS: usize = 16;

/// The counters of one group of threads, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Group([AtomicU64; EVENTS]);

#[derive(Debug, Default)]
pub(crate) struct Counters {
    groups: [Group; CELLS],
    largest_batch: AtomicU64,
}

impl Counters {
    #[inline]
    pub(crate) fn count(&self, event: Event) {
        self.add(event, 1);
    }

    pub(crate) fn count_batch(&self, size: usize) {
        self.add(Event::Batch, 1);
        self.add(Event::Batched, size as u64);
        self.largest_batch.fetch_max(size as u64, Ordering::Relaxed);
    }

    #[inline]
    fn add(&self, event: Event, count: u64) {
        self.groups[group()].0[event as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let sum = |event: Event| self.groups.iter().map(|group| group.0[event as usize].load(Ordering::Relaxed)).sum();
        CacheStats {
            hits: sum(Event::Hit),
            negative_hits: sum(Event::NegativeHit),
            misses: sum(Event::Miss),
            joined: sum(Event::Joined),
            loaded: sum(Event::Loaded),
            failed: sum(Event::Failed),
            refused_as_stale: sum(Event::RefusedAsStale),
            evicted: sum(Event::Evicted),
            served_stale: sum(Event::ServedStale),
            refreshed: sum(Event::Refreshed),
            refused: sum(Event::Refused),
            batches: sum(Event::Batch),
            batched: sum(Event::Batched),
            largest_batch: self.largest_batch.load(Ordering::Relaxed),
            ..CacheStats::default()
        }
    }
}

/// The group of this thread: threads get them in turn.
#[inline]
fn group() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let group = NEXT.fetch_add(1, Ordering::Relaxed) % CELLS;
            mine.set(Some(group));
            group
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_are_summed() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| counters.count(Event::Hit));
            }
        });
        counters.count(Event::Evicted);
        assert_eq!(counters.stats(), CacheStats { hits: 40, evicted: 1, ..CacheStats::default() });
    }
}
