//! The names of the keys, and the slots that a cluster puts them into.
//!
//! A cluster hashes what stands between the first `{` and the `}` after it, if there is anything between them, and the
//! whole key otherwise. Each key has `{}` in front of what an ID could be in, and no brace before it; so the whole key
//! is hashed, whatever an ID holds.

use acs_identity_core::{AcsId, CustomerId, Namespace};
use crc::{CRC_16_XMODEM, CRC_64_XZ, Crc, Table};

const CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// In how many parts a customer's index is, so that one with very many ACS IDs is no burden to one node alone.
pub(crate) const PARTS: u16 = 16;

/// In how many parts the index by expiry is.
pub(crate) const EXPIRING_PARTS: u16 = 256;

/// The keys of a namespace.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// `acsid:<namespace>:`, which no other namespace's keys begin with, as a namespace has no colon in it.
    prefix: String,
}

/// What a key of a namespace is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Record(&'a str),
    Index(&'a str),
    Expiring,
}

impl Keys {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self { prefix: format!("acsid:{}:", namespace.as_str()) }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The record of an ACS ID.
    pub(crate) fn record(&self, id: &str) -> String {
        [&self.prefix, "m:{}", id].concat()
    }

    /// What all keys of records match, and no other key.
    pub(crate) fn records(&self) -> String {
        [&self.prefix, "m:{}*"].concat()
    }

    /// What the keys of the parts of customers' indexes begin with; then come the part, a colon and the customer.
    pub(crate) fn index_prefix(&self) -> String {
        [&self.prefix, "c:{}"].concat()
    }

    /// A part of a customer's index.
    pub(crate) fn index_part(&self, part: u16, customer: &CustomerId) -> String {
        format!("{}c:{{}}{part:x}:{}", self.prefix, customer.as_str())
    }

    /// The part of a customer's index in which an ACS ID is.
    pub(crate) fn index(&self, id: &AcsId, customer: &CustomerId) -> String {
        self.index_part(hash(id.as_str()) % PARTS, customer)
    }

    /// In the place of an index where there is no customer; it only tells the part.
    pub(crate) fn index_of_nobody(&self, id: &AcsId) -> String {
        format!("{}c:{{}}{:x}:", self.prefix, hash(id.as_str()) % PARTS)
    }

    /// A part of the index by expiry.
    pub(crate) fn expiring_part(&self, part: u16) -> String {
        format!("{}e:{{}}{part:02x}", self.prefix)
    }

    /// The part of the index by expiry in which an ACS ID is.
    pub(crate) fn expiring(&self, id: &AcsId) -> String {
        self.expiring_part((hash(id.as_str()) / PARTS) % EXPIRING_PARTS)
    }

    /// Reads a key; `None` if it is not one of this namespace.
    pub(crate) fn parse<'a>(&self, key: &'a str) -> Option<Key<'a>> {
        let rest = key.strip_prefix(&self.prefix)?;
        if let Some(id) = rest.strip_prefix("m:{}") {
            return Some(Key::Record(id));
        }
        if let Some(index) = rest.strip_prefix("c:{}") {
            return index.split_once(':').map(|(_, customer)| Key::Index(customer));
        }
        rest.starts_with("e:{}").then_some(Key::Expiring)
    }
}

/// The slot of a key that was made here.
pub(crate) fn slot(key: &str) -> u16 {
    hash(key) % 16384
}

/// Stands for some texts in their order. The same in every process and build: it goes into cursors, which are kept.
pub(crate) fn fingerprint<'a>(texts: impl Iterator<Item = &'a [u8]>) -> u64 {
    const CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);
    let mut sum = CRC.digest();
    for text in texts {
        sum.update(&(text.len() as u64).to_be_bytes());
        sum.update(text);
    }
    sum.finalize()
}

/// A short sum of a text.
pub(crate) fn hash(text: &str) -> u16 {
    CRC.checksum(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use acs_identity_core::MAX_ID_BYTES;
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new(&Namespace::new("app").unwrap())
    }

    #[test]
    fn a_slot_is_the_one_that_the_specification_computes() {
        // https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
        assert_eq!(hash("123456789"), 0x31C3);
        assert_eq!(slot("foo"), 12182);
    }

    #[test]
    fn a_customers_parts_are_in_as_many_slots_however_long_the_customers_id_is() {
        for length in 1..=MAX_ID_BYTES {
            let customer = CustomerId::new("c".repeat(length)).unwrap();
            let mut slots: Vec<u16> = (0..PARTS).map(|part| slot(&keys().index_part(part, &customer))).collect();
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len(), usize::from(PARTS), "{length}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_for_ever() {
        let of = |texts: &[&str]| fingerprint(texts.iter().map(|text| text.as_bytes()));
        assert_eq!(of(&[]), 0);
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", ""]), of(&["a"]));
        assert_eq!(of(&["8:acs:r_1", "8:acs:r_2"]), 5_141_475_436_283_916_717);
    }

    proptest! {
        #[test]
        fn a_key_tells_what_it_is_of(id in "[ -~]{1,40}", customer in "[ -~]{1,40}") {
            let (keys, id, customer) = (keys(), AcsId::new(id).unwrap(), CustomerId::new(customer).unwrap());
            let (record, index, expiring) =
                (keys.record(id.as_str()), keys.index(&id, &customer), keys.expiring(&id));
            prop_assert_eq!(keys.parse(&record), Some(Key::Record(id.as_str())));
            prop_assert_eq!(keys.parse(&index), Some(Key::Index(customer.as_str())));
            prop_assert_eq!(keys.parse(&expiring), Some(Key::Expiring));
            let other = Keys::new(&Namespace::new("ap").unwrap());
            prop_assert_eq!(other.parse(&record), None);
        }

        #[test]
        fn no_id_makes_a_hash_tag(id in "[a{}]{1,12}") {
            let key = keys().record(&id);
            let tag = key.find('{').and_then(|open| key[open + 1..].find('}').map(|close| &key[open + 1..][..close]));
            prop_assert_eq!(tag, Some(""));
        }
    }
}
