//! The versions of the service, and what each of them knows.

use std::sync::LazyLock;

use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::request::Request;

/// A version of the service. All of them create and delete users, and issue and revoke their tokens.
#[derive(Debug)]
pub(crate) struct ApiVersion {
    pub(crate) name: &'static str,
    /// `POST /teamsUser/:exchangeAccessToken`.
    teams_user: bool,
    pub(crate) expires_in_minutes: bool,
    /// `chat.join`, `chat.join.limited` and `voip.join`.
    pub(crate) join_scopes: bool,
    /// `customId` and `GET /identities/{id}`.
    pub(crate) custom_id: bool,
    /// `/access/teamsExtension`.
    extension: bool,
    /// `/access/entra`.
    entra: bool,
}

impl ApiVersion {
    const fn first(name: &'static str) -> Self {
        Self {
            name,
            teams_user: false,
            expires_in_minutes: false,
            join_scopes: false,
            custom_id: false,
            extension: false,
            entra: false,
        }
    }

    fn has(&self, operation: Operation) -> bool {
        match operation {
            Operation::CreateUser
            | Operation::CreateUserAndToken
            | Operation::DeleteUser
            | Operation::IssueToken
            | Operation::RevokeTokens => true,
            Operation::GetUser => self.custom_id,
            Operation::ExchangeTeamsUserToken => self.teams_user,
            Operation::ExchangeTeamsExtensionToken | Operation::TeamsExtensionAssignments => self.extension,
            Operation::ExchangeEntraToken | Operation::EntraAssignments => self.entra,
        }
    }

    /// The version that a request asks for, if it knows the operation.
    pub(crate) fn of(request: &Request, operation: Operation) -> Result<&'static Self, Refusal> {
        let mut asked = request.uri.query().unwrap_or_default().split('&');
        let mut asked = asked.by_ref().filter_map(|pair| pair.strip_prefix("api-version="));
        let name = asked.next().filter(|name| !name.is_empty()).ok_or_else(Refusal::no_api_version)?;
        let version = VERSIONS.iter().find(|version| version.name == name && asked.next().is_none());
        version
            .filter(|version| version.has(operation))
            .ok_or_else(|| Refusal::api_version(&request.uri_without_query(), name))
    }
}

/// Three of them are only known by their names, from the service's own list: they are taken as the documented version
/// before them.
static VERSIONS: [ApiVersion; 9] = [
    ApiVersion::first("2021-03-07"),
    ApiVersion::first("2021-10-31-preview"),
    ApiVersion::first("2021-11-01"),
    ApiVersion { teams_user: true, ..ApiVersion::first("2022-06-01") },
    ApiVersion { teams_user: true, expires_in_minutes: true, ..ApiVersion::first("2022-10-01") },
    ApiVersion { teams_user: true, expires_in_minutes: true, ..ApiVersion::first("2023-08-01") },
    ApiVersion { teams_user: true, expires_in_minutes: true, join_scopes: true, ..ApiVersion::first("2023-10-01") },
    ApiVersion {
        name: "2025-03-02-preview",
        teams_user: true,
        expires_in_minutes: true,
        join_scopes: true,
        custom_id: true,
        extension: true,
        entra: true,
    },
    ApiVersion {
        teams_user: true,
        expires_in_minutes: true,
        join_scopes: true,
        extension: true,
        ..ApiVersion::first("2025-06-30")
    },
];

/// The value of `api-supported-versions`.
pub(crate) fn supported() -> &'static str {
    static NAMES: LazyLock<String> = LazyLock::new(|| VERSIONS.each_ref().map(|version| version.name).join(", "));
    &NAMES
}
