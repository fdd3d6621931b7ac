//! One direction of the cache: its entries, the loads under way, and the bars that keep stale answers out.
//!
//! # Why nothing stale gets in
//! An answer is stored only by [`Load::land`], under the lock of the key's stripe, and only if
//! - its flight is still the one in the stripe: a purge or a write of the key takes the flight out, under the same lock;
//! - the lane's generation is the one of the flight's start: a purge of many keys moves it, then passes through every
//!   stripe's lock before it removes entries, so that no landing with the older generation is still to come;
//! - neither the key nor the lane is barred: a write bars what it touches until it is over.
//!
//! Nobody joins a flight that has been taken out, or one of an older generation. So a load that began before a write or a
//! purge answers those who came before, and no one else.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acs_identity_core::{Clock, Error, ErrorKind, Result};
use foldhash::quality::RandomState;

use crate::counters::{Counters, Event};
use crate::flight::Flight;
use crate::table::Table;
use crate::values::Cached;

const STRIPES: usize = 64;

/// What a lane is asked by: an ACS ID or a customer ID.
pub(crate) trait Key: Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// How long, and how many, answers are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) lifetime: Duration,
    pub(crate) absent_lifetime: Duration,
    /// By how much a lifetime is shortened at most, as a part of it: 0 to 1.
    pub(crate) jitter: f64,
    pub(crate) capacity: u64,
    pub(crate) absent_capacity: u64,
}

/// A stored answer.
#[derive(Clone)]
struct Entry<V> {
    value: V,
    /// When its load began.
    loaded: Duration,
    fresh_until: Duration,
}

struct Stripe<K, V> {
    flights: HashMap<K, Arc<Flight<V>>, RandomState>,
    bars: HashMap<K, Bar, RandomState>,
}

/// Keeps the answers for a key from being stored.
#[derive(Default)]
struct Bar {
    /// Writes under way.
    writers: u32,
    /// The deadline of writes whose outcome is not known.
    until: Duration,
}

impl Bar {
    fn holds(&self, now: Duration) -> bool {
        self.writers > 0 || self.until > now
    }
}

pub(crate) struct Lane<K, V> {
    known: Table<K, Entry<V>>,
    absent: Table<K, Entry<V>>,
    stripes: Box<[Mutex<Stripe<K, V>>]>,
    /// Until when the whole lane is barred, in microseconds of the monotonic clock.
    barred_until: AtomicU64,
    /// Moves when flights of many keys become too old to be joined or stored.
    generation: AtomicU64,
    limits: Limits,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    counters: Arc<Counters>,
}

/// What somebody finds who asks for a key.
pub(crate) enum Entered<K: Key, V: Cached> {
    /// An answer.
    Hit(V),
    /// A load that somebody else started.
    Joined(Arc<Flight<V>>),
    /// A load that this caller has to run.
    Leader(Load<K, V>),
}

impl<K: Key, V: Cached> Lane<K, V> {
    pub(crate) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let counters = Arc::new(Counters::default());
        let stripe = || Mutex::new(Stripe { flights: HashMap::default(), bars: HashMap::default() });
        Self {
            known: Table::new(limits.capacity, |entry: &Entry<V>| entry.value.weight(), counters.clone()),
            absent: Table::new(limits.absent_capacity, |_| 1, counters.clone()),
            stripes: (0..STRIPES).map(|_| stripe()).collect(),
            barred_until: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            limits,
            clock,
            hasher: RandomState::default(),
            counters,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The stored answer, if there is a fresh one that is usable. Takes no lock of this lane.
    pub(crate) fn get(&self, key: &K, usable: impl Fn(&V) -> bool) -> Option<V> {
        let (entry, event) = match self.known.get(key) {
            Some(entry) => (entry, Event::Hit),
            None => (self.absent.get(key)?, Event::NegativeHit),
        };
        let now = self.clock.monotonic();
        if now >= entry.fresh_until || !usable(&entry.value) {
            return None;
        }
        self.counters.count(event);
        Some(entry.value.aged(now.saturating_sub(entry.loaded)))
    }

    /// Finds the stored answer if it is usable, joins the load of a key, or starts one.
    pub(crate) fn enter(self: &Arc<Self>, key: &K, usable: impl Fn(&V) -> bool) -> Entered<K, V> {
        if let Some(value) = self.get(key, &usable) {
            return Entered::Hit(value);
        }
        let mut stripe = self.stripe(key);
        // Again under the lock, since a load may have landed in between.
        if let Some(value) = self.get(key, &usable) {
            return Entered::Hit(value);
        }
        self.counters.count(Event::Miss);
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(flight) = stripe.flights.get(key)
            && flight.generation == generation
        {
            self.counters.count(Event::Joined);
            return Entered::Joined(flight.clone());
        }
        let flight = Arc::new(Flight::new(generation, self.clock.monotonic()));
        stripe.flights.insert(key.clone(), flight.clone());
        Entered::Leader(Load { lane: self.clone(), key: key.clone(), flight, landed: false })
    }

    /// Forgets a key, and keeps the load of it that is under way from being stored or joined.
    pub(crate) fn purge(&self, key: &K) {
        self.forget(&mut self.stripe(key), key);
    }

    /// Forgets all found answers that fit, and keeps all loads that are under way from being stored or joined.
    pub(crate) fn purge_where(&self, fits: impl Fn(&K, &V) -> bool) {
        self.end_flights();
        self.known.remove_where(|key, entry| fits(key, &entry.value));
    }

    /// Forgets everything. Looks at every entry.
    pub(crate) fn purge_all(&self) {
        self.end_flights();
        self.known.remove_where(|_, _| true);
        self.absent.remove_where(|_, _| true);
    }

    /// Forgets a key and stores nothing for it until the bar is lifted.
    pub(crate) fn bar(&self, key: &K) {
        let mut stripe = self.stripe(key);
        self.forget(&mut stripe, key);
        stripe.bars.entry(key.clone()).or_default().writers += 1;
    }

    /// Ends a [`bar`](Self::bar), or lets it last until a moment of the monotonic clock. Forgets the key again: what was
    /// loaded meanwhile may be older than the write.
    pub(crate) fn lift(&self, key: &K, until: Option<Duration>) {
        let mut stripe = self.stripe(key);
        self.forget(&mut stripe, key);
        let now = self.clock.monotonic();
        if let MapEntry::Occupied(mut bar) = stripe.bars.entry(key.clone()) {
            bar.get_mut().writers -= 1;
            bar.get_mut().until = bar.get().until.max(until.unwrap_or_default());
            if !bar.get().holds(now) {
                bar.remove();
            }
        }
        if until.is_some() {
            // Bars that only wait for their deadline are removed by nobody else.
            stripe.bars.retain(|_, bar| bar.holds(now));
        }
    }

    /// Stores nothing at all until a moment of the monotonic clock. What is stored stays.
    pub(crate) fn bar_all(&self, until: Duration) {
        self.barred_until.fetch_max(micros(until), Ordering::AcqRel);
        self.end_flights();
    }

    fn forget(&self, stripe: &mut Stripe<K, V>, key: &K) {
        stripe.flights.remove(key);
        self.known.remove(key);
        self.absent.remove(key);
    }

    fn end_flights(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        for stripe in &self.stripes {
            // A landing that saw the older generation is over once its stripe can be locked.
            drop(lock(stripe));
        }
    }

    /// Stores an answer unless something has come in between.
    fn store(&self, key: &K, flight: &Arc<Flight<V>>, value: V) -> bool {
        let mut stripe = self.stripe(key);
        if !stripe.flights.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            return false;
        }
        stripe.flights.remove(key);
        let now = self.clock.monotonic();
        let all_barred = micros(now) < self.barred_until.load(Ordering::Acquire);
        let barred = stripe.bars.get(key).is_some_and(|bar| bar.holds(now));
        if all_barred || barred || flight.generation != self.generation.load(Ordering::Acquire) {
            return false;
        }
        let absent = value.is_absent();
        let lifetime = self.lifetime(key, &value, flight.started);
        let entry = Entry { value, loaded: flight.started, fresh_until: flight.started.saturating_add(lifetime) };
        let (table, other) = if absent { (&self.absent, &self.known) } else { (&self.known, &self.absent) };
        other.remove(key);
        table.insert(key.clone(), entry);
        true
    }

    /// Takes a flight out that has failed, or does not land in time, so that the next caller tries again.
    pub(crate) fn give_up(&self, key: &K, flight: &Arc<Flight<V>>) {
        let mut stripe = self.stripe(key);
        if stripe.flights.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            stripe.flights.remove(key);
        }
    }

    fn lifetime(&self, key: &K, value: &V, started: Duration) -> Duration {
        let full = if value.is_absent() { self.limits.absent_lifetime } else { self.limits.lifetime };
        // The hash is keyed and the time differs: as good as a random number for spreading reloads.
        let random = (self.hasher.hash_one((key, started)) >> 11) as f64 / (1_u64 << 53) as f64;
        let seconds = full.as_secs_f64() * (1.0 - self.limits.jitter * random);
        // The longest durations don't fit into one again after a detour through a float.
        let shortened = Duration::try_from_secs_f64(seconds).unwrap_or(full).min(full);
        value.remaining().map_or(shortened, |remaining| remaining.min(shortened))
    }

    fn stripe(&self, key: &K) -> MutexGuard<'_, Stripe<K, V>> {
        lock(&self.stripes[self.hasher.hash_one(key) as usize % STRIPES])
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Nothing that can panic runs while a lock is held but a clock, which is asked before anything is changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The duty to run a load. Dropped without an answer, it fails those who wait, and the key can be tried again.
pub(crate) struct Load<K: Key, V: Cached> {
    lane: Arc<Lane<K, V>>,
    key: K,
    flight: Arc<Flight<V>>,
    landed: bool,
}

impl<K: Key, V: Cached> Load<K, V> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn flight(&self) -> Arc<Flight<V>> {
        self.flight.clone()
    }

    /// Stores the answer, if it may be stored, and gives it to all who wait.
    pub(crate) fn land(mut self, answer: Result<V>) {
        self.finish(answer);
    }

    fn finish(&mut self, answer: Result<V>) {
        self.landed = true;
        let counters = &self.lane.counters;
        match &answer {
            Ok(value) => {
                counters.count(Event::Loaded);
                if !self.lane.store(&self.key, &self.flight, value.clone()) {
                    counters.count(Event::RefusedAsStale);
                }
            }
            Err(_) => {
                counters.count(Event::Failed);
                self.lane.give_up(&self.key, &self.flight);
            }
        }
        self.flight.land(answer);
    }
}

impl<K: Key, V: Cached> Drop for Load<K, V> {
    fn drop(&mut self) {
        if !self.landed {
            self.finish(Err(Error::new(
                ErrorKind::Unavailable,
                "the load was abandoned: its runtime has shut down, or has no timer",
            )));
        }
    }
}
