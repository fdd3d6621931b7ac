//! User, Pstn or Bot: the draft's `IdentityType`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::redact::Excerpt;
use crate::wire::unquoted;
use crate::{Error, Result};

/// What an identity is: a person, a telephone or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum IdentityType {
    /// A person: a communication user, a Teams user or a Teams extension user.
    User,
    /// A number in the public switched telephone network.
    Pstn,
    /// An application in Teams.
    Bot,
    /// Of a kind that this library does not know.
    Unknown,
}

impl IdentityType {
    /// `User`, `Pstn`, `Bot` or `Unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Pstn => "Pstn",
            Self::Bot => "Bot",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for IdentityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Takes what `Display` writes.
impl FromStr for IdentityType {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "User" => Ok(Self::User),
            "Pstn" => Ok(Self::Pstn),
            "Bot" => Ok(Self::Bot),
            "Unknown" => Ok(Self::Unknown),
            _ => Err(Error::invalid_input(format!(
                "an identity type is User, Pstn, Bot or Unknown, not {}",
                Excerpt(name.as_bytes())
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for IdentityType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(remote = "IdentityType", rename = "IdentityType")]
        enum Form {
            User,
            Pstn,
            Bot,
            Unknown,
        }
        Form::deserialize(deserializer).map_err(unquoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for identity_type in [IdentityType::User, IdentityType::Pstn, IdentityType::Bot, IdentityType::Unknown] {
            assert_eq!(identity_type.to_string().parse::<IdentityType>().unwrap(), identity_type);
            assert_eq!(serde_json::to_string(&identity_type).unwrap(), format!("\"{identity_type}\""));
        }
        assert!("user".parse::<IdentityType>().is_err());
    }
}
