//! [`Slow`]: delays the calls of a store.

use std::time::Duration;

use acs_identity_core::Result;

use super::wrap::{Call, wrap_store};

/// Delays each call of a resolver or a store by a fixed time of the Tokio clock. Never answers at once.
#[derive(Debug)]
pub struct Slow<S> {
    inner: S,
    delay: Duration,
}

impl<S> Slow<S> {
    /// Delays the calls of this one.
    pub fn new(inner: S, delay: Duration) -> Self {
        Self { inner, delay }
    }

    async fn before(&self, _: Call) -> Result<()> {
        tokio::time::sleep(self.delay).await;
        Ok(())
    }

    async fn after(&self, _: Call) -> Result<()> {
        Ok(())
    }

    fn at_once(&self) -> bool {
        false
    }
}

wrap_store!(Slow);

#[cfg(test)]
mod tests {
    use acs_identity_core::{MappingStore, MemoryStore, Resolver};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_takes_its_time() {
        let store = Slow::new(MemoryStore::new(), Duration::from_secs(7));
        let start = Instant::now();
        store.ping().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        assert!(store.resolve_now(&"8:acs:r_1".parse().unwrap()).is_none());
    }
}
