//! The table of `moka`.

use std::sync::Arc;

use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::Entry;
use super::hashed::{AsItIs, Hashed};
use crate::barriers::Key;
use crate::counters::{Counters, Event};

pub(crate) struct Moka<K, T>(Cache<Hashed<K>, Entry<T>, AsItIs>);

impl<K: Key, T: Clone + Send + Sync + 'static> Moka<K, T> {
    pub(super) fn new(capacity: u64, weight: fn(&T) -> u32, counters: Arc<Counters>) -> Self {
        let count = move |_: Arc<Hashed<K>>, _: Entry<T>, cause: RemovalCause| {
            if cause == RemovalCause::Size {
                counters.count(Event::Evicted);
            }
        };
        let builder = Cache::builder()
            .max_capacity(capacity)
            .weigher(move |_: &Hashed<K>, entry: &Entry<T>| weight(&entry.kept))
            .eviction_listener(count);
        Self(builder.build_with_hasher(AsItIs::default()))
    }

    pub(super) fn get(&self, key: Hashed<&K>) -> Option<Entry<T>> {
        self.0.get(&key)
    }

    pub(super) fn insert(&self, key: Hashed<&K>, entry: Entry<T>) {
        self.0.insert(key.to_owned(), entry);
    }

    pub(super) fn remove(&self, key: Hashed<&K>) {
        self.0.invalidate(&key);
    }

    pub(super) fn clear(&self) {
        self.0.invalidate_all();
    }

    /// Does at once what is put off.
    #[cfg(all(test, not(acs_identity_model)))]
    pub(super) fn settle(&self) {
        self.0.run_pending_tasks();
    }
}
