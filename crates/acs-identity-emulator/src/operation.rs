//! The operations of the service, and the paths that lead to them.

use std::fmt;
use std::str::FromStr;

use acs_identity_core::{Error, Excerpt, Result};
use hyper::Method;

use crate::refusal::Refusal;
use crate::request::Body;

/// What a request asks the service to do: which [faults](crate::Faults) and which [limit](crate::RateLimits) it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `POST /identities` without scopes.
    CreateUser,
    /// `POST /identities` with scopes.
    CreateUserAndToken,
    /// `GET /identities/{id}`.
    GetUser,
    /// `DELETE /identities/{id}`.
    DeleteUser,
    /// `POST /identities/{id}/:issueAccessToken`.
    IssueToken,
    /// `POST /identities/{id}/:revokeAccessTokens`.
    RevokeTokens,
    /// `POST /teamsUser/:exchangeAccessToken`.
    ExchangeTeamsUserToken,
    /// `POST /access/teamsExtension/:exchangeAccessToken`.
    ExchangeTeamsExtensionToken,
    /// `GET`, `PUT` and `DELETE /access/teamsExtension/tenants/{tenantId}/assignments/{objectId}`.
    TeamsExtensionAssignments,
    /// `POST /access/entra/:exchangeAccessToken`.
    ExchangeEntraToken,
    /// `GET` and `PATCH /access/entra/assignments`; `GET`, `PUT` and `DELETE /access/entra/assignments/{objectId}`.
    EntraAssignments,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::CreateUser,
        Self::CreateUserAndToken,
        Self::GetUser,
        Self::DeleteUser,
        Self::IssueToken,
        Self::RevokeTokens,
        Self::ExchangeTeamsUserToken,
        Self::ExchangeTeamsExtensionToken,
        Self::TeamsExtensionAssignments,
        Self::ExchangeEntraToken,
        Self::EntraAssignments,
    ];

    /// The name that the program's flags know it by, such as `create-user`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateUser => "create-user",
            Self::CreateUserAndToken => "create-user-and-token",
            Self::GetUser => "get-user",
            Self::DeleteUser => "delete-user",
            Self::IssueToken => "issue-token",
            Self::RevokeTokens => "revoke-tokens",
            Self::ExchangeTeamsUserToken => "exchange-teams-user-token",
            Self::ExchangeTeamsExtensionToken => "exchange-teams-extension-token",
            Self::TeamsExtensionAssignments => "teams-extension-assignments",
            Self::ExchangeEntraToken => "exchange-entra-token",
            Self::EntraAssignments => "entra-assignments",
        }
    }

    /// Whether it is called by a user with a token of Entra ID, and not by the owner of the resource.
    pub(crate) const fn is_called_by_a_user(self) -> bool {
        matches!(self, Self::ExchangeTeamsExtensionToken | Self::ExchangeEntraToken)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// From its [name](Operation::name).
impl FromStr for Operation {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid_input(format!("no operation is called {}; there are {names}", Excerpt(text.as_bytes())))
        })
    }
}

/// Where a path leads. The texts are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Identities,
    Identity(String),
    IssueToken(String),
    RevokeTokens(String),
    TeamsUser,
    Extension,
    ExtensionAssignment { tenant: String, object: String },
    Entra,
    EntraAssignments,
    EntraAssignment(String),
}

impl Route {
    /// The verbs are literal text with a colon, which some clients send as `%3A`, as they do those of an ID.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let segments = path.strip_prefix('/')?.split('/').map(decoded).collect::<Option<Vec<_>>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if segments.contains(&"") {
            return None;
        }
        Some(match segments[..] {
            ["identities"] => Self::Identities,
            ["identities", id] => Self::Identity(id.into()),
            ["identities", id, ":issueAccessToken"] => Self::IssueToken(id.into()),
            ["identities", id, ":revokeAccessTokens"] => Self::RevokeTokens(id.into()),
            ["teamsUser", ":exchangeAccessToken"] => Self::TeamsUser,
            ["access", "teamsExtension", ":exchangeAccessToken"] => Self::Extension,
            ["access", "teamsExtension", "tenants", tenant, "assignments", object] => {
                Self::ExtensionAssignment { tenant: tenant.into(), object: object.into() }
            }
            ["access", "entra", ":exchangeAccessToken"] => Self::Entra,
            ["access", "entra", "assignments"] => Self::EntraAssignments,
            ["access", "entra", "assignments", object] => Self::EntraAssignment(object.into()),
            _ => return None,
        })
    }

    /// The methods that it knows.
    const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Identities | Self::IssueToken(_) | Self::RevokeTokens(_) => &[Method::POST],
            Self::TeamsUser | Self::Extension | Self::Entra => &[Method::POST],
            Self::Identity(_) => &[Method::GET, Method::DELETE],
            Self::EntraAssignments => &[Method::GET, Method::PATCH],
            Self::ExtensionAssignment { .. } | Self::EntraAssignment(_) => &[Method::GET, Method::PUT, Method::DELETE],
        }
    }

    /// What a request to it asks for.
    pub(crate) fn operation(&self, method: &Method, body: Option<&Body>) -> Result<Operation, Refusal> {
        if !self.methods().contains(method) {
            return Err(Refusal::method_not_allowed(self.methods()));
        }
        Ok(match self {
            Self::Identities if body.is_some_and(|body| body.has_items("createTokenWithScopes")) => {
                Operation::CreateUserAndToken
            }
            Self::Identities => Operation::CreateUser,
            Self::Identity(_) if *method == Method::GET => Operation::GetUser,
            Self::Identity(_) => Operation::DeleteUser,
            Self::IssueToken(_) => Operation::IssueToken,
            Self::RevokeTokens(_) => Operation::RevokeTokens,
            Self::TeamsUser => Operation::ExchangeTeamsUserToken,
            Self::Extension => Operation::ExchangeTeamsExtensionToken,
            Self::ExtensionAssignment { .. } => Operation::TeamsExtensionAssignments,
            Self::Entra => Operation::ExchangeEntraToken,
            Self::EntraAssignments | Self::EntraAssignment(_) => Operation::EntraAssignments,
        })
    }
}

/// A segment of a path without percent encoding; `None` if that is broken or gives no UTF-8.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_the_same_with_its_colons_encoded_or_not() {
        let plain = Route::of("/identities/8:acs:a_b/:issueAccessToken");
        assert_eq!(plain, Some(Route::IssueToken("8:acs:a_b".into())));
        assert_eq!(Route::of("/identities/8%3Aacs%3aa_b/%3AissueAccessToken"), plain);
    }

    #[test]
    fn what_is_no_path_of_the_service_leads_nowhere() {
        for path in [
            "",
            "/",
            "/identities/",
            "//identities",
            "/identities//:issueAccessToken",
            "/access/entra/assignments/",
            "/access/teamsExtension/tenants//assignments/o",
            "/Identities",
            "/identities/a/b",
            "/identities/%",
            "/identities/%f",
            "/identities/%ff",
            "/identities/%+1",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_percent_encoding(text in any::<String>()) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        for operation in Operation::ALL {
            assert_eq!(operation.name().parse::<Operation>().unwrap(), operation);
        }
        let error = "create".parse::<Operation>().unwrap_err().to_string();
        assert!(error.contains("create-user,"), "{error}");
    }
}
