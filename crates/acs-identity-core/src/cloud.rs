//! The clouds in which identifiers live.

use std::fmt;
use std::str::FromStr;

use crate::redact::Excerpt;
use crate::{Error, Result};

/// A cloud of Microsoft; `CommunicationCloudEnvironment` in the SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CloudEnvironment {
    /// The public cloud, `public`.
    #[default]
    Public,
    /// The cloud of the United States' Department of Defense, `dod`.
    Dod,
    /// The cloud for the United States' government and its contractors (GCC High), `gcch`.
    Gcch,
}

impl CloudEnvironment {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Dod => "dod",
            Self::Gcch => "gcch",
        }
    }
}

impl fmt::Display for CloudEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Takes the names on the wire, in lower case.
impl FromStr for CloudEnvironment {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "public" => Ok(Self::Public),
            "dod" => Ok(Self::Dod),
            "gcch" => Ok(Self::Gcch),
            _ => Err(Error::invalid_input(format!("a cloud is public, dod or gcch, not {}", Excerpt(name.as_bytes())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for cloud in [CloudEnvironment::Public, CloudEnvironment::Dod, CloudEnvironment::Gcch] {
            assert_eq!(cloud.to_string().parse::<CloudEnvironment>().unwrap(), cloud);
        }
        assert!("Public".parse::<CloudEnvironment>().is_err() && "".parse::<CloudEnvironment>().is_err());
    }
}
