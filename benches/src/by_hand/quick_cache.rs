//! A hand-written cache on the fastest of the usual libraries, without a lifetime.

use std::sync::Arc;

use quick_cache::sync::Cache;

/// ACS ID to customer ID.
pub type ByHand = Cache<String, Arc<str>>;

/// A cache that holds so many entries, filled.
pub fn filled(entries: usize, pair: impl Fn(usize) -> (String, String)) -> ByHand {
    let cache = Cache::new(2 * entries);
    for n in 0..entries {
        let (acs_id, customer) = pair(n);
        cache.insert(acs_id, customer.into());
    }
    cache
}

/// One hit.
pub fn get(cache: &ByHand, acs_id: &str) -> Option<Arc<str>> {
    cache.get(acs_id)
}
