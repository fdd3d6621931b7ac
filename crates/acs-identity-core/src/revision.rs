//! The revision of a mapping.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Timestamp;
use crate::wire::unquoted;

/// The version of one ACS ID's mapping: it rises with every write of that ID, also across an unlink and a new link.
///
/// Only the order means something, and only between revisions of the same ACS ID. The value is the
/// store's time in microseconds, or one more than the revision before, whichever is greater; so an
/// importing store can keep the revisions of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Revision(u64);

impl Revision {
    /// The greatest revision that every backend can keep.
    pub const MAX: Self = Self(Timestamp::MAX.as_micros());

    /// The revision of this value, at most [`Revision::MAX`].
    pub const fn new(value: u64) -> Self {
        if value > Self::MAX.0 { Self::MAX } else { Self(value) }
    }

    /// Its value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision of a write at `now` to an ID whose last revision, if there was one, is `last`.
    ///
    /// `None` where `last` is the greatest revision there is, which only a forged import can bring about.
    pub fn next(last: Option<Self>, now: Timestamp) -> Option<Self> {
        match last {
            None => Some(Self(now.as_micros())),
            Some(last) if last < Self::MAX => Some(Self((last.0 + 1).max(now.as_micros()))),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As [`new`](Self::new).
impl From<u64> for Revision {
    fn from(value: u64) -> Self {
        Self::new(value)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::new).map_err(unquoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_when_the_clock_stands_or_goes_back() {
        let at = Timestamp::from_micros;
        assert_eq!(Revision::next(None, at(100)), Some(Revision(100)));
        assert_eq!(Revision::next(Some(Revision(100)), at(100)), Some(Revision(101)));
        assert_eq!(Revision::next(Some(Revision(100)), at(3)), Some(Revision(101)));
        assert_eq!(Revision::next(Some(Revision(100)), at(300)), Some(Revision(300)));
        assert_eq!(Revision::next(Some(Revision::MAX), at(300)), None);
    }
}
