//! The name under which one application, or one tenant, keeps its mappings.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::redact::Excerpt;
use crate::{Error, Result};

/// A part of a store that sees nothing of the other parts: 1 to 64 of `A-Z a-z 0-9 _ -`.
///
/// Fixed when a handle of a store is made; the default is `default`. Its characters are few so that no
/// backend's key syntax can be broken by it. It is a name that operators choose, so `Debug` shows it.
///
/// ```
/// use acs_identity_core::Namespace;
/// assert_eq!(Namespace::default().as_str(), "default");
/// assert!(Namespace::new("tenant-7").is_ok());
/// assert!(Namespace::new("tenant:7").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The most bytes of a namespace.
    pub const MAX_BYTES: usize = 64;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// `InvalidInput` if it is empty, too long or has another character.
    pub fn new(name: &str) -> Result<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > Self::MAX_BYTES || !name.bytes().all(legal) {
            return Err(Error::invalid_input(format!(
                "a namespace is 1 to 64 of A-Z a-z 0-9 _ -, not {}",
                Excerpt(name.as_bytes())
            )));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.0)
    }
}

impl FromStr for Namespace {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_characters_are_taken() {
        for bad in ["", "a b", "a:b", "{a}", "é", "a\n", &"x".repeat(65)] {
            assert!(Namespace::new(bad).is_err(), "{bad:?}");
        }
        assert!(Namespace::new(&"x".repeat(64)).is_ok());
    }
}
