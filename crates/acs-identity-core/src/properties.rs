//! Custom properties of a mapping.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::redact::Excerpt;
use crate::wire::unquoted;
use crate::{Error, Result};

/// Small custom values that an application keeps with a mapping, such as a tenant or a display name.
///
/// At most [`MAX_COUNT`](Self::MAX_COUNT) properties, names and values together at most
/// [`MAX_BYTES`](Self::MAX_BYTES) bytes; a name is 1 to 64 bytes without control characters; no name twice. They
/// are in no index: nothing can be found by them. Sorted by name, immutable, cheap to clone. `Debug` shows
/// names only.
///
/// ```
/// use acs_identity_core::Properties;
/// let properties = Properties::new([("tenant", "contoso"), ("plan", "gold")])?;
/// assert_eq!(properties.get("plan"), Some("gold"));
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
// `None` when empty, which nearly all are: eight bytes in a cached answer and no allocation.
pub struct Properties(Option<Arc<Entries>>);

type Entries = Vec<(Box<str>, Box<str>)>;

impl Properties {
    /// The most properties of one mapping.
    pub const MAX_COUNT: usize = 16;
    /// The most bytes of all names and values together.
    pub const MAX_BYTES: usize = 4096;
    /// The most bytes of one name.
    pub const MAX_NAME_BYTES: usize = 64;

    /// Checks and takes properties.
    ///
    /// # Errors
    /// `InvalidInput` if there are too many, they are too long, or a name is empty, too long, given twice or holds a
    /// control character.
    pub fn new<N: Into<Box<str>>, V: Into<Box<str>>>(properties: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut entries = Entries::new();
        let mut bytes = 0;
        for (name, value) in properties {
            let (name, value) = (name.into(), value.into());
            if name.is_empty() || name.len() > Self::MAX_NAME_BYTES || name.chars().any(char::is_control) {
                return Err(Error::invalid_input(format!(
                    "a property's name is 1 to {} bytes without control characters, not {}",
                    Self::MAX_NAME_BYTES,
                    Excerpt(name.as_bytes())
                )));
            }
            bytes += name.len() + value.len();
            if entries.len() == Self::MAX_COUNT || bytes > Self::MAX_BYTES {
                return Err(Error::invalid_input(format!(
                    "a mapping has at most {} properties of {} bytes together",
                    Self::MAX_COUNT,
                    Self::MAX_BYTES
                )));
            }
            entries.push((name, value));
        }
        entries.sort();
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = Excerpt(twice[0].0.as_bytes());
            return Err(Error::invalid_input(format!("property {name} is given twice")));
        }
        entries.shrink_to_fit();
        Ok(Self((!entries.is_empty()).then(|| Arc::new(entries))))
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        let entries = self.entries();
        entries.binary_search_by(|(key, _)| (**key).cmp(name)).ok().map(|at| &*entries[at].1)
    }

    /// All properties, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries().iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn entries(&self) -> &[(Box<str>, Box<str>)] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// As a map.
impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Properties;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut entries: Vec<(String, String)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Properties::new(entries).map_err(serde::de::Error::custom)
            }
        }
        deserializer.deserialize_map(Visitor).map_err(unquoted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_limits_hold() {
        let many = |count: usize| Properties::new((0..count).map(|n| (n.to_string(), String::new())));
        assert!(many(16).is_ok() && many(17).is_err());
        let long = |bytes: usize| Properties::new([("n", "x".repeat(bytes))]);
        assert!(long(4095).is_ok() && long(4096).is_err());
        for name in ["", "a\n", &"x".repeat(65)] {
            assert!(Properties::new([(name, "")]).is_err());
        }
        assert!(Properties::new([("a", "1"), ("a", "2")]).is_err());
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Properties::new([("name", "Bob")]).unwrap()), r#"{"name"}"#);
    }

    proptest! {
        #[test]
        fn json_round_trips(entries in prop::collection::btree_map("[a-z]{1,8}", any::<String>(), 0..8)) {
            let properties = Properties::new(entries.clone())?;
            let json = serde_json::to_string(&properties)?;
            prop_assert_eq!(&serde_json::from_str::<Properties>(&json)?, &properties);
            for (name, value) in &entries {
                prop_assert_eq!(properties.get(name), Some(value.as_str()));
            }
            prop_assert_eq!(properties.len(), entries.len());
        }
    }
}
