//! The table of `quick_cache`.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Weighter};

use super::Entry;
use super::hashed::{AsItIs, Hashed};
use crate::barriers::Key;
use crate::counters::{Counters, Event};

pub(crate) struct Quick<K, T>(Cache<Hashed<K>, Entry<T>, Weight<T>, AsItIs, Count>);

impl<K: Key, T: Clone + Send + Sync + 'static> Quick<K, T> {
    pub(super) fn new(capacity: u64, weight: fn(&T) -> u32, counters: Arc<Counters>) -> Self {
        // It reserves room for all that it expects, of which only what is used takes memory. Growing later would copy all.
        let items = usize::try_from(capacity).unwrap_or(usize::MAX).min(1_000_000);
        Self(Cache::with(items, capacity, Weight(weight), AsItIs::default(), Count(counters)))
    }

    pub(super) fn get(&self, key: Hashed<&K>) -> Option<Entry<T>> {
        self.0.get(&key)
    }

    pub(super) fn insert(&self, key: Hashed<&K>, entry: Entry<T>) {
        self.0.insert(key.to_owned(), entry);
    }

    pub(super) fn remove(&self, key: Hashed<&K>) {
        self.0.remove(&key);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

struct Weight<T>(fn(&T) -> u32);

impl<T> Clone for Weight<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<K, T> Weighter<Hashed<K>, Entry<T>> for Weight<T> {
    fn weight(&self, _: &Hashed<K>, entry: &Entry<T>) -> u64 {
        u64::from((self.0)(&entry.kept))
    }
}

/// Counts what is pushed out.
#[derive(Clone)]
struct Count(Arc<Counters>);

impl<K, T> Lifecycle<Hashed<K>, Entry<T>> for Count {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Hashed<K>, _: Entry<T>) {
        self.0.count(Event::Evicted);
    }
}
