//! Real servers, clusters and sentinels of Redis, started, killed, failing over and gone.
#![allow(clippy::unwrap_used)]

mod cluster;
mod proxies;
mod sentinel;
mod standalone;
mod support;
