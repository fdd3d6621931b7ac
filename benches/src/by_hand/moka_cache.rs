//! A hand-written cache in front of a lookup: moka's async cache with a lifetime.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

/// ACS ID to customer ID.
pub type ByHand = Cache<String, Arc<str>>;

/// A cache that holds so many entries, filled.
pub async fn filled(entries: usize, pair: impl Fn(usize) -> (String, String)) -> ByHand {
    let cache = Cache::builder().max_capacity(2 * entries as u64).time_to_live(Duration::from_secs(3600)).build();
    for n in 0..entries {
        let (acs_id, customer) = pair(n);
        cache.insert(acs_id, customer.into()).await;
    }
    cache.run_pending_tasks().await;
    cache
}

/// One hit.
pub async fn get(cache: &ByHand, acs_id: &str) -> Option<Arc<str>> {
    cache.get(acs_id).await
}
