//! The loads under way of those keys that share a lock.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::barriers::Key;
use crate::flight::Flight;
use crate::sync::{AtomicU64, Mutex};

/// The flights of a lane are parted by their key's hash, each part with a lock of its own. (The bars of a side are too, in
/// shards; its places are no parts, but all that is kept of a key that was stamped. See [`barriers`](crate::barriers).)
pub(super) struct Stripe<K, V> {
    pub(super) flights: Mutex<Flights<K, V>>,
    /// How many answers were stored under the lock.
    pub(super) stored: AtomicU64,
}

impl<K, V> Stripe<K, V> {
    pub(super) fn new() -> Self {
        Self { flights: Mutex::new(Flights(HashMap::default())), stored: AtomicU64::new(0) }
    }
}

/// The loads of each key that may still be stored: the last may be joined, others are older.
pub(super) struct Flights<K, V>(HashMap<K, Vec<Arc<Flight<K, V>>>, RandomState>);

impl<K: Key, V> Flights<K, V> {
    pub(super) fn last(&self, key: &K) -> Option<&Arc<Flight<K, V>>> {
        self.0.get(key)?.last()
    }

    pub(super) fn add(&mut self, flight: Arc<Flight<K, V>>) {
        match self.0.get_mut(&flight.key) {
            Some(older) => older.push(flight),
            None => drop(self.0.insert(flight.key.clone(), vec![flight])),
        }
    }

    /// Takes all of a key out.
    pub(super) fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Takes a flight out, if it is there, and on request those that are older.
    pub(super) fn take_out(&mut self, flight: &Arc<Flight<K, V>>, with_older: bool) -> bool {
        let Some(of_key) = self.0.get_mut(&flight.key) else { return false };
        let Some(at) = of_key.iter().position(|one| Arc::ptr_eq(one, flight)) else { return false };
        of_key.drain(if with_older { 0 } else { at }..=at);
        if of_key.is_empty() {
            self.0.remove(&flight.key);
        }
        true
    }

    /// Takes a flight out that nobody waits for; whether it was so. Nobody joins it meanwhile, as this is under the lock.
    pub(super) fn take_out_unwanted(&mut self, flight: &Arc<Flight<K, V>>) -> bool {
        let is_here = self.0.get(&flight.key).is_some_and(|of_key| of_key.iter().any(|one| Arc::ptr_eq(one, flight)));
        // One is that of the load, and one is here.
        let is_unwanted = Arc::strong_count(flight) <= 1 + usize::from(is_here);
        if is_unwanted {
            self.take_out(flight, false);
        }
        is_unwanted
    }
}
