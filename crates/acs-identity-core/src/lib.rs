//! Types, traits, errors and the in-memory store of `acs-identity`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answers;
mod capabilities;
mod error;
mod event;
mod feed;
mod id;
mod identifier;
mod identity;
mod identity_map;
mod link;
mod mapping;
mod memory;
mod namespace;
mod phone;
mod properties;
mod redact;
mod resolution;
mod resolver;
mod revision;
pub mod rules;
mod store;
mod time;
mod wire;

pub use answers::{Answer, Answers};
pub use capabilities::{Capabilities, Capability};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Participant, RejectedId, Role};
pub use feed::{Change, ChangeFeed, LostReason};
pub use id::{AcsId, CustomerId, MAX_ID_BYTES};
pub use identifier::{CloudEnvironment, CommunicationIdentifier, IdentityType};
pub use identity::{Identity, IdentityValue};
pub use identity_map::IdentityMap;
pub use link::{Expect, Imported, Link, Linked, When};
pub use mapping::{Cursor, Mapping, Page, PageRequest};
pub use memory::MemoryStore;
pub use namespace::Namespace;
pub use properties::Properties;
pub use redact::{Excerpt, Redacted};
pub use resolution::Resolution;
pub use resolver::{Or, Resolver, ResolverExt, ResolverFn, resolver_fn};
pub use revision::Revision;
pub use store::{MappingStore, MappingStoreExt};
pub use time::{Clock, SystemClock, Timestamp};
pub use wire::{CommunicationIdentifierModel, IdentifierObject, Mismatch};
