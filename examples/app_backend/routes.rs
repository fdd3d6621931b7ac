//! What the application answers.

use std::sync::Arc;
use std::time::Duration;

use acs_identity::client::azure_core::time::to_rfc3339;
use acs_identity::{AcsId, CustomerId, Event, Resolver};
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::access::Session;
use crate::app::App;
use crate::refusal::Refusal;
use crate::{sessions, webhook};

/// The largest body, in bytes; a roster is the largest that makes sense.
const MAX_BODY: usize = 256 << 10;
/// The largest delivery of Event Grid, which sends at most 1 MB.
const MAX_DELIVERY: usize = 1 << 20;
const MAX_ROSTER: usize = 250;
/// How long a request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An object, and not an array of the same values, which serde would take for one.
type Body = Result<Json<Map<String, Value>>, JsonRejection>;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/token", post(token))
        .route("/users/{acs_id}", get(who_is))
        .route("/roster", post(roster))
        .route("/account", delete(delete_account))
        .route("/events", get(my_events).post(webhook::receive).layer(DefaultBodyLimit::max(MAX_DELIVERY)))
        .fallback(|| async { Refusal::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(bounded))
        .with_state(app)
}

/// Bounds the time of each request, and keeps its answer out of caches: most hold a secret or a name.
async fn bounded(request: Request, next: Next) -> Response {
    let answer = timeout(TIMEOUT, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| Refusal::timeout().into_response());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    customer_id: String,
    password: String,
}

async fn login(State(app): State<Arc<App>>, body: Body) -> Result<Json<Value>, Refusal> {
    let Credentials { customer_id, password } = fields(body)?;
    let customer = CustomerId::new(customer_id).map_err(|error| Refusal::bad_request(error.message()))?;
    if !app.users.check(&customer, &password) {
        return Err(Refusal::wrong_credentials());
    }
    let session = app.sessions.begin(customer, &app.users).map_err(|failure| Refusal::internal(&failure))?;
    let session = session.ok_or_else(Refusal::wrong_credentials)?;
    Ok(Json(json!({ "session": session, "expiresInSeconds": sessions::LIFETIME.as_secs() })))
}

async fn logout(State(app): State<Arc<App>>, session: Session) -> StatusCode {
    app.sessions.end(&session.token);
    StatusCode::NO_CONTENT
}

/// The signed-in user's ACS user and a token for it, to be handed to the ACS SDK in the browser or on the phone.
async fn token(State(app): State<Arc<App>>, session: Session) -> Result<Json<Value>, Refusal> {
    let (user, token) = app.token(session.customer).await?;
    let expires_on = to_rfc3339(&token.expires_on);
    Ok(Json(json!({ "acsId": user, "token": token.token.secret(), "expiresOn": expires_on })))
}

/// Which customer an ACS ID is. Here everybody who is signed in may know; a real application asks whether the two share a thread or call.
async fn who_is(
    State(app): State<Arc<App>>,
    _: Session,
    acs_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path(acs_id) = acs_id.map_err(|_| Refusal::bad_request("the ACS ID is not UTF-8"))?;
    let acs_id = parse(&acs_id)?;
    let found = app.mappings().resolve(&acs_id).await?;
    let found = found.ok_or_else(|| Refusal::not_found("nobody here has this ACS ID"))?;
    Ok(Json(json!({ "acsId": acs_id, "customerId": found.customer_id() })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Roster {
    acs_ids: Vec<String>,
}

/// The same for all members of a thread or a call at once.
async fn roster(State(app): State<Arc<App>>, _: Session, body: Body) -> Result<Json<Value>, Refusal> {
    let Roster { acs_ids } = fields(body)?;
    if acs_ids.len() > MAX_ROSTER {
        return Err(Refusal::bad_request(format!("a roster has at most {MAX_ROSTER} ACS IDs")));
    }
    let ids = acs_ids.iter().map(|id| parse(id)).collect::<Result<Vec<_>, _>>()?;
    let customers = customers(&app, &ids).await?;
    let people = ids.iter().zip(customers).map(|(id, customer)| json!({ "acsId": id, "customerId": customer }));
    Ok(Json(json!({ "people": people.collect::<Vec<_>>() })))
}

/// The events in which the signed-in user takes part, and who else does.
async fn my_events(State(app): State<Arc<App>>, session: Session) -> Result<Json<Value>, Refusal> {
    let mine = app.accounts.ids(&session.customer).await?;
    let events = app.inbox.of(&mine);
    let everyone = events.iter().flat_map(Event::participants);
    let ids: Vec<AcsId> = everyone.map(|participant| participant.acs_id().clone()).collect();
    let mut customers = customers(&app, &ids).await?.into_iter();
    let events = events.iter().map(|event| {
        let participants = event.participants().iter().zip(customers.by_ref()).map(|(participant, customer)| {
            json!({ "role": participant.role().as_str(), "acsId": participant.acs_id(), "customerId": customer })
        });
        json!({ "id": event.id(), "type": event.event_type(), "participants": participants.collect::<Vec<_>>() })
    });
    Ok(Json(json!({ "events": events.collect::<Vec<_>>() })))
}

async fn delete_account(State(app): State<Arc<App>>, session: Session) -> Result<StatusCode, Refusal> {
    app.delete_account(session.customer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The customer behind each ID, in order. A failure is not told as nobody.
async fn customers(app: &App, ids: &[AcsId]) -> Result<Vec<Option<CustomerId>>, Refusal> {
    let answers = app.mappings().resolve_many(ids).await;
    answers.into_iter().map(|answer| Ok(answer?.map(|found| found.customer_id().clone()))).collect()
}

fn fields<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let Json(object) = body?;
    serde_json::from_value(Value::Object(object)).map_err(|_| Refusal::wrong_json())
}

fn parse(acs_id: &str) -> Result<AcsId, Refusal> {
    acs_id.parse().map_err(|error: acs_identity::Error| Refusal::bad_request(error.message()))
}
