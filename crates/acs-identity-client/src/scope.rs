//! What the holder of a token may do.

use acs_identity_core::{Error, Result};

use crate::ApiVersion;
use crate::api_version::Feature;
use crate::text::extensible;

extensible! {
    /// What the holder of an access token may do.
    ///
    /// [Source](https://learn.microsoft.com/azure/communication-services/concepts/identity-model#access-tokens). The three
    /// with `join` need api-version 2023-10-01 or later.
    TokenScope, "a scope", {
        /// All of chat.
        CHAT = "chat",
        /// All of calling.
        VOIP = "voip",
        /// Chat without creating, deleting or changing threads.
        CHAT_JOIN = "chat.join",
        /// As [`CHAT_JOIN`](Self::CHAT_JOIN), and without adding or removing participants.
        CHAT_JOIN_LIMITED = "chat.join.limited",
        /// Calling without starting new calls.
        VOIP_JOIN = "voip.join",
    }
}

/// The texts of scopes, of which there must be one at least, and each in that version.
pub(crate) fn texts<'a>(scopes: &'a [TokenScope], version: &ApiVersion) -> Result<Vec<&'a str>> {
    if scopes.is_empty() {
        return Err(Error::invalid_input("a token needs at least one scope"));
    }
    let join = [TokenScope::CHAT_JOIN, TokenScope::CHAT_JOIN_LIMITED, TokenScope::VOIP_JOIN];
    if scopes.iter().any(|scope| join.contains(scope)) {
        version.require(Feature::JoinScopes)?;
    }
    Ok(scopes.iter().map(TokenScope::as_str).collect())
}

#[cfg(test)]
mod tests {
    use acs_identity_core::ErrorKind;

    use super::*;

    #[test]
    fn scopes_are_their_texts_and_others_may_come() {
        let scopes = [
            TokenScope::CHAT,
            TokenScope::VOIP,
            TokenScope::CHAT_JOIN,
            TokenScope::CHAT_JOIN_LIMITED,
            TokenScope::VOIP_JOIN,
            "rooms.join".parse().unwrap(),
        ];
        let texts = texts(&scopes, &ApiVersion::default()).unwrap();
        assert_eq!(texts, ["chat", "voip", "chat.join", "chat.join.limited", "voip.join", "rooms.join"]);
        assert!(super::texts(&[], &ApiVersion::default()).is_err());
        for join in ["chat.join", "chat.join.limited", "voip.join"] {
            let scopes = [TokenScope::CHAT, join.parse().unwrap()];
            let error = super::texts(&scopes, &ApiVersion::V2022_10_01).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}
