//! The in-memory store keeps the promises of a store, by itself and behind pointers.

use std::sync::Arc;

use acs_identity_core::{ChangeFeed, MappingStore, MemoryStore, Namespace};
use acs_identity_testkit::{Fixture, ManualClock, conformance_main};
use async_trait::async_trait;

/// On a clock that is set by hand.
struct Memory {
    store: MemoryStore,
    clock: ManualClock,
}

impl Memory {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self { store: MemoryStore::with_clock(Arc::new(clock.clone())), clock }
    }
}

#[async_trait]
impl Fixture for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        Arc::new(self.store.second_client().in_namespace(namespace))
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.store.in_namespace(namespace)))
    }

    fn feed_keeps(&self) -> Option<u32> {
        Some(4096)
    }

    fn clock(&self) -> Option<ManualClock> {
        Some(self.clock.clone())
    }
}

/// Through `Box` and `Arc` of a trait object, and on the system's clock.
struct Pointers(MemoryStore);

#[async_trait]
impl Fixture for Pointers {
    fn name(&self) -> &str {
        "arc_dyn"
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        let store: Arc<dyn MappingStore> = Arc::new(self.0.second_client().in_namespace(namespace));
        let boxed: Box<dyn MappingStore> = Box::new(store);
        Arc::new(boxed)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.0.in_namespace(namespace)))
    }

    fn feed_keeps(&self) -> Option<u32> {
        Some(4096)
    }
}

conformance_main!(Memory::new(), Pointers(MemoryStore::new()));
