//! What happens to one request.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acs_identity_core::{Clock, Timestamp};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};

use crate::call::{Call, Calls};
use crate::faults::{Fault, Faults};
use crate::keys::{KeyType, Keys};
use crate::limits::Windows;
use crate::operation::{Operation, Route};
use crate::random::Ids;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::request::{Body, Request};
use crate::version::ApiVersion;
use crate::world::World;
use crate::{access, auth, identities, token};

/// Where the keys are with which tokens can be verified. Not a path of the service, but where OpenID Connect puts them.
pub(crate) const KEYS_PATH: &str = "/.well-known/jwks.json";

/// An emulated resource, shared by its connections.
pub(crate) struct Service {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: Keys,
    pub(crate) resource_id: String,
    pub(crate) bearer: bool,
    pub(crate) custom_id_race: bool,
    pub(crate) clock_skew: Duration,
    pub(crate) revocation_delay: Duration,
    pub(crate) faults: Faults,
    pub(crate) limits: Windows,
    pub(crate) calls: Calls,
    pub(crate) ids: Ids,
    pub(crate) world: Mutex<World>,
}

/// The connection ends without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut by a fault")
    }
}

impl std::error::Error for Cut {}

/// A request that passed all checks that are the same for every operation.
pub(crate) struct AuthorizedRequest<'a> {
    pub(crate) http: &'a Request,
    /// The refusal of a body that is no JSON object, for operations that take one.
    pub(crate) body: Result<Body, Refusal>,
    pub(crate) version: &'static ApiVersion,
    pub(crate) now: Timestamp,
    /// What it is signed with; `None` with a bearer token.
    pub(crate) signer: Option<KeyType>,
}

impl Service {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request, or lets it go without an answer, and notes it.
    pub(crate) async fn handle(&self, request: Request) -> Result<Response<Full<Bytes>>, Cut> {
        let asked = Route::of(request.uri.path()).map(|route| {
            let body = request.json();
            let operation = route.operation(&request.method, body.as_ref().ok());
            (route, operation, body)
        });
        let known = asked.as_ref().and_then(|(_, operation, _)| operation.as_ref().ok().copied());
        let injected = known.map(|operation| self.faults.inject(operation)).unwrap_or_default();
        if !injected.latency.is_zero() {
            tokio::time::sleep(injected.latency).await;
        }
        let reply = match (injected.other, asked) {
            (Some(Fault::CutBefore), _) => None,
            (Some(Fault::Status { status, retry_after }), _) => {
                Some(Refusal::fault(Fault::status(status), retry_after).into())
            }
            (Some(Fault::NestedError { status }), _) => {
                Some(Refusal::fault(Fault::status(status), None).with_particulars().into())
            }
            (_, Some((route, operation, body))) => {
                Some(self.answer(&request, route, operation, body).await.unwrap_or_else(Reply::from))
            }
            (_, None) => Some(self.elsewhere(&request)),
        };
        let reply = reply.filter(|_| injected.other != Some(Fault::CutAfter));
        self.note(request, known, reply)
    }

    /// Refuses a request whose body was not read to its end.
    pub(crate) fn refuse_unread(&self, request: Request, refusal: Refusal) -> Result<Response<Full<Bytes>>, Cut> {
        self.note(request, None, Some(Reply { ends: true, ..refusal.into() }))
    }

    fn note(
        &self,
        request: Request,
        operation: Option<Operation>,
        reply: Option<Reply>,
    ) -> Result<Response<Full<Bytes>>, Cut> {
        let request_id = self.ids.request();
        let status = reply.as_ref().map(|reply| reply.status);
        let reason = reply.as_ref().and_then(|reply| reply.reason);
        let response = reply.map(|reply| reply.into_response(&request_id, self.clock.now(), &request.headers));
        self.calls.push(Call::new(request, operation, request_id, status, reason));
        response.ok_or(Cut)
    }

    /// A path of the emulator's own, or of nobody's.
    fn elsewhere(&self, request: &Request) -> Reply {
        if request.uri.path() != KEYS_PATH {
            return Refusal::no_such_path().into();
        }
        if request.method != Method::GET {
            return Refusal::method_not_allowed(&[Method::GET]).into();
        }
        Reply::json(StatusCode::OK, &token::key_set())
    }

    async fn answer(
        &self,
        http: &Request,
        route: Route,
        operation: Result<Operation, Refusal>,
        body: Result<Body, Refusal>,
    ) -> Result<Reply, Refusal> {
        let (version, now, signer) = self.check(http, operation?)?;
        let request = AuthorizedRequest { http, body, version, now, signer };
        match route {
            Route::Identities => identities::create(self, request).await,
            Route::Identity(id) if http.method == Method::GET => identities::get(self, &request, &id),
            Route::Identity(id) => identities::delete(self, &id),
            Route::IssueToken(id) => identities::issue_token(self, request, &id),
            Route::RevokeTokens(id) => identities::revoke_tokens(self, &request, &id),
            Route::TeamsUser => access::exchange_teams_user(self, request),
            Route::Extension => access::exchange_extension(self, &request),
            Route::ExtensionAssignment { tenant, object } => {
                access::extension_assignment(self, request, &tenant, &object)
            }
            Route::Entra => access::exchange_entra(self, &request),
            Route::EntraAssignments => access::entra_assignments(self, request),
            Route::EntraAssignment(object) => access::entra_assignment(self, request, &object),
        }
    }

    /// The checks of every operation, in this order: who calls, in which version, and how often. Returns the version,
    /// the time that all of the request is done at, and the key that it is signed with.
    fn check(
        &self,
        http: &Request,
        operation: Operation,
    ) -> Result<(&'static ApiVersion, Timestamp, Option<KeyType>), Refusal> {
        let now = self.clock.now();
        if http.is_repeated("host") {
            return Err(Refusal::validation("Host", "There is more than one Host header."));
        }
        if http.is_repeated("authorization") {
            return Err(Refusal::denied("there is more than one authorization header"));
        }
        let signer = match http.bearer() {
            // Its token is looked at by the operation.
            Some(_) if operation.is_called_by_a_user() || self.bearer => None,
            Some(_) => return Err(Refusal::denied("bearer tokens are only taken in the emulator's mode for them")),
            None if operation.is_called_by_a_user() => {
                return Err(Refusal::denied("this exchange is called with a bearer token of Entra ID"));
            }
            None => Some(auth::check(&self.keys, http, now, self.clock_skew)?),
        };
        let version = ApiVersion::of(http, operation)?;
        self.limits.take(operation, self.clock.monotonic()).map_err(Refusal::too_many_requests)?;
        Ok((version, now, signer))
    }
}
