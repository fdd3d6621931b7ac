//! Options of the client and of each of its methods, as Azure's SDKs for Rust have them.

use std::path::PathBuf;
use std::time::Duration;

use acs_identity_core::CustomerId;
use azure_core::http::{ClientMethodOptions, ClientOptions};

use crate::ApiVersion;

/// How an [`IdentityClient`](crate::IdentityClient) calls the service.
///
/// ```
/// use std::time::Duration;
/// use acs_identity_client::{ApiVersion, IdentityClient, IdentityClientOptions};
///
/// let options = IdentityClientOptions {
///     api_version: ApiVersion::V2025_03_02_PREVIEW,
///     deadline: Duration::from_secs(10),
///     ..Default::default()
/// };
/// IdentityClient::from_connection_string("endpoint=https://contoso.communication.azure.com/;accesskey=c2VjcmV0", Some(options))?;
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct IdentityClientOptions {
    /// The version of the service's interface; the default is the newest stable one. Custom IDs and the detail of a user need
    /// [`ApiVersion::V2025_03_02_PREVIEW`].
    pub api_version: ApiVersion,
    /// The longest that a call may take with all its tries; 30 s by default.
    pub deadline: Duration,
    /// The longest that one try may take, from the connection to the last byte of the answer; 10 s by default.
    pub try_timeout: Duration,
    /// A PEM file of certificate authorities to trust in place of the system's. `InvalidInput` with a transport in
    /// `client_options` or an endpoint without encryption, which have no use for it.
    pub certificate_authority: Option<PathBuf>,
    /// What all clients on `azure_core` have: policies, retries, transport, tracing. By default an idempotent call is tried
    /// again up to eight times, after 0.4 s, 0.8 s and so on, each with up to 0.25 s more at random. If the service asks for a
    /// longer wait (`Retry-After` and its like, with any status that is tried again), after that time and up to a quarter more;
    /// if that is not before the deadline, not at all.
    ///
    /// The policies see an address without ACS IDs, which they cannot change, and requests before they are signed. A transport sees both. It has to report
    /// [`Connection`](azure_core::error::ErrorKind::Connection) only if nothing was sent: creating a user is tried again then.
    /// All else that befalls a call once a transport of your own has it counts as sent, and whether `localhost` is this machine is
    /// for it to see to.
    pub client_options: ClientOptions,
}

impl Default for IdentityClientOptions {
    fn default() -> Self {
        Self {
            api_version: ApiVersion::default(),
            deadline: Duration::from_secs(30),
            try_timeout: Duration::from_secs(10),
            certificate_authority: None,
            client_options: ClientOptions::default(),
        }
    }
}

/// Options of [`IdentityClient::create_user`](crate::IdentityClient::create_user).
#[derive(Debug, Clone, Default)]
pub struct IdentityClientCreateUserOptions<'a> {
    /// The application's own ID, of 1 to 256 characters within its 512 bytes, kept by ACS with the user: the same again is answered
    /// with the same user. Needs an api-version that has it. An ID that says nothing to others keeps e-mail addresses out of ACS.
    pub custom_id: Option<CustomerId>,
    /// What all methods on `azure_core` have: the context.
    pub method_options: ClientMethodOptions<'a>,
}

/// Options of [`IdentityClient::create_user_and_token`](crate::IdentityClient::create_user_and_token).
#[derive(Debug, Clone, Default)]
pub struct IdentityClientCreateUserAndTokenOptions<'a> {
    /// As in [`IdentityClientCreateUserOptions`].
    pub custom_id: Option<CustomerId>,
    /// As in [`IdentityClientIssueTokenOptions`].
    pub expires_in_minutes: Option<u16>,
    /// What all methods on `azure_core` have: the context.
    pub method_options: ClientMethodOptions<'a>,
}

/// Options of [`IdentityClient::issue_token`](crate::IdentityClient::issue_token).
#[derive(Debug, Clone, Default)]
pub struct IdentityClientIssueTokenOptions<'a> {
    /// How many minutes the token lasts: 60 to 1440, which is the service's default. Needs api-version 2022-10-01.
    pub expires_in_minutes: Option<u16>,
    /// What all methods on `azure_core` have: the context.
    pub method_options: ClientMethodOptions<'a>,
}

macro_rules! bare_options {
    ($($name:ident of $method:literal,)*) => {$(
        #[doc = concat!("Options of [`IdentityClient::", $method, "`](crate::IdentityClient::", $method, ").")]
        #[derive(Debug, Clone, Default)]
        pub struct $name<'a> {
            /// What all methods on `azure_core` have: the context.
            pub method_options: ClientMethodOptions<'a>,
        }
    )*};
}

bare_options! {
    IdentityClientRevokeTokensOptions of "revoke_tokens",
    IdentityClientDeleteUserOptions of "delete_user",
    IdentityClientGetUserOptions of "get_user",
    IdentityClientExchangeTeamsUserTokenOptions of "exchange_teams_user_token",
}
