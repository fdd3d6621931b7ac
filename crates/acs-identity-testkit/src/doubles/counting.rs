//! [`Counting`]: counts the calls that reach a store.

use std::sync::atomic::{AtomicU64, Ordering};

use acs_identity_core::Result;

use super::wrap::{Call, wrap_store};

/// Counts the calls that reach a resolver or a store.
///
/// ```
/// use acs_identity_core::{MemoryStore, Resolver};
/// use acs_identity_testkit::{Call, Counting};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = Counting::new(MemoryStore::new());
/// store.resolve(&"8:acs:r_1".parse()?).await?;
/// assert_eq!(store.calls(Call::Resolve), 1);
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Counting<S> {
    inner: S,
    calls: [AtomicU64; Call::COUNT],
}

impl<S> Counting<S> {
    /// Counts the calls of this one.
    pub fn new(inner: S) -> Self {
        Self { inner, calls: Default::default() }
    }

    /// How many of these calls have begun. A batch is one call.
    pub fn calls(&self, call: Call) -> u64 {
        self.calls[call as usize].load(Ordering::Acquire)
    }

    /// How many calls of any sort have begun.
    pub fn total(&self) -> u64 {
        self.calls.iter().map(|calls| calls.load(Ordering::Acquire)).sum()
    }

    fn count(&self, call: Call) {
        self.calls[call as usize].fetch_add(1, Ordering::AcqRel);
    }

    async fn before(&self, call: Call) -> Result<()> {
        self.count(call);
        Ok(())
    }

    async fn after(&self, _: Call) -> Result<()> {
        Ok(())
    }

    fn at_once(&self) -> bool {
        self.count(Call::ResolveNow);
        true
    }
}

wrap_store!(Counting);

#[cfg(test)]
mod tests {
    use acs_identity_core::{MappingStore, MemoryStore, Resolver};

    use super::*;
    use crate::support::{create, every_call};

    #[tokio::test]
    async fn each_call_is_counted_once_under_its_own_name() {
        let store = Counting::new(MemoryStore::new());
        let link = create("8:acs:r_1", "bob");
        for (_, call) in every_call(&store, &link) {
            call.await.unwrap();
        }
        store.resolve_now(&link.acs_id);
        store.close().await;
        assert_eq!(store.total(), Call::COUNT as u64);
        assert!(store.calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{:?}", store.calls);
    }
}
