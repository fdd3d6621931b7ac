//! The table of `quick_cache`.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::Entry;
use super::hashed::{AsItIs, Hashed};
use crate::barriers::Key;
use crate::counters::{Counters, Event};

/// The most parts of a table, each of which has a lock and a share of the capacity of its own. With many, threads seldom meet.
const SHARDS: u64 = 256;
/// What a part is to have room for at the least, so that it does not push out much while others have room.
const LEAST_SHARE: u64 = 128;

pub(crate) struct Quick<K, T> {
    cache: Cache<Hashed<K>, Entry<T>, Weight<T>, AsItIs, Count>,
    counters: Arc<Counters>,
}

impl<K: Key, T: Clone + Send + Sync + 'static> Quick<K, T> {
    pub(super) fn new(capacity: u64, weight: fn(&T) -> u32, heaviest: u32, counters: Arc<Counters>) -> Self {
        // It reserves room for all that it expects, of which only what is used takes memory. Growing later would copy all.
        let items = usize::try_from(capacity).unwrap_or(usize::MAX).min(1_000_000);
        let options = OptionsBuilder::new()
            .shards(shards(capacity, heaviest))
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .build()
            .expect("both capacities are set");
        let cache = Cache::with_options(options, Weight(weight), AsItIs::default(), Count(counters.clone()));
        Self { cache, counters }
    }

    pub(super) fn get(&self, key: Hashed<&K>) -> Option<Entry<T>> {
        self.cache.get(&key)
    }

    pub(super) fn insert(&self, key: Hashed<&K>, entry: Entry<T>) {
        let mut request = Request { inserted: Some(key.hash), given_back: false };
        self.cache.insert_with_lifecycle(key.to_owned(), entry, &mut request);
        // It gives back what was there before, and also what is too heavy to be kept.
        if request.given_back && !self.cache.contains_key(&key) {
            self.counters.count(Event::Evicted);
        }
    }

    pub(super) fn remove(&self, key: Hashed<&K>) {
        self.cache.remove(&key);
    }

    pub(super) fn clear(&self) {
        self.cache.clear();
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

/// How many parts a table has: each is to have room for twice the heaviest, as it keeps nothing that fills it.
fn shards(capacity: u64, heaviest: u32) -> usize {
    let most = capacity / LEAST_SHARE.max(2 * u64::from(heaviest));
    // They are a power of two.
    1 << most.clamp(1, SHARDS).ilog2()
}

/// Counts what is pushed out.
#[derive(Clone)]
struct Count(Arc<Counters>);

/// An insertion, and what it has come to.
#[derive(Default)]
struct Request {
    /// The hash of the key.
    inserted: Option<u64>,
    /// Whether something of the same key was given back.
    given_back: bool,
}

impl<K, T> Lifecycle<Hashed<K>, Entry<T>> for Count {
    type RequestState = Request;

    fn on_evict(&self, request: &mut Request, key: Hashed<K>, _: Entry<T>) {
        if request.inserted == Some(key.hash) {
            request.given_back = true;
        } else {
            self.0.count(Event::Evicted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_as_many_parts_as_leave_each_of_them_room_enough() {
        for (capacity, heaviest, expected) in [
            (0, 1, 1),
            (255, 1, 1),
            (2_000, 1, 8),
            (100_000, 1, 256),
            (u64::MAX, 1, 256),
            (1_999, 1000, 1),
            (10_000, 1000, 4),
            (1_000_000, 1000, 256),
        ] {
            assert_eq!(shards(capacity, heaviest), expected, "{capacity} of {heaviest} at most");
        }
    }
}
