//! What becomes of the answer of a load, or of its failure.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::Lane;
use crate::barriers::Key;
use crate::flight::Flight;
use crate::sync::{Guard, Ordering, is_on, lock};
use crate::table::Entry;
use crate::values::{Cached, micros};

impl<K: Key, V: Cached> Lane<K, V> {
    /// Stores an answer unless something has come in between.
    pub(super) fn store(&self, flight: &Arc<Flight<K, V>>, value: V) -> bool {
        // Before the stripe is locked: of a bar that comes after this look, the barrier is newer than the load.
        let started = flight.started();
        let named_barred =
            is_on(Guard::NamedIsBarred) && value.named().any(|named| self.named().is_barred(named, started));
        let hashed = flight.hashed();
        let stripe = self.stripe(hashed);
        let mut flights = lock(&stripe.flights);
        // With those that are older: none of them is to take the place of this answer.
        if !flights.take_out(flight, is_on(Guard::OlderAreTakenOut)) && is_on(Guard::FlightIsTheKeys) {
            return false;
        }
        let is_absent = value.is_absent();
        let Some(entry) = self.entry(flight, value).filter(|_| !named_barred) else {
            // Those who wait are given it nevertheless, and are not to be given the older one afterwards, as a stale answer.
            if is_on(Guard::OlderIsRemoved) {
                self.known.remove(hashed);
                self.absent.remove(hashed);
            }
            return false;
        };
        let (table, other) = if is_absent { (&self.absent, &self.known) } else { (&self.known, &self.absent) };
        if is_on(Guard::OtherIsRemoved) {
            other.remove(hashed);
        }
        table.insert(hashed, entry);
        stripe.stored.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// The entry for an answer, if it may be kept.
    fn entry(&self, flight: &Flight<K, V>, value: V) -> Option<Entry<V::Kept>> {
        let key = &flight.key;
        let (born, started, side) = (flight.born(), flight.started(), K::side(&self.barriers));
        let is_barred = side.is_barred(key, started) && is_on(Guard::KeyIsBarred);
        // What stays of a bar whose time is over; looked at after the bar, which goes after it has come.
        let is_stamped = !side.is_newer(born, side.place(key)) && is_on(Guard::KeyIsStamped);
        // A source that gives out a stale answer, as another cache does, would have it made a fresh one.
        if is_barred || is_stamped || (!value.is_fresh() && is_on(Guard::SourceIsFresh)) {
            return None;
        }
        let loaded = if is_on(Guard::LifetimeFromStart) { started } else { self.time.now() };
        let fresh_until = loaded.saturating_add(self.lifetime(flight.hash, &value, loaded));
        let entry = Entry { kept: value.keep(self.named()), born, loaded, fresh_until };
        // It would not be given out either: this keeps it from taking up room, and counts it.
        (self.barriers.is_usable(born) && self.names_unchanged(&entry)).then_some(entry)
    }

    /// Takes a flight out that has failed, so that the next caller tries again.
    pub(super) fn give_up(&self, flight: &Arc<Flight<K, V>>) {
        self.lock(flight.hashed()).take_out(flight, false);
    }

    /// Takes a flight out that nobody waits for; whether it was so.
    pub(super) fn give_up_unwanted(&self, flight: &Arc<Flight<K, V>>) -> bool {
        self.lock(flight.hashed()).take_out_unwanted(flight)
    }

    /// In microseconds.
    fn lifetime(&self, hash: u64, value: &V, started: u64) -> u64 {
        let full = if value.is_absent() { self.limits.absent_lifetime } else { self.limits.lifetime };
        // The hash is keyed and the time differs: as good as a random number for spreading reloads.
        let random = (self.hasher.hash_one((hash, started)) >> 11) as f64 / (1_u64 << 53) as f64;
        let full = micros(full);
        let shortened = ((full as f64 * (1.0 - self.limits.jitter * random)) as u64).min(full);
        let remaining = value.remaining().filter(|_| is_on(Guard::LastsAsItsMapping));
        let remaining = remaining.map(|remaining| micros(remaining).saturating_sub(self.time.grain()));
        remaining.map_or(shortened, |remaining| remaining.min(shortened))
    }
}
