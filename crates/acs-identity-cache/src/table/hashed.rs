//! A key with its hash, so that it is hashed once for all tables and locks.

use std::hash::{BuildHasher, Hash, Hasher};

use equivalent::Equivalent;

/// A key, or a reference to one, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed<K> {
    pub(crate) hash: u64,
    pub(crate) key: K,
}

impl<K: Clone> Hashed<&K> {
    pub(crate) fn to_owned(self) -> Hashed<K> {
        Hashed { hash: self.hash, key: self.key.clone() }
    }
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Eq> Equivalent<Hashed<K>> for Hashed<&K> {
    fn equivalent(&self, other: &Hashed<K>) -> bool {
        self.hash == other.hash && *self.key == other.key
    }
}

/// Hashes what is hashed already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsItIs(u64);

impl BuildHasher for AsItIs {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // A `Hashed` only says a number; this is for whatever else a library may hash with it.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
