//! The table that holds the entries: the one place that knows which cache library is used.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::notification::RemovalCause;

use crate::counters::{Counters, Event};

/// A bounded map that evicts by its own policy, and does nothing else: loads, lifetimes and invalidation are the
/// [`Lane`](crate::lane::Lane)'s, since no cache library's own load is safe against an invalidation that comes in between.
pub(crate) struct Table<K, V>(moka::sync::Cache<K, V, RandomState>);

impl<K, V> Table<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// `capacity` counts the weights of the values, each of which is at least 1.
    pub(crate) fn new(capacity: u64, weight: fn(&V) -> u32, counters: Arc<Counters>) -> Self {
        let count = move |_: Arc<K>, _: V, cause: RemovalCause| {
            if cause == RemovalCause::Size {
                counters.count(Event::Evicted);
            }
        };
        let builder = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .weigher(move |_: &K, value: &V| weight(value))
            .eviction_listener(count);
        Self(builder.build_with_hasher(RandomState::default()))
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&self, key: &K) {
        self.0.invalidate(key);
    }

    /// Removes what is there now and fits; looks at every entry.
    pub(crate) fn remove_where(&self, fits: impl Fn(&K, &V) -> bool) {
        for (key, value) in &self.0 {
            if fits(&key, &value) {
                self.0.invalidate(key.as_ref());
            }
        }
    }
}
