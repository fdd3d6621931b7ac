//! A read-through cache in front of any [`Resolver`](acs_identity_core::Resolver) or
//! [`MappingStore`](acs_identity_core::MappingStore).
//!
//! [`ReadThrough`] wraps a resolver and remembers its answers, found and absent ones, for a while. Wrapped around a store it
//! passes writes through, and after a write has returned nobody who asks through it sees the older answer. Many who ask
//! for one unknown ID at once cause one load.
//!
//! ```
//! use acs_identity_cache::ReadThrough;
//! use acs_identity_core::{IdentityMap, Link, MappingStore, MemoryStore};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let cached = ReadThrough::new(MemoryStore::new());
//! cached.link(Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?)).await?;
//!
//! let map = IdentityMap::new(cached.clone());
//! for _ in 0..3 {
//!     map.resolve(&"8:acs:r_1".parse()?).await?;
//! }
//! assert_eq!((cached.stats().loaded, cached.stats().hits), (1, 2));
//! # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
//! ```
//!
//! Loads and writes run in tasks of their own, so a [`ReadThrough`] is used within a tokio runtime with its timer on.

mod barriers;
mod batches;
mod breaker;
mod builder;
mod clock;
mod counters;
mod flight;
mod follow;
mod guarded;
mod lane;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(acs_identity_model)]
mod models;
mod pages;
mod read_through;
mod source_call;
mod sync;
mod table;
mod traced;
mod values;
mod write_through;

pub use builder::ReadThroughBuilder;
pub use counters::CacheStats;
pub use read_through::ReadThrough;
pub use table::TableKind;
