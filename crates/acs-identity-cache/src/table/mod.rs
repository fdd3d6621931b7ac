//! The table that holds the entries: the one place that knows which cache library is used.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::notification::RemovalCause;

use crate::counters::{Counters, Event};

/// A stored answer.
#[derive(Clone)]
pub(crate) struct Entry<T> {
    pub(crate) kept: T,
    /// The number of the last barrier when its load began.
    pub(crate) born: u64,
    /// When its load began, in microseconds.
    pub(crate) loaded: u64,
    pub(crate) fresh_until: u64,
}

/// A bounded map that evicts by its own policy, and does nothing else: loads, lifetimes and invalidation are the
/// [`Lane`](crate::lane::Lane)'s, since no cache library's own load is safe against an invalidation that comes in between.
pub(crate) struct Table<K, T>(moka::sync::Cache<K, Entry<T>, RandomState>);

impl<K, T> Table<K, T>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// `capacity` counts the weights of the values, each of which is at least 1.
    pub(crate) fn new(capacity: u64, weight: fn(&T) -> u32, counters: Arc<Counters>) -> Self {
        let count = move |_: Arc<K>, _: Entry<T>, cause: RemovalCause| {
            if cause == RemovalCause::Size {
                counters.count(Event::Evicted);
            }
        };
        let builder = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .weigher(move |_: &K, entry: &Entry<T>| weight(&entry.kept))
            .eviction_listener(count);
        Self(builder.build_with_hasher(RandomState::default()))
    }

    pub(crate) fn get(&self, key: &K) -> Option<Entry<T>> {
        self.0.get(key)
    }

    pub(crate) fn insert(&self, key: K, entry: Entry<T>) {
        self.0.insert(key, entry);
    }

    pub(crate) fn remove(&self, key: &K) {
        self.0.invalidate(key);
    }

    pub(crate) fn clear(&self) {
        self.0.invalidate_all();
    }
}
