//! Where Event Grid delivers its events, in its own schema.

use std::sync::Arc;

use acs_identity::Event;
use acs_identity_examples::complain;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde_json::{Value, json};

use crate::access::EventGrid;
use crate::app::App;
use crate::refusal::Refusal;

/// The first event of a subscription: whoever answers with its code shows that events are wanted.
/// [Source](https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema).
const VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

/// Takes a delivery. It is answered before anybody does anything with the events: Event Grid waits for 30 seconds, and delivers
/// anew what was answered by an error.
pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    _: EventGrid,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    let body = body?;
    let events = Event::parse_each(&body).map_err(|error| Refusal::bad_request(error.message()))?;
    if events.iter().flatten().any(|event| event.event_type() == VALIDATION) {
        return handshake(&body);
    }
    let (mut received, mut refused) = (0, 0);
    for event in events {
        match event {
            Ok(event) => received += usize::from(app.inbox.keep(event)),
            // It would be no better the next time, so the others are not held up by it.
            Err(error) => {
                complain(error.message());
                refused += 1;
            }
        }
    }
    Ok(Json(json!({ "received": received, "refused": refused })))
}

/// Answers with the code. The event also holds a `validationUrl`, for those who cannot answer. It is never fetched: a server that
/// opens addresses which it is sent can be made to open those behind its firewall.
fn handshake(body: &[u8]) -> Result<Json<Value>, Refusal> {
    // An array of one event, or that event alone; it was read before, with or without a byte order mark.
    let json = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let delivery: Value = serde_json::from_slice(json).unwrap_or_default();
    let event = delivery.get(0).unwrap_or(&delivery);
    match &event["data"]["validationCode"] {
        Value::String(code) if event["eventType"] == VALIDATION => Ok(Json(json!({ "validationResponse": code }))),
        _ => Err(Refusal::bad_request("a validation event comes alone and with a validationCode")),
    }
}
