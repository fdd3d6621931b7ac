//! Users of Entra ID and of Teams: who may use the resource, and the exchange of their tokens.

use acs_identity_core::{AcsId, Timestamp};
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::assignments::Assignment;
use crate::identities::issue;
use crate::keys::KeyType;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::service::{AuthorizedRequest, Service};
use crate::token::EntraClaims;

/// `POST /teamsUser/:exchangeAccessToken`
pub(crate) fn exchange_teams_user(service: &Service, request: AuthorizedRequest<'_>) -> Result<Reply, Refusal> {
    let body = request.body?;
    // An empty token is a wrong one, not a missing one.
    let claims = entra_claims(body.text("token")?.unwrap_or_default(), request.now)?;
    let app = body.required_text("appId")?;
    let user = body.required_text("userId")?;
    if claims.client().is_some_and(|client| client != app) {
        return Err(Refusal::validation("appId", "The token was issued to another application."));
    }
    if claims.oid.as_deref().is_some_and(|object| object != user) {
        return Err(Refusal::validation("userId", "The token was issued to another user."));
    }
    let id = AcsId::new(format!("8:orgid:{user}"))
        .map_err(|_| Refusal::validation("userId", "userId is not the object ID of a user."))?;
    let token = exchanged(service, request.now, request.signer, id, &claims)?;
    Ok(Reply::json(StatusCode::OK, &token.1))
}

/// `POST /access/teamsExtension/:exchangeAccessToken`
pub(crate) fn exchange_extension(service: &Service, request: &AuthorizedRequest<'_>) -> Result<Reply, Refusal> {
    let (tenant, object, claims) = caller(request)?;
    if !service.world().assignments.allow_extension(&tenant, &object, claims.client()) {
        return Err(Refusal::denied("there is no Teams Phone assignment for this user and application"));
    }
    exchange_of(service, request.now, &format!("{tenant}_{object}"), &claims)
}

/// `POST /access/entra/:exchangeAccessToken`
pub(crate) fn exchange_entra(service: &Service, request: &AuthorizedRequest<'_>) -> Result<Reply, Refusal> {
    let (tenant, object, claims) = caller(request)?;
    if !service.world().assignments.allow_entra(&tenant, &object, claims.client()) {
        return Err(Refusal::denied("there is no Entra ID assignment for this user and application"));
    }
    exchange_of(service, request.now, &format!("wf_{tenant}_{object}"), &claims)
}

/// `GET`, `PUT` and `DELETE /access/teamsExtension/tenants/{tenant}/assignments/{object}`
pub(crate) fn extension_assignment(
    service: &Service,
    request: AuthorizedRequest<'_>,
    tenant: &str,
    object: &str,
) -> Result<Reply, Refusal> {
    let assignments = &mut service.world().assignments;
    match request.http.method {
        Method::PUT => {
            let assignment = Assignment::read(object, Some(tenant), &request.body?)?;
            let status = put_status(assignments.put_extension(assignment.clone()));
            Ok(Reply::json(status, &assignment))
        }
        Method::DELETE => {
            assignments.delete_extension(tenant, object);
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let assignment = assignments.extension(tenant, object).ok_or_else(Refusal::no_such_assignment)?;
            Ok(Reply::json(StatusCode::OK, assignment))
        }
    }
}

/// `GET` and `PATCH /access/entra/assignments`
pub(crate) fn entra_assignments(service: &Service, request: AuthorizedRequest<'_>) -> Result<Reply, Refusal> {
    if request.http.method == Method::GET {
        return Ok(Reply::json(StatusCode::OK, &json!({ "value": service.world().assignments.all_entra() })));
    }
    // All are read before the first one is written.
    let changes = request.body?.objects()?.into_iter().map(|(object, body)| {
        if object.is_empty() {
            return Err(Refusal::validation("body", "An object ID must not be empty."));
        }
        let assignment = body.map(|body| Assignment::read(&object, None, &body)).transpose()?;
        Ok((object, assignment))
    });
    let changes = changes.collect::<Result<Vec<_>, Refusal>>()?;
    let put: Vec<Assignment> = changes.iter().filter_map(|(_, assignment)| assignment.clone()).collect();
    let assignments = &mut service.world().assignments;
    for (object, assignment) in changes {
        match assignment {
            Some(assignment) => drop(assignments.put_entra(assignment)),
            None => assignments.delete_entra(&object),
        }
    }
    if put.is_empty() {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    Ok(Reply::json(StatusCode::OK, &json!({ "value": put })))
}

/// `GET`, `PUT` and `DELETE /access/entra/assignments/{object}`
pub(crate) fn entra_assignment(
    service: &Service,
    request: AuthorizedRequest<'_>,
    object: &str,
) -> Result<Reply, Refusal> {
    let assignments = &mut service.world().assignments;
    match request.http.method {
        Method::PUT => {
            let assignment = Assignment::read(object, None, &request.body?)?;
            let status = put_status(assignments.put_entra(assignment.clone()));
            Ok(Reply::json(status, &assignment))
        }
        Method::DELETE => {
            assignments.delete_entra(object);
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let assignment = assignments.entra(object).ok_or_else(Refusal::no_such_assignment)?;
            Ok(Reply::json(StatusCode::OK, assignment))
        }
    }
}

const fn put_status(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

/// Reads a token of Entra ID that has not expired.
fn entra_claims(token: &str, now: Timestamp) -> Result<EntraClaims, Refusal> {
    let claims =
        EntraClaims::read(token).ok_or_else(|| Refusal::denied("the token of Entra ID is no JWT with `exp`"))?;
    if claims.expires_on() <= now {
        return Err(Refusal::denied("the token of Entra ID has expired"));
    }
    Ok(claims)
}

/// Tenant and object ID of who calls with a bearer token of Entra ID.
fn caller(request: &AuthorizedRequest<'_>) -> Result<(String, String, EntraClaims), Refusal> {
    let mut claims = entra_claims(request.http.bearer().unwrap_or_default(), request.now)?;
    match (claims.tid.take(), claims.oid.take()) {
        (Some(tenant), Some(object)) => Ok((tenant, object, claims)),
        _ => Err(Refusal::denied("the token of Entra ID has no `tid` or no `oid`")),
    }
}

/// The answer to a user of this resource who came by way of Entra ID.
fn exchange_of(service: &Service, now: Timestamp, user_part: &str, claims: &EntraClaims) -> Result<Reply, Refusal> {
    let id = AcsId::new(format!("8:acs:{}_{user_part}", service.resource_id))
        .map_err(|_| Refusal::denied("`tid` or `oid` of the token cannot be part of an ID"))?;
    let (id, token) = exchanged(service, now, None, id, claims)?;
    Ok(Reply::json(StatusCode::OK, &json!({ "identity": { "id": id.as_str() }, "accessToken": token })))
}

/// A token that expires with the one that it is given for, of a user who is there from the first exchange on.
fn exchanged(
    service: &Service,
    now: Timestamp,
    signer: Option<KeyType>,
    id: AcsId,
    claims: &EntraClaims,
) -> Result<(AcsId, serde_json::Value), Refusal> {
    let mut world = service.world();
    if world.user(id.as_str()).is_none() {
        world.create(id.clone(), None, now);
    }
    drop(world);
    let scopes = ["chat", "voip"].map(str::to_owned).to_vec();
    let token = issue(service, id.as_str(), scopes, now, claims.expires_on(), signer)?;
    Ok((id, token))
}
