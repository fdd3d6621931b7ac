//! [`Faulty`]: fails the calls of a store when it is told to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use acs_identity_core::{Error, ErrorKind, Result};

use super::wrap::{Call, wrap_store};

/// Fails the calls of a resolver or a store when it is told to. Never answers at once.
///
/// ```
/// use acs_identity_core::{ErrorKind, MappingStore, MemoryStore};
/// use acs_identity_testkit::Faulty;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = Faulty::new(MemoryStore::new());
/// store.fail_next(1, ErrorKind::Timeout);
/// assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Timeout);
/// assert!(store.ping().await.is_ok());
/// # });
/// ```
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    /// How many calls are still to fail, and how; `u64::MAX` is all of them.
    fail: Option<(u64, ErrorKind)>,
    /// How many writes are still to lose their answer.
    lose: u64,
}

impl<S> Faulty<S> {
    /// Fails calls of this one, but none until it is told to.
    pub fn new(inner: S) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// The next calls fail with an error of this kind and don't reach the store.
    pub fn fail_next(&self, calls: u64, kind: ErrorKind) {
        self.plan().fail = Some((calls, kind));
    }

    /// Every call fails with an error of this kind and doesn't reach the store, until [`heal`](Self::heal).
    pub fn fail_all(&self, kind: ErrorKind) {
        self.fail_next(u64::MAX, kind);
    }

    /// The next writes are applied, and answer [`ErrorKind::OutcomeUnknown`].
    pub fn lose_answers(&self, writes: u64) {
        self.plan().lose = writes;
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        *self.plan() = Plan::default();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn before(&self, _: Call) -> Result<()> {
        match &mut self.plan().fail {
            Some((left @ 1.., kind)) => {
                if *left < u64::MAX {
                    *left -= 1;
                }
                Err(Error::new(*kind, "a fault of the test"))
            }
            _ => Ok(()),
        }
    }

    async fn after(&self, call: Call) -> Result<()> {
        let mut plan = self.plan();
        if call.is_write() && plan.lose > 0 {
            plan.lose -= 1;
            return Err(Error::new(ErrorKind::OutcomeUnknown, "the test lost the answer"));
        }
        Ok(())
    }

    fn at_once(&self) -> bool {
        false
    }
}

wrap_store!(Faulty);

#[cfg(test)]
mod tests {
    use acs_identity_core::{MappingStore, MemoryStore, Resolver};

    use super::*;
    use crate::support::{acs, create, every_call};

    #[tokio::test]
    async fn every_call_fails_until_it_is_healed() {
        let store = Faulty::new(MemoryStore::new());
        let link = create("8:acs:r_1", "bob");
        store.fail_all(ErrorKind::Denied);
        for (name, call) in every_call(&store, &link) {
            assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Denied, "{name}");
        }
        store.heal();
        assert!(store.resolve(&acs("8:acs:r_1")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lost_answer_is_a_write_that_was_applied() {
        let store = Faulty::new(MemoryStore::new());
        store.lose_answers(1);
        store.ping().await.unwrap();
        let lost = store.link(create("8:acs:r_1", "bob")).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::OutcomeUnknown);
        assert!(!store.link(create("8:acs:r_1", "bob")).await.unwrap().changed);
    }
}
