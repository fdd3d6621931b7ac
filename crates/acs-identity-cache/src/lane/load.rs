//! The duty to run a load.

use std::sync::Arc;

use acs_identity_core::{Error, ErrorKind, Result};

use super::Lane;
use crate::barriers::Key;
use crate::counters::Event;
use crate::flight::{Flight, Seat};
use crate::sync::Ordering;
use crate::values::{Cached, micros};

/// A load to be run. Dropped without an answer, it fails those who wait, and the key can be tried again.
pub(crate) struct Load<K: Key, V: Cached> {
    lane: Arc<Lane<K, V>>,
    flight: Arc<Flight<K, V>>,
    /// What it asks for, apart from the key.
    pub(crate) request: V::Request,
    /// Whether a hit has started it, which does not wait for it.
    pub(super) is_renewal: bool,
    /// Whether it is not to be asked for with others, as a load of the same key is late.
    pub(crate) goes_alone: bool,
    /// Whether another one of the same key is under way, which is not to be joined any more.
    pub(crate) is_again: bool,
    /// Whether it is let through to see whether the source still fails.
    pub(crate) is_probe: bool,
    landed: bool,
}

impl<K: Key, V: Cached> Load<K, V> {
    pub(super) fn new(lane: Arc<Lane<K, V>>, flight: Arc<Flight<K, V>>) -> Self {
        let request = V::Request::default();
        Self {
            lane,
            flight,
            request,
            is_renewal: false,
            goes_alone: false,
            is_again: false,
            is_probe: false,
            landed: false,
        }
    }

    pub(crate) fn key(&self) -> &K {
        &self.flight.key
    }

    /// The place of who has started it.
    pub(crate) fn seat(&self) -> Seat<K, V> {
        Seat::first(self.flight.clone())
    }

    /// Says that the source is asked from now on.
    pub(crate) fn begin(&self) {
        let now = self.lane.time.now();
        self.flight.begin(self.lane.barriers.now(), now);
        self.lane.last_begun.fetch_max(now, Ordering::AcqRel);
    }

    /// Whether it is still to be run: one that has waited for longer than its deadline, and that nobody waits for any more, is not.
    pub(crate) fn is_wanted(&mut self) -> bool {
        let (limits, time) = (&self.lane.limits, &self.lane.time);
        let asked_until = self.flight.asked.saturating_add(micros(limits.load_deadline));
        if time.now().saturating_add(time.grain()) >= asked_until && self.lane.give_up_unwanted(&self.flight) {
            self.landed = true;
        }
        !self.landed
    }

    /// Gives all who wait this error, as the source is not asked.
    pub(crate) fn refuse(mut self, error: Error) {
        if !self.is_renewal {
            self.lane.counters.count(Event::Refused);
        }
        self.fail(error);
    }

    /// Stores the answer, if it may be stored, and gives it to all who wait.
    pub(crate) fn land(mut self, answer: Result<V>) {
        self.finish(answer);
    }

    fn finish(&mut self, answer: Result<V>) {
        let counters = &self.lane.counters;
        match answer {
            Ok(value) => {
                self.landed = true;
                counters.count(Event::Loaded);
                if !self.lane.store(&self.flight, value.clone()) {
                    counters.count(Event::RefusedAsStale);
                }
                self.flight.land(Ok(value));
            }
            Err(error) => {
                counters.count(Event::Failed);
                self.fail(error);
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.landed = true;
        if self.is_renewal {
            let (lane, key) = (&self.lane, &self.flight.key);
            lane.failed_renewals.note(lane.hashed(key).hash, lane.time.now());
        }
        self.lane.give_up(&self.flight);
        self.flight.land(Err(error));
    }
}

impl<K: Key, V: Cached> Drop for Load<K, V> {
    fn drop(&mut self) {
        if !self.landed {
            self.finish(Err(Error::new(ErrorKind::Unavailable, "the load was abandoned: its runtime has shut down")));
        }
    }
}
