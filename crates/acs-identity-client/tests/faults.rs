//! What becomes of a call when connections are cut, the service is in trouble, or time runs out.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::azure_core::error::{Error as TransportError, ErrorKind as TransportKind};
use acs_identity_client::azure_core::http::RetryOptions;
use acs_identity_client::{
    IdentityClient, IdentityClientCreateUserOptions, IdentityClientOptions, ServiceError, TeamsUserToken, TokenScope,
    azure_core,
};
use acs_identity_core::{Error, ErrorKind};
use acs_identity_emulator::{Emulator, Fault};
use common::{Canned, PREVIEW, answer, answer_with, client, client_on, id, quick, with_deadline, with_version};
use tokio::net::TcpListener;

const CHAT: &[TokenScope] = &[TokenScope::CHAT];

fn status(status: u16) -> Fault {
    Fault::Status { status, retry_after: None }
}

fn status_of(error: &Error) -> Option<u16> {
    ServiceError::of(error).map(ServiceError::status)
}

fn named() -> Option<IdentityClientCreateUserOptions<'static>> {
    Some(IdentityClientCreateUserOptions { custom_id: Some("customer-42".parse().unwrap()), ..Default::default() })
}

#[tokio::test]
async fn an_answer_that_is_lost_after_a_create_is_an_unknown_outcome_and_one_user() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    emulator.faults().next(Fault::CutAfter);
    let error = client.create_user(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert!(error.to_string().contains("the user may have been made"), "{error}");
    assert_eq!((emulator.users().len(), emulator.calls().len()), (1, 1));

    emulator.faults().next(Fault::CutAfter);
    let error = client.create_user_and_token(CHAT, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!((emulator.users().len(), emulator.calls().len()), (2, 2));
}

#[tokio::test]
async fn a_create_that_was_sent_is_not_sent_again_whatever_happened_to_it() {
    for (fault, seen) in [
        (Fault::CutBefore, None),
        (status(408), Some(408)),
        (status(500), Some(500)),
        (status(501), Some(501)),
        (status(503), Some(503)),
    ] {
        let emulator = Emulator::start().await.unwrap();
        let client = client(&emulator, quick());
        emulator.faults().next(fault);
        let alone = client.create_user(None).await.unwrap_err();
        emulator.faults().next(fault);
        let with_token = client.create_user_and_token(CHAT, None).await.unwrap_err();
        for error in [alone, with_token] {
            assert_eq!((error.kind(), status_of(&error)), (ErrorKind::OutcomeUnknown, seen), "{fault:?}");
        }
        assert_eq!((emulator.users().len(), emulator.calls().len()), (0, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn a_create_that_is_refused_was_not_carried_out() {
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next(status(400));
    let error = client(&emulator, quick()).create_user(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_throttled_create_waits_as_asked_and_is_sent_again() {
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next(Fault::Status { status: 429, retry_after: Some(Duration::from_secs(1)) });
    let start = Instant::now();
    client(&emulator, quick()).create_user(None).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((emulator.users().len(), emulator.calls().len()), (1, 2));
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next(Fault::Status { status: 429, retry_after: Some(Duration::from_secs(3600)) });
    let client = client(&emulator, with_deadline(Duration::from_secs(600)));
    let call = tokio::time::timeout(Duration::from_secs(60), client.create_user(None));
    let error = call.await.expect("an answer long before the deadline").unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::Unavailable, Some(429)));
    assert_eq!(ServiceError::of(&error).unwrap().retry_after(), Some(Duration::from_secs(3600)));
    assert!(error.to_string().contains("for 3600 s"), "{error}");
    assert_eq!(emulator.calls().len(), 1);

    let forever = Canned::new(vec![answer_with(429, &[("retry-after", "18446744073709551615")], "")]);
    let error = client_on(forever, PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::Unavailable, Some(429)));
}

#[tokio::test]
async fn a_service_in_trouble_is_waited_for_as_it_asks_whatever_its_status() {
    const MS: &[(&str, &str)] = &[("x-ms-retry-after-ms", "300")];
    const SHORT: &[(&str, &str)] = &[("retry-after-ms", "300")];
    const SECONDS: &[(&str, &str)] = &[("retry-after", "1")];
    let waits = [
        (408, MS, 300),
        (429, SHORT, 300),
        (500, SECONDS, 1000),
        (501, MS, 300),
        (502, MS, 300),
        (503, SHORT, 300),
        (599, MS, 300),
    ];
    futures::future::join_all(waits.map(|(status, headers, least)| async move {
        let token = r#"{"token":"t","expiresOn":"2030-01-01T00:00:00Z"}"#;
        let service = Canned::new(vec![answer_with(status, headers, ""), answer(200, token)]);
        let start = Instant::now();
        client_on(service.clone(), PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(least), "{status}");
        assert_eq!(service.seen().len(), 2, "{status}");
    }))
    .await;
    let forever = Canned::new(vec![answer_with(500, &[("x-ms-retry-after-ms", "3600000")], "")]);
    let error = client_on(forever, PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::Unavailable, Some(500)));
}

#[tokio::test]
async fn a_transport_that_says_that_nothing_was_sent_is_asked_to_create_again() {
    let refused =
        || -> common::Script { Box::new(|_| Err(TransportError::with_message(TransportKind::Connection, "no"))) };
    let service = Canned::new(vec![refused(), refused(), answer(201, r#"{"identity":{"id":"8:acs:r_u"}}"#)]);
    assert_eq!(client_on(service.clone(), PREVIEW).create_user(None).await.unwrap().id, id("8:acs:r_u"));
    assert_eq!(service.seen().len(), 3);
    // Where that is the end of it, nothing was changed.
    let mut options = common::with_transport(Canned::new(vec![refused()]));
    options.client_options.retry = RetryOptions::none();
    let endpoint = "https://contoso.communication.azure.com";
    let client = IdentityClient::with_key(endpoint, Secret::new("c2VjcmV0"), Some(options)).unwrap();
    assert_eq!(client.create_user(None).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_call_without_any_time_sends_nothing() {
    let service = Canned::always(201, r#"{"identity":{"id":"8:acs:r_u"}}"#);
    let options = IdentityClientOptions { deadline: Duration::ZERO, ..common::with_transport(service.clone()) };
    let endpoint = "https://contoso.communication.azure.com";
    let client = IdentityClient::with_key(endpoint, Secret::new("c2VjcmV0"), Some(options)).unwrap();
    assert_eq!(client.create_user(None).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn those_who_wait_for_the_same_time_do_not_come_back_together() {
    let token = r#"{"token":"t","expiresOn":"2030-01-01T00:00:00Z"}"#;
    let waits = (0..8).map(|_| async {
        let service = Canned::new(vec![answer_with(429, &[("retry-after", "2")], ""), answer(200, token)]);
        let start = Instant::now();
        client_on(service, PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap();
        start.elapsed()
    });
    let waits = futures::future::join_all(waits).await;
    let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*first >= Duration::from_secs(2));
    // Were all within 20 ms, that would be by a chance of one in 10^7.
    assert!(*last - *first > Duration::from_millis(20), "{waits:?}");
}

#[tokio::test]
async fn a_create_without_a_connection_is_tried_again_until_there_is_one() {
    let emulator = Emulator::start().await.unwrap();
    let port: u16 = emulator.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    let (string, key) = (emulator.connection_string(), emulator.key().to_owned());
    emulator.stop().await;
    let client = IdentityClient::from_connection_string(&string, Some(quick())).unwrap();
    let creating = tokio::spawn(async move { client.create_user(None).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let emulator = Emulator::builder().port(port).key(key).start().await.unwrap();
    let made = creating.await.unwrap().unwrap();
    assert_eq!(emulator.users()[0].id(), &made.id);
}

#[tokio::test]
async fn a_create_that_never_had_a_connection_has_changed_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let key = || Secret::new("c2VjcmV0");
    let client = IdentityClient::with_key(&endpoint, key(), Some(with_deadline(Duration::from_millis(800)))).unwrap();
    let error = client.create_user(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("refused"), "{source}");

    // A name that nobody has, and a server that speaks no TLS.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = deaf.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = deaf.accept().await {
            drop(stream)
        }
    });
    for endpoint in ["https://nobody.invalid".to_owned(), format!("https://127.0.0.1:{port}")] {
        let options = with_deadline(Duration::from_secs(2));
        let error =
            IdentityClient::with_key(&endpoint, key(), Some(options)).unwrap().create_user(None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{endpoint}: {error}");
    }
}

#[tokio::test]
async fn a_create_with_a_custom_id_is_sent_again_and_makes_one_user() {
    const TRY: Duration = Duration::from_millis(300);
    // Where the first try may still be at work, the second does not meet it.
    for (fault, settles) in [
        (Fault::CutAfter, true),
        (Fault::CutBefore, true),
        (Fault::Latency(Duration::from_secs(600)), true),
        (status(408), true),
        (status(502), true),
        (status(504), true),
        (status(500), false),
        (status(503), false),
    ] {
        let emulator = Emulator::start().await.unwrap();
        emulator.faults().next(fault);
        let options = IdentityClientOptions { try_timeout: TRY, ..with_version(PREVIEW) };
        let start = Instant::now();
        let made = client(&emulator, options).create_user(named()).await.unwrap();
        assert!(!settles || start.elapsed() >= TRY, "{fault:?}");
        assert_eq!(emulator.users().iter().map(|user| user.id().clone()).collect::<Vec<_>>(), [made.id], "{fault:?}");
        assert_eq!(emulator.faults().queued(), 0);
    }
    // Neither does it where there is no time left to wait.
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next(Fault::CutAfter);
    let options = IdentityClientOptions { deadline: Duration::from_secs(10), ..with_version(PREVIEW) };
    let error = client(&emulator, options).create_user(named()).await.unwrap_err();
    assert_eq!((error.kind(), emulator.calls().len()), (ErrorKind::OutcomeUnknown, 1));
}

#[tokio::test]
async fn what_is_idempotent_is_sent_again() {
    let statuses = [408, 429, 500, 501, 502, 503, 504, 599].map(status);
    let faults = [Fault::CutAfter, Fault::CutBefore].into_iter().chain(statuses);
    futures::future::join_all(faults.map(|fault| async move {
        let emulator = Emulator::start().await.unwrap();
        let client = client(&emulator, with_version(PREVIEW));
        let bob = client.create_user(None).await.unwrap().id;
        let (tenant, object, app) = ("tenant", "object", "app");
        let entra = emulator.entra_token(tenant, object, app, Duration::from_secs(3600));
        let teams = TeamsUserToken { token: Secret::new(entra), app_id: app.into(), user_id: object.into() };
        emulator.faults().next(fault);
        let token = client.issue_token(&bob, CHAT, None).await.unwrap();
        assert!(emulator.is_token_valid(token.token.secret()));
        emulator.faults().next(fault);
        client.get_user(&bob, None).await.unwrap();
        emulator.faults().next(fault);
        client.exchange_teams_user_token(&teams, None).await.unwrap();
        emulator.faults().next(fault);
        client.revoke_tokens(&bob, None).await.unwrap();
        emulator.faults().next(fault);
        client.delete_user(&bob, None).await.unwrap();
        assert_eq!((emulator.faults().queued(), emulator.calls().len()), (0, 11), "{fault:?}");
        assert!(emulator.users().is_empty());
    }))
    .await;
}

#[tokio::test]
async fn each_try_has_a_signature_of_its_own_and_the_same_request_id() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let bob = client.create_user(None).await.unwrap().id;
    emulator.clear_calls();
    emulator.faults().next(Fault::Status { status: 429, retry_after: Some(Duration::from_secs(1)) });
    client.issue_token(&bob, CHAT, None).await.unwrap();
    let calls = emulator.calls();
    for name in ["x-ms-date", "authorization"] {
        assert_ne!(calls[0].header(name), calls[1].header(name), "{name}");
    }
    assert_eq!(calls[0].header("x-ms-client-request-id"), calls[1].header("x-ms-client-request-id"));
}

#[tokio::test]
async fn tries_end_with_the_reason_of_the_last_one() {
    let emulator = Emulator::start().await.unwrap();
    let mut options = quick();
    options.client_options.retry = RetryOptions::none();
    let client = client(&emulator, options);
    let bob = client.create_user(None).await.unwrap().id;
    for (fault, kind, seen) in [
        (status(503), ErrorKind::Unavailable, Some(503)),
        (status(429), ErrorKind::Unavailable, Some(429)),
        (Fault::CutBefore, ErrorKind::Unavailable, None),
    ] {
        emulator.faults().next(fault);
        let error = client.issue_token(&bob, CHAT, None).await.unwrap_err();
        assert_eq!((error.kind(), status_of(&error), error.is_transient()), (kind, seen, true));
        assert_eq!((error.operation(), error.backend()), (Some("issue_token"), Some("ACS Identity")));
    }
    // A change whose answer is lost may have been made.
    for fault in [Fault::CutAfter, status(500)] {
        emulator.faults().next(fault);
        let error = client.delete_user(&bob, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
        assert!(error.to_string().contains("can be repeated"), "{error}");
    }
}

#[tokio::test]
async fn a_silent_service_is_left_at_the_try_timeout_and_the_deadline() {
    let emulator = Emulator::start().await.unwrap();
    let options = IdentityClientOptions { try_timeout: Duration::from_millis(200), ..with_version(PREVIEW) };
    let client = client(&emulator, options);
    let late = Fault::Latency(Duration::from_secs(600));

    emulator.faults().next(late);
    let error = client.create_user(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");

    let bob = client.create_user(None).await.unwrap().id;
    emulator.faults().next(late);
    client.issue_token(&bob, CHAT, None).await.unwrap();

    let hasty = common::client(&emulator, with_deadline(Duration::from_millis(100)));
    emulator.faults().next(late);
    assert_eq!(hasty.issue_token(&bob, CHAT, None).await.unwrap_err().kind(), ErrorKind::Timeout);
    emulator.faults().next(late);
    assert_eq!(hasty.create_user(None).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    emulator.faults().next(late);
    assert_eq!(hasty.delete_user(&bob, None).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn a_deadline_between_two_tries_tells_why_the_last_one_failed() {
    let emulator = Emulator::start().await.unwrap();
    let mut options = with_deadline(Duration::from_millis(600));
    options.client_options.retry = RetryOptions::fixed(azure_core::http::FixedRetryOptions {
        delay: azure_core::time::Duration::seconds(60),
        ..Default::default()
    });
    let client = client(&emulator, options);
    emulator.faults().next(status(429));
    let error = client.create_user(None).await.unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::Unavailable, Some(429)));
}

#[tokio::test]
async fn a_denial_after_a_lost_answer_does_not_say_that_nothing_was_done() {
    let lost = || -> common::Script { Box::new(|_| Err(TransportError::with_message(TransportKind::Io, "reset"))) };
    let service = Canned::new(vec![lost(), answer(401, "")]);
    let error = client_on(service.clone(), PREVIEW).delete_user(&id("8:acs:r_u"), None).await.unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::OutcomeUnknown, Some(401)));
    assert_eq!(service.seen().len(), 2);
    // Several users with one custom ID stay several.
    let several = answer(409, r#"{"error":{"code":"MultipleIdentitiesForCustomId","message":""}}"#);
    let options = IdentityClientOptions {
        try_timeout: Duration::from_millis(100),
        api_version: PREVIEW,
        ..common::with_transport(Canned::new(vec![lost(), several]))
    };
    let endpoint = "https://contoso.communication.azure.com";
    let client = IdentityClient::with_key(endpoint, Secret::new("c2VjcmV0"), Some(options)).unwrap();
    assert_eq!(client.create_user(named()).await.unwrap_err().kind(), ErrorKind::Conflict);
    // Nothing counts that a token was issued for.
    let service = Canned::new(vec![lost(), answer(401, "")]);
    let error = client_on(service, PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_unknown_outcome_of_a_create_alone() {
    const BODIES: [&str; 5] =
        ["", "<html>", r#"{"identity":{}}"#, r#"{"identity":{"id":""}}"#, r#"{"token":"t","expiresOn":"soon"}"#];
    for body in BODIES {
        let client = client_on(Canned::always(200, body), PREVIEW);
        for create in [client.create_user(None).await, client.create_user(named()).await] {
            assert_eq!(create.unwrap_err().kind(), ErrorKind::OutcomeUnknown, "{body}");
        }
        let error = client.issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{body}");
        assert_eq!(client.get_user(&id("8:acs:r_u"), None).await.unwrap_err().kind(), ErrorKind::Internal);
    }
    // A user without the token that was asked for is one all the same.
    let client = client_on(Canned::always(201, r#"{"identity":{"id":"8:acs:r_u"}}"#), PREVIEW);
    assert_eq!(client.create_user_and_token(CHAT, None).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    // So is one whose custom ID comes back in a form that is no customer ID.
    let strange = Canned::always(201, r#"{"identity":{"id":"8:acs:r_u","customId":""}}"#);
    let made = client_on(strange, PREVIEW).create_user(named()).await.unwrap();
    assert_eq!(made.custom_id.unwrap().as_str(), "customer-42");
    // The answer is about somebody else, if only by a letter.
    let client = client_on(Canned::always(200, r#"{"id":"8:ACS:r_u","customId":"alice"}"#), PREVIEW);
    assert_eq!(client.get_user(&id("8:acs:r_u"), None).await.unwrap_err().kind(), ErrorKind::Internal);
    let client = client_on(Canned::always(200, r#"{"id":"8:acs:r_other","customId":"alice"}"#), PREVIEW);
    assert_eq!(client.get_user(&id("8:acs:r_u"), None).await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_user_who_is_gone_after_a_lost_answer_is_deleted() {
    let gone = || answer(404, r#"{"error":{"code":"IdentityNotFound","message":""}}"#);
    let lost = || -> common::Script { Box::new(|_| Err(TransportError::with_message(TransportKind::Io, "reset"))) };
    client_on(Canned::new(vec![lost(), gone()]), PREVIEW).delete_user(&id("8:acs:r_u"), None).await.unwrap();
    // Without one it may be another's mistake.
    let error = client_on(Canned::new(vec![gone()]), PREVIEW).delete_user(&id("8:acs:r_u"), None).await.unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::InvalidInput, Some(404)));
    // And nothing is known of tokens that were to be revoked.
    let error =
        client_on(Canned::new(vec![lost(), gone()]), PREVIEW).revoke_tokens(&id("8:acs:r_u"), None).await.unwrap_err();
    assert_eq!((error.kind(), status_of(&error)), (ErrorKind::OutcomeUnknown, Some(404)));
}

#[tokio::test]
async fn an_endpoint_that_points_elsewhere_is_not_followed() {
    let service = Canned::new(vec![answer_with(307, &[("location", "https://evil.example.com/identities")], "")]);
    let error = client_on(service.clone(), PREVIEW).create_user(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_client_usable() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    for _ in 0..20 {
        emulator.faults().next(Fault::Latency(Duration::from_millis(30)));
        let _ = tokio::time::timeout(Duration::from_millis(5), client.create_user(None)).await;
    }
    emulator.faults().clear();
    let last = client.create_user(None).await.unwrap().id;
    let users = emulator.users();
    assert!(users.iter().any(|user| user.id() == &last));
    assert!(users.len() <= 21, "no call that was dropped makes a second user: {}", users.len());
}
