//! One conformance suite for every mapping store, and test doubles.
//!
//! # Testing a store
//! A [`Fixture`] opens the store; one line in a test target without the standard harness runs every check on it, each
//! as a test of its own:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use acs_identity_core::{MappingStore, MemoryStore, Namespace};
//! use acs_identity_testkit::{Fixture, conformance_main};
//!
//! struct Memory(MemoryStore);
//!
//! #[async_trait::async_trait]
//! impl Fixture for Memory {
//!     fn name(&self) -> &str {
//!         "memory"
//!     }
//!
//!     async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
//!         Arc::new(self.0.second_client().in_namespace(namespace))
//!     }
//! }
//!
//! conformance_main!(Memory(MemoryStore::new()));
//! ```
//!
//! A test's name is the store's and the check's, such as `memory::p04_forward_and_reverse_agree`, so that
//! `cargo test -- p04` and nextest filter as usual. What a store or a fixture says it cannot do is an ignored test with
//! the reason.
//!
//! # Test doubles
//! [`ManualClock`] for the time; [`ManualFeed`] for news of changes; [`Counting`], [`Slow`], [`Faulty`] and [`Gated`] around any resolver or store.

mod check;
pub mod checks;
mod doubles;
mod fixture;
mod harness;
mod support;

pub use check::{Check, Outcome, checks};
pub use doubles::{Call, Counting, Faulty, Gated, Hold, ManualClock, ManualFeed, Point, Slow};
pub use fixture::{Faults, Fixture, NotApplicable, Verdict};
pub use harness::run;
