//! The counters, for whatever the `metrics` crate is set up to write to.

use metrics::{counter, gauge};

use crate::traced::Direction;
use crate::{CacheStats, ReadThrough};

impl<R> ReadThrough<R> {
    /// Hands the present [`stats`](Self::stats) and [`customer_stats`](Self::customer_stats) to the recorder of the `metrics` crate.
    /// To be called now and then, for instance once a second, or whenever the metrics are scraped; it costs a few microseconds, and
    /// between two calls nothing is written, so that a hit costs the same as without.
    ///
    /// Each name begins with `acs_identity_cache_`. For each direction, as the label `direction` of `by_id` or `by_customer`:
    ///
    /// | counter | field of [`CacheStats`] |
    /// |---|---|
    /// | `hits_total` | `hits` |
    /// | `negative_hits_total` | `negative_hits` |
    /// | `misses_total` | `misses` |
    /// | `joined_total` | `joined` |
    /// | `loaded_total` | `loaded` |
    /// | `failed_total` | `failed` |
    /// | `refused_as_stale_total` | `refused_as_stale` |
    /// | `evicted_total` | `evicted` |
    /// | `served_stale_total` | `served_stale` |
    /// | `refreshed_total` | `refreshed` |
    /// | `refused_total` | `refused` |
    ///
    /// Without a label, for the calls for ACS IDs: the counters `batches_total` and `batched_total`, and the gauge `largest_batch`. Those
    /// for customers' first pages, each of which asks for one, are in `customer_stats` only.
    ///
    /// Without a label, for the cache as a whole: the gauges `feed_epoch`, `feed_live` and `breaker_open`, of which the last two are
    /// 0 or 1.
    ///
    /// The counters are set and not added to: two caches in one process have to be told apart by a label of their recorder, as with
    /// `metrics::with_local_recorder`.
    pub fn publish_metrics(&self) {
        let stats = self.stats();
        publish(Direction::ById, &stats);
        publish(Direction::ByCustomer, &self.customer_stats());
        counter!("acs_identity_cache_batches_total").absolute(stats.batches);
        counter!("acs_identity_cache_batched_total").absolute(stats.batched);
        gauge!("acs_identity_cache_largest_batch").set(stats.largest_batch as f64);
        gauge!("acs_identity_cache_feed_epoch").set(stats.feed_epoch as f64);
        gauge!("acs_identity_cache_feed_live").set(f64::from(u8::from(stats.feed_live)));
        gauge!("acs_identity_cache_breaker_open").set(f64::from(u8::from(stats.breaker_open)));
    }
}

fn publish(direction: Direction, stats: &CacheStats) {
    let direction = direction.name();
    counter!("acs_identity_cache_hits_total", "direction" => direction).absolute(stats.hits);
    counter!("acs_identity_cache_negative_hits_total", "direction" => direction).absolute(stats.negative_hits);
    counter!("acs_identity_cache_misses_total", "direction" => direction).absolute(stats.misses);
    counter!("acs_identity_cache_joined_total", "direction" => direction).absolute(stats.joined);
    counter!("acs_identity_cache_loaded_total", "direction" => direction).absolute(stats.loaded);
    counter!("acs_identity_cache_failed_total", "direction" => direction).absolute(stats.failed);
    counter!("acs_identity_cache_refused_as_stale_total", "direction" => direction).absolute(stats.refused_as_stale);
    counter!("acs_identity_cache_evicted_total", "direction" => direction).absolute(stats.evicted);
    counter!("acs_identity_cache_served_stale_total", "direction" => direction).absolute(stats.served_stale);
    counter!("acs_identity_cache_refreshed_total", "direction" => direction).absolute(stats.refreshed);
    counter!("acs_identity_cache_refused_total", "direction" => direction).absolute(stats.refused);
}
