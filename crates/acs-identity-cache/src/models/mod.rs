//! Models of the cache: its own source, on a scheduler that tries out in which order its tasks may go on, over a made-up store.
//!
//! ```sh
//! RUSTFLAGS="--cfg acs_identity_model" CARGO_TARGET_DIR=target/model cargo test -p acs-identity-cache --lib --all-features
//! ```

pub(crate) mod sync;

#[cfg(test)]
mod guards;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod races;
#[cfg(test)]
mod restless;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod world;

#[cfg(test)]
use crate::ReadThrough;
