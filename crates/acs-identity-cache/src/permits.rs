//! Bounds how many calls of the source are under way at once, where each has a task of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use acs_identity_core::Result;
use tokio::sync::Semaphore;

use crate::flight::late;
use crate::sync::{Mutex, lock, timeout};
use crate::values::micros;

/// Permits for so many calls. Who finds none left waits in line.
pub(crate) struct Permits {
    free: Semaphore,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    last: u64,
    /// Until when each permit may be held, by its number, in microseconds.
    until: BTreeMap<u64, u64>,
}

/// A permit, held until it is dropped, or overdue.
pub(crate) struct Permit<'a> {
    of: &'a Permits,
    number: u64,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)), taken: Mutex::default() }
    }

    /// Takes a permit, to be held for so long at most, which is also the longest time to wait for one.
    ///
    /// # Errors
    /// `Timeout`.
    pub(crate) async fn take(&self, deadline: Duration, now: impl Fn() -> u64) -> Result<Permit<'_>> {
        self.take_back(now());
        let Some(Ok(permit)) = timeout(deadline, self.free.acquire()).await else { return Err(late()) };
        permit.forget();
        let mut taken = lock(&self.taken);
        taken.last += 1;
        let number = taken.last;
        taken.until.insert(number, now().saturating_add(micros(deadline)));
        Ok(Permit { of: self, number })
    }

    /// Takes permits back that are held for too long: the runtime of their tasks stands still, and would keep everybody waiting.
    fn take_back(&self, now: u64) {
        let mut taken = lock(&self.taken);
        let before = taken.until.len();
        taken.until.retain(|_, until| now <= *until);
        self.free.add_permits(before - taken.until.len());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Unless it was taken back.
        if lock(&self.of.taken).until.remove(&self.number).is_some() {
            self.of.free.add_permits(1);
        }
    }
}
