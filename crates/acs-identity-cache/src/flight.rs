//! One load under way, and those who wait for it.

use std::sync::Arc;

use acs_identity_core::{Error, ErrorKind, Result};
use tokio::sync::SetOnce;

use crate::sync::{AtomicU64, Guard, Moment, Ordering, is_on, timeout_at};
use crate::table::Hashed;
use crate::values::{Cached, micros};

/// The start of a load that has not begun.
pub(crate) const NOT_BEGUN: u64 = u64::MAX;

/// A load of one key. Whoever waits may go away at any point; the load goes on in its own task.
#[derive(Debug)]
pub(crate) struct Flight<K, V> {
    pub(crate) key: K,
    /// The key's hash.
    pub(crate) hash: u64,
    /// The number of the last barrier when the load began; the greatest number until then.
    born: AtomicU64,
    /// When it was asked for, in microseconds of the monotonic clock.
    pub(crate) asked: u64,
    /// When it began; [`NOT_BEGUN`] until then.
    started: AtomicU64,
    answer: SetOnce<Result<V>>,
}

impl<K, V: Clone> Flight<K, V> {
    pub(crate) fn new(key: Hashed<K>, asked: u64) -> Self {
        let Hashed { hash, key } = key;
        let (born, started) = (AtomicU64::new(u64::MAX), AtomicU64::new(NOT_BEGUN));
        Self { key, hash, born, asked, started, answer: SetOnce::new() }
    }

    pub(crate) fn hashed(&self) -> Hashed<&K> {
        Hashed { hash: self.hash, key: &self.key }
    }

    /// Says that the load begins now. One that is begun again, as a part of a batch, keeps its first start.
    pub(crate) fn begin(&self, born: u64, now: u64) {
        self.born.fetch_min(born, Ordering::AcqRel);
        self.started.fetch_min(now, Ordering::AcqRel);
    }

    pub(crate) fn born(&self) -> u64 {
        self.born.load(Ordering::Acquire)
    }

    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::Acquire)
    }

    /// Gives everyone who waits, now or later, the answer.
    pub(crate) fn land(&self, answer: Result<V>) {
        // It lands once, as there is one `Load` of it.
        let _ = self.answer.set(answer);
    }

    /// Waits for the answer, at most until then: the load has a deadline of its own, but also a runtime of its own, which
    /// may stand still.
    ///
    /// # Errors
    /// The load's, and `Timeout`.
    pub(crate) async fn wait(&self, until: Moment) -> Result<V> {
        if let Some(answer) = self.answer.get() {
            return answer.clone();
        }
        match timeout_at(until, self.answer.wait()).await {
            Some(answer) => answer.clone(),
            None => Err(late()),
        }
    }
}

/// A caller's place in a load.
#[derive(Debug)]
pub(crate) struct Seat<K, V> {
    flight: Arc<Flight<K, V>>,
    /// When the caller joined a load of somebody else that had begun, at the latest.
    joined: Option<u64>,
}

impl<K, V: Cached> Seat<K, V> {
    /// The place of who started the load.
    pub(crate) fn first(flight: Arc<Flight<K, V>>) -> Self {
        Self { flight, joined: None }
    }

    /// The place of who comes later.
    pub(crate) fn joined(flight: Arc<Flight<K, V>>, now: u64) -> Self {
        // The answer of a load that has not begun is as new as that of a load of one's own.
        let joined = (flight.started() != NOT_BEGUN).then_some(now);
        Self { flight, joined }
    }

    /// Waits for the answer, at most until then. `None` is that of a load that has begun so long before this caller joined it
    /// that the answer may have expired in between.
    ///
    /// # Errors
    /// The load's, and `Timeout`.
    pub(crate) async fn wait(&self, until: Moment) -> Result<Option<V>> {
        let answer = self.flight.wait(until).await?;
        let Some(joined) = self.joined else { return Ok(Some(answer)) };
        let age = joined.saturating_sub(self.flight.started());
        Ok(match answer.remaining() {
            Some(remaining) if micros(remaining) <= age && is_on(Guard::JoinedInTime) => None,
            Some(_) => Some(answer.aged(age)),
            None => Some(answer),
        })
    }
}

/// The backend has not answered in time.
pub(crate) fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the backend did not answer in time").in_backend("cache")
}
