//! Users of the resource, and their tokens.

use std::time::Duration;

use acs_identity_core::{AcsId, Excerpt, Timestamp};
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::dates;
use crate::keys::KeyType;
use crate::random::Ids;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::request::Body;
use crate::service::{AuthorizedRequest, Service};
use crate::token::{self, Content};
use crate::user::User;
use crate::version::ApiVersion;
use crate::world::{Known, World};

/// How long a token lives, in minutes.
const LIFE: std::ops::RangeInclusive<u64> = 60..=1440;
const DEFAULT_LIFE: u64 = 1440;
/// The most characters of a `customId`.
const MAX_CUSTOM_ID: usize = 256;
/// Between the look for a `customId` and the creation of its user, where the race is on.
const RACE_WINDOW: Duration = Duration::from_millis(100);

/// `POST /identities`
pub(crate) async fn create(service: &Service, request: AuthorizedRequest<'_>) -> Result<Reply, Refusal> {
    let body = request.body?;
    let minutes = life(&body, request.version)?;
    let scopes = scopes(&body, "createTokenWithScopes", request.version)?;
    let custom_id = custom_id(&body, request.version)?;
    let mut user = match custom_id {
        Some(custom_id) => find_or_create(service, custom_id, request.now).await?,
        None => created(service, &mut service.world(), None, request.now)?,
    };
    let mut answer = json!({});
    if !scopes.is_empty() {
        let expires_on = after(request.now, minutes);
        let token = issue(service, user.id().as_str(), scopes, request.now, expires_on, request.signer)?;
        user.last_token_issued_at = Some(request.now);
        answer["accessToken"] = token;
    }
    answer["identity"] = described(&user, request.version);
    Ok(Reply::json(StatusCode::CREATED, &answer))
}

/// `GET /identities/{id}`
pub(crate) fn get(service: &Service, request: &AuthorizedRequest<'_>, id: &str) -> Result<Reply, Refusal> {
    own(service, id)?;
    let world = service.world();
    let user = world.user(id).ok_or_else(Refusal::no_such_identity)?;
    Ok(Reply::json(StatusCode::OK, &described(user, request.version)))
}

/// `DELETE /identities/{id}`; again is the same as once.
pub(crate) fn delete(service: &Service, id: &str) -> Result<Reply, Refusal> {
    own(service, id)?;
    service.world().delete(id);
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// `POST /identities/{id}/:issueAccessToken`
pub(crate) fn issue_token(service: &Service, request: AuthorizedRequest<'_>, id: &str) -> Result<Reply, Refusal> {
    own(service, id)?;
    let body = request.body?;
    let minutes = life(&body, request.version)?;
    let scopes = scopes(&body, "scopes", request.version)?;
    if scopes.is_empty() {
        return Err(Refusal::validation("scopes", "Invalid scopes - Scopes field is required."));
    }
    let token = issue(service, id, scopes, request.now, after(request.now, minutes), request.signer)?;
    Ok(Reply::json(StatusCode::OK, &token))
}

/// `POST /identities/{id}/:revokeAccessTokens`
pub(crate) fn revoke_tokens(service: &Service, request: &AuthorizedRequest<'_>, id: &str) -> Result<Reply, Refusal> {
    own(service, id)?;
    let from = request.now.saturating_add(service.revocation_delay);
    if !service.world().revoke(id, from) {
        return Err(Refusal::no_such_identity());
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Issues a token, and returns it with its expiry as the service does.
pub(crate) fn issue(
    service: &Service,
    id: &str,
    scopes: Vec<String>,
    now: Timestamp,
    expires_on: Timestamp,
    signer: Option<KeyType>,
) -> Result<Value, Refusal> {
    let noted = service.world().issue(id, scopes.clone(), now, expires_on, signer);
    // Signing takes a millisecond, so the world is free again.
    let (id, number) = noted.ok_or_else(Refusal::no_such_identity)?;
    let content =
        Content { id: &id, scopes: &scopes, issued_at: now, expires_on, resource_id: &service.resource_id, number };
    let token = token::sign(&content).map_err(|_| Refusal::internal("signing failed"))?;
    Ok(json!({ "token": token, "expiresOn": dates::to_json(expires_on) }))
}

/// Finds the user with a `customId`, or creates it. With the race on, whoever else looks before it is there creates
/// another one.
async fn find_or_create(service: &Service, custom_id: String, now: Timestamp) -> Result<User, Refusal> {
    if service.custom_id_race {
        let known = service.world().with_custom_id(&custom_id);
        return match known {
            Known::One(user) => Ok(user),
            Known::Several => Err(Refusal::many_identities()),
            Known::Nobody => {
                tokio::time::sleep(RACE_WINDOW).await;
                created(service, &mut service.world(), Some(custom_id), now)
            }
        };
    }
    let mut world = service.world();
    match world.with_custom_id(&custom_id) {
        Known::One(user) => Ok(user),
        Known::Several => Err(Refusal::many_identities()),
        Known::Nobody => created(service, &mut world, Some(custom_id), now),
    }
}

/// Refuses an ID that is not one of this resource, as a wrong signature would be.
fn own(service: &Service, id: &str) -> Result<(), Refusal> {
    if is_own(&service.resource_id, id) { Ok(()) } else { Err(Refusal::denied("the ID is not of this resource")) }
}

/// Whether an ID is one of a resource.
pub(crate) fn is_own(resource_id: &str, id: &str) -> bool {
    let rest = id.strip_prefix("8:acs:").and_then(|rest| rest.strip_prefix(resource_id));
    rest.and_then(|rest| rest.strip_prefix('_')).is_some_and(|user_part| !user_part.is_empty())
}

/// An ID for a new user.
pub(crate) fn new_id(resource_id: &str, ids: &Ids) -> acs_identity_core::Result<AcsId> {
    AcsId::new(format!("8:acs:{resource_id}_{}", ids.user_part()))
}

/// Creates a user.
fn created(service: &Service, world: &mut World, custom_id: Option<String>, now: Timestamp) -> Result<User, Refusal> {
    let id = new_id(&service.resource_id, &service.ids);
    Ok(world.create(id.map_err(|_| Refusal::internal("no ID could be made"))?, custom_id, now))
}

fn after(now: Timestamp, minutes: u64) -> Timestamp {
    now.saturating_add(Duration::from_secs(minutes * 60))
}

/// A user as the service describes it.
fn described(user: &User, version: &ApiVersion) -> Value {
    let mut fields = Map::new();
    fields.insert("id".to_owned(), user.id().as_str().into());
    if version.custom_id {
        let last = user.last_token_issued_at().map(dates::to_json);
        let more = [("customId", user.custom_id().map(str::to_owned)), ("lastTokenIssuedAt", last)];
        fields.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    }
    Value::Object(fields)
}

/// `expiresInMinutes`.
fn life(body: &Body, version: &ApiVersion) -> Result<u64, Refusal> {
    const NAME: &str = "expiresInMinutes";
    known_field(body, NAME, version.expires_in_minutes, version)?;
    let Some(sent) = body.number(NAME)? else {
        return Ok(DEFAULT_LIFE);
    };
    sent.as_u64().filter(|minutes| LIFE.contains(minutes)).ok_or_else(|| {
        let message =
            format!("ExpiresInMinutes value {sent} is invalid. Value must be within the [60, 1440] interval.");
        Refusal::validation("ExpiresInMinutes", message)
    })
}

/// Scopes, each once.
fn scopes(body: &Body, name: &'static str, version: &ApiVersion) -> Result<Vec<String>, Refusal> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in body.texts(name)? {
        let is_known = match scope.as_str() {
            "chat" | "voip" => true,
            "chat.join" | "chat.join.limited" | "voip.join" => version.join_scopes,
            _ => false,
        };
        if !is_known {
            let message = format!("Invalid scopes - Scope {} is not supported.", Excerpt(scope.as_bytes()));
            return Err(Refusal::validation("scopes", message));
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

fn custom_id(body: &Body, version: &ApiVersion) -> Result<Option<String>, Refusal> {
    const NAME: &str = "customId";
    known_field(body, NAME, version.custom_id, version)?;
    let Some(custom_id) = body.text(NAME)? else {
        return Ok(None);
    };
    if !is_custom_id(custom_id) {
        return Err(Refusal::validation(NAME, format!("customId must have 1 to {MAX_CUSTOM_ID} characters.")));
    }
    Ok(Some(custom_id.to_owned()))
}

/// Whether a text may be a `customId`.
pub(crate) fn is_custom_id(text: &str) -> bool {
    (1..=MAX_CUSTOM_ID).contains(&text.chars().count())
}

/// Refuses a field that only other versions know: what it asks for would silently not be done.
fn known_field(body: &Body, name: &'static str, is_known: bool, version: &ApiVersion) -> Result<(), Refusal> {
    if is_known || !body.has(name) {
        return Ok(());
    }
    Err(Refusal::validation(name, format!("{name} is not supported by the API version {}.", version.name)))
}
