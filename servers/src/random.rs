//! Random names, passwords and ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Some number; the standard library seeds its hash maps with the system's randomness.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Sixteen hexadecimal digits.
pub(crate) fn hex() -> String {
    format!("{:016x}", number())
}
