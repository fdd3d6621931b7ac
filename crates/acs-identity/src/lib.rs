//! Maps an application's own users to Azure Communication Services (ACS) identities and back.
//!
//! ACS knows a user only by an opaque ID such as `8:acs:<resource>_<user>`, and keeps no mapping to the application's
//! own users. This crate is that mapping: events and rosters come in with ACS IDs, customers come out.
//!
//! # A tour
//!
//! **An ID** is text. [`AcsId`] keeps it byte for byte, and reads from it what it is:
//!
//! ```
//! use acs_identity::{AcsId, CommunicationIdentifier, IdentityType};
//!
//! let id: AcsId = "4:+14255550123".parse()?;
//! assert_eq!(id.identity_type(), IdentityType::Pstn);
//! assert!(matches!(id.identifier(), CommunicationIdentifier::PhoneNumber { value: "+14255550123", .. }));
//! # Ok::<(), acs_identity::Error>(())
//! ```
//!
//! **A store** keeps which customer is behind an ACS ID; a customer may have several. **An [`IdentityMap`]** makes
//! identities and resolves them, when it is asked to and not before:
//!
//! ```
//! use std::sync::Arc;
//! use acs_identity::{Event, IdentityMap, Link, MappingStore, MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = Arc::new(MemoryStore::new());
//! store.link(Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?)).await?;
//!
//! let map = IdentityMap::with_store(store);
//! let json = br#"{"eventType": "Microsoft.Communication.ChatMessageReceived", "data": {"senderId": "8:acs:r_1"}}"#;
//! for event in Event::parse_all(json)? {
//!     for participant in event.participants() {
//!         let identity = map.from_acs_id(participant.acs_id().clone());
//!         let who = identity.identity().await?;
//!         assert_eq!(who.unwrap().as_str(), "bob@contoso.com");
//!     }
//! }
//! # Ok::<(), acs_identity::Error>(()) }).unwrap();
//! ```
//!
//! **Mappings that live elsewhere**, in a directory or behind an HTTP service, need one method: implement [`Resolver`],
//! or hand a closure to [`resolver_fn`]. **A cache** goes in front of either, and answers what it has seen without I/O:
//!
#![cfg_attr(feature = "cache", doc = "```")]
#![cfg_attr(not(feature = "cache"), doc = "```ignore")]
//! use acs_identity::cache::ReadThrough;
//! use acs_identity::{AcsId, CustomerId, IdentityMap, resolver_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let directory = resolver_fn(|id: AcsId| async move {
//!     // Ask the directory here.
//!     Ok((id.as_str() == "8:acs:r_1").then(|| CustomerId::from(42)))
//! });
//! let cache = ReadThrough::new(directory);
//! let map = IdentityMap::new(cache.clone());
//!
//! let roster = ["8:acs:r_1".parse()?, "8:acs:r_2".parse()?];
//! for _ in 0..2 {
//!     let answers = map.resolve_many(&roster).await;
//!     assert_eq!(answers[0].clone()?.unwrap().customer_id().as_str(), "42");
//!     assert_eq!(answers[1].clone()?, None);
//! }
//! assert_eq!((cache.stats().hits, cache.stats().negative_hits), (1, 1));
//! # Ok::<(), acs_identity::Error>(()) }).unwrap();
//! ```
//!
//! Three answers are different everywhere: found, absent (`Ok(None)`), and failed (`Err`). IDs and customers never show
//! in `Debug`, logs or errors; only `as_str` gives their text.
//!
//! # Features
//!
//! None is on by default: identifiers, events, traits, [`IdentityMap`] and [`MemoryStore`] need none.
//!
//! | feature | what it adds |
//! |---|---|
//! | `cache` | module `cache` with `ReadThrough`, the cache in front of any resolver or store |
//! | `client` | module `client` with `IdentityClient`: users and access tokens of ACS; and `CustomIdResolver`, which asks ACS who an ID is |
//! | `emulator` | module `emulator` with `Emulator`, the identity service of ACS for tests and local development |
//! | `metrics` | `cache`, and its counters for the `metrics` crate: `ReadThrough::publish_metrics` |
//! | `mysql` | module `sql` with `MySqlStore`, mappings in MySQL or MariaDB |
//! | `postgres` | module `sql` with `PostgresStore`, mappings in PostgreSQL |
//! | `quick-cache` | `cache`, and `TableKind::QuickCache`, a table of entries with faster hits |
//! | `redis` | module `redis` with `RedisStore`, mappings in Redis or Valkey: one server, behind Sentinel, or a cluster |
//! | `sqlite` | module `sql` with `SqliteStore`, mappings in an SQLite file or in an SQLite database in memory |
//! | `uuid` | `From<Uuid>` for [`CustomerId`] |
//!
//! All of them are crates of their own, which this one only puts under one name; a library that implements [`Resolver`]
//! or [`MappingStore`] needs `acs-identity-core` and no more.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use acs_identity_core::*;

#[cfg(feature = "cache")]
pub use acs_identity_cache as cache;

#[cfg(feature = "client")]
pub use acs_identity_client as client;

#[cfg(feature = "emulator")]
pub use acs_identity_emulator as emulator;

#[cfg(feature = "redis")]
pub use acs_identity_redis as redis;

#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub use acs_identity_sql as sql;
