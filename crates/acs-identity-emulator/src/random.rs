//! IDs that nobody has had before.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes IDs that differ from those of every emulator before: an application that remembers a user of an earlier run
/// must not meet another one under its ID. They are not secret.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    drawn: AtomicU64,
    key: RandomState,
}

impl Ids {
    fn bits(&self) -> u128 {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        u128::from(self.key.hash_one((0_u8, number))) << 64 | u128::from(self.key.hash_one((1_u8, number)))
    }

    /// The part of a user's ID after the resource, in the form that the service gives it: the shape of a UUID, whose
    /// first group is a small number.
    pub(crate) fn user_part(&self) -> String {
        uuid(self.bits() & (u128::MAX >> 32) | 0x0000_0008 << 96)
    }

    /// The bytes of an access key.
    pub(crate) fn key(&self) -> Vec<u8> {
        (0..4).flat_map(|_| self.bits().to_be_bytes()).collect()
    }

    pub(crate) fn request(&self) -> String {
        uuid(self.bits())
    }
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_between_users_and_between_emulators() {
        let emulators = [Ids::default(), Ids::default()];
        let ids: HashSet<String> = emulators.iter().flat_map(|ids| (0..1000).map(|_| ids.user_part())).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 36 && id.starts_with("00000008-")));
    }
}
