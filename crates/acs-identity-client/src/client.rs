//! [`IdentityClient`]: how it is made, and how each of its calls goes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Error, Result};
use azure_core::Uuid;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::headers::Header as _;
use azure_core::http::headers::{ACCEPT, CLIENT_REQUEST_ID, CONTENT_TYPE};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::request::options::ClientRequestId;
use azure_core::http::{
    ClientMethodOptions, Method, Pipeline, PipelineSendOptions, REDACTED_PATTERN, RawResponse, Request, Transport,
};
use hyper::header::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::call::{Call, Stage};
use crate::endpoint::{Endpoint, segment};
use crate::error::{CallInfo, Cause, Effect, Failure};
use crate::models::Object;
use crate::retry::{RetryGuard, pipeline_options};
use crate::scrubber::Scrubber;
use crate::signing::AccessKey;
use crate::signing_transport::{Carrier, SigningTransport};
use crate::transport::Http;
use crate::{ApiVersion, IdentityClientOptions, connection_string};

/// Of tokens for ACS from Entra ID; the official SDKs have two slashes, too.
const ENTRA_SCOPE: &str = "https://communication.azure.com//.default";

/// A longer deadline is none, and could not be added to the present.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Client of the Identity service of one ACS resource: makes users, gives them tokens, takes them away.
///
/// Make one and clone it: clones share connections. It needs a Tokio runtime with time and I/O.
///
/// ```no_run
/// use acs_identity_client::{IdentityClient, TokenScope};
///
/// # async fn login(connection_string: &str) -> acs_identity_core::Result<()> {
/// let client = IdentityClient::from_connection_string(connection_string, None)?;
/// let bob = client.create_user(None).await?;
/// let token = client.issue_token(&bob.id, &[TokenScope::CHAT, TokenScope::VOIP], None).await?;
/// hand_to_the_browser(token.token.secret(), token.expires_on);
/// # Ok(()) }
/// # fn hand_to_the_browser(_: &str, _: impl Sized) {}
/// ```
///
/// # Errors
/// All methods give the [`Error`](acs_identity_core::Error) of `acs-identity-core`. Of what the service answered,
/// [`ServiceError::of`](crate::ServiceError::of) tells more.
///
/// | kind | when |
/// |---|---|
/// | `InvalidInput` | the call is wrong; before any I/O, or the service says so (400; 404 with `IdentityNotFound`: there is no such user) |
/// | `Unsupported` | the api-version does not have that; of `get_user`, the custom ID, made elsewhere, is no [`CustomerId`](acs_identity_core::CustomerId) |
/// | `Denied` | a wrong key, clock, token or host, or a user of another resource (401, 403); the credential gave no token; the message says what to look at |
/// | `Conflict` | the custom ID has several users (`MultipleIdentitiesForCustomId`) |
/// | `Unavailable`, `Timeout` | nothing was changed: no connection (DNS, TCP, TLS), throttled (429); of calls that change nothing, also a lost answer, 408 and 5xx; all tries and the deadline included |
/// | `OutcomeUnknown` | a change may be at the service: there was a connection, and then no answer, one that cannot be read, 408 or 5xx |
/// | `Misconfigured` | the endpoint is not that of an ACS resource (3xx, any other 404), or TLS cannot be set up |
/// | `Internal` | an answer that is not documented; a request that a policy has made unfit for sending |
///
/// # Retries
/// Every call that does not make a user is idempotent and tried again after a lost connection, a try without an answer, 408, 429 and 5xx, as
/// [`client_options`](IdentityClientOptions::client_options) say, until the [`deadline`](IdentityClientOptions::deadline), and not
/// before the time that the service asks for (`Retry-After`, whatever the status) with up to a quarter more at random.
///
/// Making a user without a custom ID is tried again only where it certainly was not carried out, on 429 and as long
/// as there was no connection. Otherwise it is `OutcomeUnknown`: ACS has no list of users, so a user whose ID got lost is lost.
///
/// Making a user with a custom ID is idempotent only one call at a time. So where a try may still be at work at the service (no
/// answer, 408, 502, 504) the next one begins no sooner than a [`try_timeout`](IdentityClientOptions::try_timeout) later.
///
/// # Cancellation
/// Any call may be dropped. Whether a request that was under way is carried out is unknown then.
#[derive(Clone)]
pub struct IdentityClient(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    pipeline: Pipeline,
    api_version: ApiVersion,
    deadline: Duration,
    signed: bool,
}

/// What an operation is done to.
pub(crate) enum Target<'a> {
    Users,
    /// With what follows the ID in the path.
    User(&'a AcsId, &'static str),
    TeamsUser,
}

/// The parts of a request that differ from one operation to another.
pub(crate) struct Operation<'a, B> {
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
    pub(crate) method: Method,
    pub(crate) target: Target<'a>,
    pub(crate) body: Option<B>,
    /// Texts in the body that are nobody else's business.
    pub(crate) private: Vec<&'a str>,
}

impl IdentityClient {
    /// A client with the endpoint and the access key of a connection string, as the portal shows it:
    /// `endpoint=https://….communication.azure.com/;accesskey=…`.
    ///
    /// # Errors
    /// As [`with_key`](Self::with_key), and `InvalidInput` if it is of another form. No error quotes it.
    pub fn from_connection_string(connection_string: &str, options: Option<IdentityClientOptions>) -> Result<Self> {
        let (endpoint, key) = connection_string::parse(connection_string)?;
        Self::with_key(endpoint, key, options)
    }

    /// A client with an access key: each try of each request is signed by it with HMAC-SHA256.
    /// [Source](https://learn.microsoft.com/azure/communication-services/tutorials/hmac-header-tutorial).
    ///
    /// # Errors
    /// Without I/O: `InvalidInput` if the endpoint is not `https://host`, or `http` to this machine alone, or the key is not
    /// Base64; `Misconfigured` if certificate authorities cannot be read.
    pub fn with_key(endpoint: &str, key: Secret, options: Option<IdentityClientOptions>) -> Result<Self> {
        Self::build(endpoint, Some(AccessKey::new(&key)?), Vec::new(), options)
    }

    /// A client with a credential of Entra ID, such as those of the crate `azure_identity`.
    ///
    /// # Errors
    /// As [`with_key`](Self::with_key).
    pub fn new(
        endpoint: &str,
        credential: Arc<dyn TokenCredential>,
        options: Option<IdentityClientOptions>,
    ) -> Result<Self> {
        let bearer = BearerTokenAuthorizationPolicy::new(credential, [ENTRA_SCOPE]);
        Self::build(endpoint, None, vec![Arc::new(bearer)], options)
    }

    fn build(
        endpoint: &str,
        key: Option<AccessKey>,
        authorization: Vec<Arc<dyn Policy>>,
        options: Option<IdentityClientOptions>,
    ) -> Result<Self> {
        let options = options.unwrap_or_default();
        let endpoint = Endpoint::parse(endpoint, &options.api_version)?;
        let mut client_options = options.client_options;
        let (authority, try_timeout) = (options.certificate_authority.as_deref(), options.try_timeout.min(LONGEST));
        let carrier = match client_options.transport.take() {
            Some(_) if authority.is_some() => return Err(unused("with a transport of its own")),
            None if authority.is_some() && endpoint.is_plain() => return Err(unused("without encryption")),
            Some(transport) => Carrier::Given(transport),
            None => Carrier::Own(Http::new(endpoint.is_plain(), authority, try_timeout)?),
        };
        let signed = key.is_some();
        let transport = SigningTransport { endpoint: endpoint.clone(), key, carrier };
        client_options.transport = Some(Transport::with_policy(Arc::new(transport)));
        let mut per_try: Vec<Arc<dyn Policy>> = vec![Arc::new(RetryGuard { try_timeout })];
        per_try.extend(authorization);
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            client_options,
            Vec::new(),
            per_try,
            Some(pipeline_options()),
        );
        let (api_version, deadline) = (options.api_version, options.deadline.min(LONGEST));
        Ok(Self(Arc::new(Inner { endpoint, pipeline, api_version, deadline, signed })))
    }

    /// The version of the service's interface that this client speaks.
    pub fn api_version(&self) -> &ApiVersion {
        &self.0.api_version
    }

    /// Carries out an operation, with all its tries.
    pub(crate) async fn send<B: Serialize>(
        &self,
        operation: Operation<'_, B>,
        options: &ClientMethodOptions<'_>,
    ) -> Result<Answer> {
        let inner = &*self.0;
        let (before, user, after) = match operation.target {
            Target::Users => ("/identities", None, ""),
            Target::TeamsUser => ("/teamsUser/:exchangeAccessToken", None, ""),
            Target::User(user, verb) => ("/identities/", Some(user), verb),
        };
        let segment = user.map(segment).transpose()?;
        let target = inner.endpoint.target([before, segment.as_deref().unwrap_or_default(), after]);
        let target = target.map_err(|_| Error::invalid_input("the ACS ID fits in no address"))?;
        let hidden = user.map_or("", |_| REDACTED_PATTERN);
        let mut shown = inner.endpoint.url(&[before, hidden, after].concat());
        let user = user.map(AcsId::as_str);
        let info = CallInfo {
            operation: operation.name,
            effect: operation.effect,
            of_user: user.is_some(),
            signed: inner.signed,
        };
        let scrubber = Scrubber::of(user.into_iter().chain(operation.private));
        let deadline = Instant::now() + inner.deadline;
        let call = Arc::new(Call::new(info, target, scrubber, deadline));

        if !inner.signed {
            // The policy for bearer tokens refuses plain addresses, also of this machine, which are fine.
            let _ = shown.set_scheme("https");
        }
        let mut request = Request::new(shown, operation.method);
        request.insert_header(ACCEPT, "application/json");
        // As the policy for it would do, to which a header that is missing costs an error, perhaps with a backtrace.
        match options.context.value::<ClientRequestId>() {
            Some(id) if HeaderValue::from_str(id.value().as_str()).is_err() => {
                return Err(Error::invalid_input("the client request ID is not allowed in a header"));
            }
            Some(id) => request.add_mandatory_header(id),
            None => request.insert_header(CLIENT_REQUEST_ID, Uuid::new_v4().to_string()),
        }
        if user.is_none() || operation.body.is_some() {
            request.insert_header(CONTENT_TYPE, "application/json");
        }
        if let Some(body) = &operation.body {
            request.set_body(
                serde_json::to_vec(body).map_err(|_| Error::invalid_input("the request cannot be written as JSON"))?,
            );
        }

        let context = options.context.to_borrowed().with_value(Arc::clone(&call));
        // Checked here, where it is known what a failure means.
        let unchecked = PipelineSendOptions { skip_checks: true, ..Default::default() };
        match timeout_at(deadline, inner.pipeline.send(&context, &mut request, Some(unchecked))).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(Answer { call, response }),
            // By the service, or by another policy in its place.
            Ok(Ok(response)) => {
                let service = Box::new(call.told(&request, &response));
                Err(call.error(|_| Failure::Service { info, service }))
            }
            // By another policy, or in the body of an answer.
            Ok(Err(error)) => {
                let source = Cause::of(&error, &call.scrubber);
                Err(call.error(|stage| match stage {
                    Stage::Sent => Failure::Cut { source },
                    Stage::Preparing | Stage::Connecting => Failure::NotSent { transient: false, source },
                }))
            }
            Err(_) => Err(call.error(Failure::OutOfTime)),
        }
    }
}

fn unused(how: &str) -> Error {
    Error::invalid_input(format!("a client {how} has no use for a certificate authority"))
}

/// An answer that is a success.
pub(crate) struct Answer {
    call: Arc<Call>,
    response: RawResponse,
}

impl Answer {
    /// Its body. What is wrong with one is not said in full: a token may be in it.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let read: serde_json::Result<Object<T>> = serde_json::from_slice(self.response.body());
        read.map(|Object(value)| value).map_err(|_| self.unreadable("it is not the JSON that was expected"))
    }

    /// The error for a body in which something is missing.
    pub(crate) fn unreadable(&self, what: &'static str) -> Error {
        self.call.unreadable(what)
    }

    /// The error for a body that says what it should not, and would again.
    pub(crate) fn unacceptable(&self, what: &'static str) -> Error {
        self.call.unacceptable(what)
    }
}

impl fmt::Debug for IdentityClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityClient")
            .field("endpoint", &self.0.endpoint.to_string())
            .field("deadline", &self.0.deadline)
            .finish_non_exhaustive()
    }
}
