//! The webhook of Event Grid.

use std::io::ErrorKind;
use std::net::TcpListener;

use acs_identity::emulator::Emulator;
use serde_json::{Value, json};

use crate::server::{ALICE, BOB, SECRET, Server};

#[tokio::test]
async fn only_those_with_the_secret_may_deliver() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    let encoded = SECRET.replace(' ', "%20");
    let bearer = format!("Bearer {session}");
    let wrong = "A secret of Event Grid";
    for (path, headers, status) in [
        ("/events", &[][..], 401),
        ("/events?secret=", &[], 401),
        (&format!("/events?secret={}", &encoded[..encoded.len() - 1]), &[], 401),
        ("/events", &[("x-webhook-secret", wrong)], 401),
        // A header counts before the query.
        (&format!("/events?secret={encoded}"), &[("x-webhook-secret", wrong)], 401),
        // A session is no secret.
        ("/events", &[("authorization", bearer.as_str())], 401),
        (&format!("/events?secret={encoded}"), &[], 200),
        (&format!("/events?x=1&secret={encoded}"), &[], 200),
        ("/events", &[("x-webhook-secret", SECRET)], 200),
    ] {
        let reply = server.send("POST", path, headers, b"[]").await;
        assert_eq!(reply.status, status, "{path} {headers:?}");
        if status == 401 {
            assert_eq!(reply.refusal(), (401, "wrong_secret"));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_handshake_is_answered_with_the_code_and_no_address_is_fetched() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let tempting = TcpListener::bind("127.0.0.1:0").expect("a port");
    tempting.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}/validate", tempting.local_addr().expect("an address"));
    let event = |data: Value| {
        json!([{
            "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66", "topic": "/subscriptions/x", "subject": "", "data": data,
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "eventTime": "2026-01-25T22:12:19.4556811Z",
            "metadataVersion": "1", "dataVersion": "2",
        }])
    };
    let right = event(json!({ "validationCode": "512d38b6-c7b8", "validationUrl": url }));
    let reply = server.deliver(&right).await;
    assert_eq!((reply.status, reply.body), (200, json!({ "validationResponse": "512d38b6-c7b8" })));
    assert_eq!(server.deliver(&right[0]).await.status, 200);
    for data in [json!({ "validationUrl": url }), json!({ "validationCode": 7 }), Value::Null] {
        assert_eq!(server.deliver(&event(data)).await.refusal(), (400, "bad_request"));
    }
    // It comes alone: what else there is would be lost.
    let two = server.deliver(&json!([{ "id": "1", "eventType": "X" }, right[0]])).await;
    assert_eq!(two.refusal(), (400, "bad_request"));
    assert!(two.body["error"]["message"].as_str().expect("words").contains("alone"), "{two:?}");
    // Not without the secret, either.
    let body = right.to_string();
    assert_eq!(server.send("POST", "/events", &[], body.as_bytes()).await.status, 401);
    server.stop().await;
    assert_eq!(tempting.accept().expect_err("nobody comes").kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn those_in_an_event_see_it_once_and_who_else_is_in_it() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let (alices, bobs) = (server.session(ALICE).await, server.session(BOB).await);
    let (alice, bob) = (server.acs_id(&alices).await, server.acs_id(&bobs).await);
    let message = json!({
        "id": "1", "eventType": "Microsoft.Communication.ChatMessageReceived",
        "data": {
            "senderId": alice, "senderCommunicationIdentifier": { "rawId": alice, "communicationUser": { "id": alice } },
            "senderDisplayName": "Alice", "messageBody": "Hi", "recipientId": bob,
        },
    });
    let call = json!({
        "id": "2", "eventType": "Microsoft.Communication.CallStarted",
        "data": { "startedBy": { "communicationIdentifier": { "rawId": alice, "communicationUser": { "id": alice } } } },
    });
    assert_eq!(
        server.deliver(&json!([message, call, { "id": "3" }])).await.body,
        json!({ "received": 2, "refused": 1 })
    );
    assert_eq!(server.deliver(&json!([message])).await.body, json!({ "received": 0, "refused": 0 }));

    let seen = server.request("GET", "/events", &bobs).await;
    assert_eq!(
        seen.body,
        json!({ "events": [{
            "id": "1", "type": "Microsoft.Communication.ChatMessageReceived",
            "participants": [
                { "role": "recipient", "acsId": bob, "customerId": BOB.0 },
                { "role": "sender", "acsId": alice, "customerId": ALICE.0 },
            ],
        }] })
    );
    let seen = server.request("GET", "/events", &alices).await;
    let ids: Vec<&Value> = seen.body["events"].as_array().expect("events").iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, ["1", "2"]);
    server.signal("-TERM").await;
    let run = server.ended().await;
    assert_eq!((run.code, run.stderr.lines().count()), (Some(0), 1), "the broken event is told: {run:?}");
}

#[tokio::test]
async fn a_delivery_has_at_most_one_mebibyte_of_json() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let padded = |size: usize| {
        let mut body = b"[]".to_vec();
        body.resize(size, b' ');
        body
    };
    for (body, status) in
        [(padded(1 << 20), 200), (padded((1 << 20) + 1), 413), (b"{".to_vec(), 400), (Vec::new(), 400)]
    {
        let reply = server.send("POST", "/events", &[("x-webhook-secret", SECRET)], &body).await;
        assert_eq!(reply.status, status, "{} bytes", body.len());
    }
    server.stop().await;
}
