//! Models of the cache: its own source, on a scheduler that tries out orders in which its tasks may go on, over a made-up store.
//!
//! ```sh
//! RUSTFLAGS="--cfg acs_identity_model" CARGO_TARGET_DIR=target/model cargo test -p acs-identity-cache --lib
//! ```

#![allow(unreachable_pub)]
pub(crate) mod sync;

#[cfg(test)]
use crate::ReadThrough;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod restless;
#[cfg(test)]
mod world;
