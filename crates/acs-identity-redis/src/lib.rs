//! The Redis store of `acs-identity`: Azure Communication Services IDs mapped to an application's own users, in Redis
//! or Valkey, on one server, on the primary that Sentinel names, or in a cluster.
//!
//! [`RedisOptions`] says which, and opens a [`RedisStore`]. Most applications use this by the crate `acs-identity`,
//! feature `redis`.

mod answer;
mod check;
mod clocks;
mod error;
mod feed;
mod keys;
mod member;
mod nodes;
mod options;
mod purge;
mod read;
mod record;
mod repair;
mod reverse;
mod scan;
mod script;
mod step;
mod store;
mod tls;
mod write;

pub use options::RedisOptions;
pub use store::RedisStore;
