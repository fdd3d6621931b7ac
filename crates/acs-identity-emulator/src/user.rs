//! What tests see of users and of their tokens.

use std::fmt;

use acs_identity_core::{AcsId, Redacted, Timestamp};

/// A user that the emulator has.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub(crate) id: AcsId,
    pub(crate) custom_id: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_token_issued_at: Option<Timestamp>,
}

impl User {
    /// Its raw ID.
    pub fn id(&self) -> &AcsId {
        &self.id
    }

    /// The application's own ID of it, if it was created with one.
    pub fn custom_id(&self) -> Option<&str> {
        self.custom_id.as_deref()
    }

    /// When it was created, by the emulator's clock.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was last given a token.
    pub fn last_token_issued_at(&self) -> Option<Timestamp> {
        self.last_token_issued_at
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("custom_id", &self.custom_id.as_deref().map(Redacted))
            .field("created_at", &self.created_at)
            .field("last_token_issued_at", &self.last_token_issued_at)
            .finish()
    }
}

/// A token that the emulator has issued; not its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    pub(crate) scopes: Vec<String>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_on: Timestamp,
    pub(crate) state: TokenState,
}

impl IssuedToken {
    /// Its scopes, such as `chat`.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// When it was issued, by the emulator's clock.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// When it expires, or has expired.
    pub fn expires_on(&self) -> Timestamp {
        self.expires_on
    }

    /// Whether it is valid now.
    pub fn state(&self) -> TokenState {
        self.state
    }
}

/// What has become of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenState {
    /// It can be used.
    Valid,
    /// It was revoked before it expired.
    Revoked,
    /// Its time is over.
    Expired,
}
