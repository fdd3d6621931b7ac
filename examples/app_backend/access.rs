//! Who may come in: those with a session, and Event Grid with its secret.

use std::sync::Arc;

use acs_identity::CustomerId;
use axum::extract::{FromRequestParts, Query};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::Deserialize;

use crate::app::App;
use crate::refusal::Refusal;

/// A request of somebody who has signed in.
pub(crate) struct Session {
    pub(crate) customer: CustomerId,
    pub(crate) token: String,
}

impl FromRequestParts<Arc<App>> for Session {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let bearer = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
        let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let known = token.and_then(|token| Some((token, app.sessions.customer(token)?)));
        let (token, customer) = known.ok_or_else(Refusal::no_session)?;
        Ok(Self { customer, token: token.to_owned() })
    }
}

/// A request of Event Grid: it has the shared secret in the header `x-webhook-secret`, or in the query as `secret`.
///
/// Event Grid sends a header if the subscription has one as a secret delivery property. Queries get into the logs of
/// whatever is in between, so the header is better where both can be had.
pub(crate) struct EventGrid;

#[derive(Deserialize)]
struct InQuery {
    secret: String,
}

impl FromRequestParts<Arc<App>> for EventGrid {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let secret = match parts.headers.get("x-webhook-secret") {
            Some(value) => value.to_str().ok().map(str::to_owned),
            None => Query::<InQuery>::try_from_uri(&parts.uri).ok().map(|query| query.0.secret),
        };
        if secret.is_some_and(|secret| app.webhook.is(&secret)) { Ok(Self) } else { Err(Refusal::wrong_secret()) }
    }
}
