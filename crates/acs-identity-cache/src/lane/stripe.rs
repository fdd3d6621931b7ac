//! The loads under way of those keys that share a lock.

use std::mem;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::barriers::Key;
use crate::flight::Flight;
use crate::sync::{AtomicU64, Mutex};
use crate::table::Hashed;

/// The flights of a lane are parted by their key's hash, each part with a lock of its own. (The bars of a side are too, in
/// shards; its places are no parts, but all that is kept of a key that was stamped. See [`barriers`](crate::barriers).)
pub(super) struct Stripe<K, V> {
    pub(super) flights: Mutex<Flights<K, V>>,
    /// How many answers were stored under the lock.
    pub(super) stored: AtomicU64,
}

impl<K, V> Stripe<K, V> {
    pub(super) fn new() -> Self {
        Self { flights: Mutex::new(Flights(HashTable::new())), stored: AtomicU64::new(0) }
    }
}

/// The loads that may still be stored.
pub(super) struct Flights<K, V>(HashTable<OfKey<K, V>>);

/// Those of one key: the last may be joined, others are older, the oldest first. Mostly there are none.
struct OfKey<K, V> {
    last: Arc<Flight<K, V>>,
    older: Vec<Arc<Flight<K, V>>>,
}

impl<K: Key, V> Flights<K, V> {
    pub(super) fn last(&self, key: Hashed<&K>) -> Option<&Arc<Flight<K, V>>> {
        self.0.find(key.hash, |of_key| of_key.last.key == *key.key).map(|of_key| &of_key.last)
    }

    pub(super) fn add(&mut self, flight: Arc<Flight<K, V>>) {
        match self.0.find_mut(flight.hash, |of_key| of_key.last.key == flight.key) {
            Some(of_key) => of_key.older.push(mem::replace(&mut of_key.last, flight)),
            None => {
                let of_key = OfKey { last: flight, older: Vec::new() };
                self.0.insert_unique(of_key.last.hash, of_key, |of_key| of_key.last.hash);
            }
        }
    }

    /// Takes all of a key out.
    pub(super) fn forget(&mut self, key: Hashed<&K>) {
        if let Ok(of_key) = self.0.find_entry(key.hash, |of_key| of_key.last.key == *key.key) {
            of_key.remove();
        }
    }

    /// Takes a flight out, if it is there, and on request those that are older.
    pub(super) fn take_out(&mut self, flight: &Arc<Flight<K, V>>, with_older: bool) -> bool {
        let Ok(mut entry) = self.0.find_entry(flight.hash, |of_key| of_key.last.key == flight.key) else {
            return false;
        };
        let of_key = entry.get_mut();
        if Arc::ptr_eq(&of_key.last, flight) {
            match of_key.older.pop().filter(|_| !with_older) {
                Some(before) => of_key.last = before,
                None => drop(entry.remove()),
            }
            return true;
        }
        let Some(at) = of_key.older.iter().position(|one| Arc::ptr_eq(one, flight)) else { return false };
        of_key.older.drain(if with_older { 0 } else { at }..=at);
        true
    }

    /// Takes a flight out that nobody waits for; whether it was so. Nobody joins it meanwhile, as this is under the lock.
    pub(super) fn take_out_unwanted(&mut self, flight: &Arc<Flight<K, V>>) -> bool {
        let of_key = self.0.find(flight.hash, |of_key| of_key.last.key == flight.key);
        let is_here =
            of_key.is_some_and(|of_key| of_key.older.iter().chain([&of_key.last]).any(|one| Arc::ptr_eq(one, flight)));
        // One is that of the load, and one is here.
        let is_unwanted = Arc::strong_count(flight) <= 1 + usize::from(is_here);
        if is_unwanted {
            self.take_out(flight, false);
        }
        is_unwanted
    }
}
