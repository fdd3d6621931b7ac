//! Client of the Identity service of Azure Communication Services (ACS): makes users, gives them access tokens, revokes them and deletes
//! the users; and asks ACS which customer an ACS ID is.
//!
//! [`IdentityClient`] is on [`azure_core`], whose conventions it follows: options for the client and for each method, policies,
//! retries, credentials of Entra ID. [`CustomIdResolver`] makes a resolver of it. Most applications use this by the
//! crate `acs-identity`, feature `client`.
//!
//! No ACS ID, custom ID, token or key is in any log, trace, `Debug` or error of this crate, but for IDs that the service itself names in
//! an error without having been sent them; in those of a transport or a credential of your own may be. Of a success `azure_core` logs,
//! at its level of debugging, a few headers such as `x-ms-request-id` as the service has sent them.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api_version;
mod call;
mod client;
mod connection_string;
mod endpoint;
mod error;
mod methods;
mod models;
mod names;
mod options;
mod resolver;
mod retry;
mod scope;
mod scrubber;
mod service_error;
mod signing;
mod signing_transport;
mod text;
mod transport;

pub use azure_core;

pub use api_version::ApiVersion;
pub use client::IdentityClient;
pub use models::{TeamsUserToken, User, UserAndToken};
pub use options::{
    IdentityClientCreateUserAndTokenOptions, IdentityClientCreateUserOptions, IdentityClientDeleteUserOptions,
    IdentityClientExchangeTeamsUserTokenOptions, IdentityClientGetUserOptions, IdentityClientIssueTokenOptions,
    IdentityClientOptions, IdentityClientRevokeTokensOptions,
};
pub use resolver::CustomIdResolver;
pub use scope::TokenScope;
pub use service_error::{ErrorDetail, ServiceError};
