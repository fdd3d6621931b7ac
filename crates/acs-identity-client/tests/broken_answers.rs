//! What becomes of a call whose answer is cut, too long, or never ends: a refusal stays one, whatever becomes of its words.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::azure_core::http::headers::Headers;
use acs_identity_client::azure_core::http::{AsyncRawResponse, FixedRetryOptions, RetryOptions, StatusCode};
use acs_identity_client::{
    IdentityClient, IdentityClientCreateUserAndTokenOptions, IdentityClientCreateUserOptions, IdentityClientOptions,
    ServiceError, TokenScope, azure_core,
};
use acs_identity_core::{Error, ErrorKind};
use common::{Canned, PREVIEW, Script, answer, client_on, id, quick};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CHAT: &[TokenScope] = &[TokenScope::CHAT];

/// More than the client reads.
const TOO_LONG: usize = (1 << 20) + 1;

/// A good answer to everything, but for its length: blanks follow it.
fn too_long() -> Vec<u8> {
    let mut body =
        br#"{"identity":{"id":"8:acs:r_u"},"token":"t","expiresOn":"2030-01-01T00:00:00Z","error":{"code":"C"}}"#
            .to_vec();
    body.resize(TOO_LONG, b' ');
    body
}

/// How the body of an answer is not what its head says.
#[derive(Debug, Clone, Copy)]
enum Body {
    Cut,
    TooLong,
    Endless,
}

/// A client of a server that gives this status and these headers to each request, with such a body; and how many it was sent.
async fn client(
    status: &'static str,
    headers: &'static str,
    body: Body,
    retry: RetryOptions,
) -> (IdentityClient, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                // A request fits in one packet.
                if !matches!(stream.read(&mut [0; 16_384]).await, Ok(1..)) {
                    return;
                }
                seen.fetch_add(1, Ordering::SeqCst);
                let length = if matches!(body, Body::TooLong) { TOO_LONG } else { 100 };
                let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = match body {
                    Body::Cut => stream.write_all(b"{\"err").await,
                    Body::TooLong => stream.write_all(&too_long()).await,
                    Body::Endless => std::future::pending().await,
                };
            });
        }
    });
    let mut options = IdentityClientOptions { try_timeout: Duration::from_secs(2), ..quick() };
    options.client_options.retry = retry;
    (IdentityClient::with_key(&endpoint, Secret::new("c2VjcmV0"), Some(options)).unwrap(), requests)
}

fn told(error: &Error) -> (ErrorKind, Option<u16>) {
    (error.kind(), ServiceError::of(error).map(ServiceError::status))
}

#[tokio::test]
async fn a_refusal_is_one_even_if_its_body_cannot_be_read() {
    for body in [Body::Cut, Body::TooLong, Body::Endless] {
        let refusals = [
            ("400 Bad Request", ErrorKind::InvalidInput, 400),
            ("401 Unauthorized", ErrorKind::Denied, 401),
            ("404 Not Found", ErrorKind::Misconfigured, 404),
            ("429 Too Many Requests", ErrorKind::Unavailable, 429),
            ("503 Service Unavailable", ErrorKind::OutcomeUnknown, 503),
        ];
        futures::future::join_all(refusals.map(|(status, kind, seen)| async move {
            let (client, requests) = client(status, "x-ms-request-id: theirs\r\n", body, RetryOptions::none()).await;
            let error = client.create_user(None).await.unwrap_err();
            assert_eq!(told(&error), (kind, Some(seen)), "{body:?} {error}");
            let service = ServiceError::of(&error).unwrap();
            assert_eq!((service.request_id(), service.error()), (Some("theirs"), None));
            assert_eq!(requests.load(Ordering::SeqCst), 1);
        }))
        .await;
    }
}

#[tokio::test]
async fn a_throttled_create_is_sent_again_even_if_the_body_is_cut() {
    let retry = FixedRetryOptions { delay: azure_core::time::Duration::ZERO, max_retries: 2, ..Default::default() };
    let retry = RetryOptions::fixed(retry);
    let (client, requests) = client("429 Too Many Requests", "retry-after-ms: 50\r\n", Body::Cut, retry).await;
    let error = client.create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unavailable, Some(429)));
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_success_that_is_too_long_is_no_lost_connection_and_one_that_is_cut_is() {
    let (long, _) = client("201 Created", "", Body::TooLong, RetryOptions::none()).await;
    let error = long.create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::OutcomeUnknown, None));
    assert!(error.to_string().contains("not of the documented form") && !error.to_string().contains("lost"), "{error}");
    let error = long.issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Internal, None));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("too long"), "{error:?}");

    let (cut, _) = client("201 Created", "", Body::Cut, RetryOptions::none()).await;
    let error = cut.create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::OutcomeUnknown, None));
    assert!(error.to_string().contains("lost before the end of its answer"), "{error}");
    let error = cut.issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unavailable, None));
}

#[tokio::test]
async fn an_array_is_no_object_wherever_one_is_asked_for() {
    for body in [
        r#"["token", "2030-01-01T00:00:00+00:00"]"#,
        r#"[["8:acs:r_u", null, null], ["token", "2030-01-01T00:00:00+00:00"]]"#,
        r#"{"identity": ["8:acs:r_u", null, null], "accessToken": {"token": "t", "expiresOn": "2030-01-01T00:00:00Z"}}"#,
        r#"{"identity": {"id": "8:acs:r_u"}, "accessToken": ["token", "2030-01-01T00:00:00+00:00"]}"#,
    ] {
        let client = client_on(Canned::always(200, body), PREVIEW);
        let made = client.create_user_and_token(CHAT, None).await.unwrap_err();
        assert_eq!(made.kind(), ErrorKind::OutcomeUnknown, "{body}");
        let token = client.issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
        assert_eq!(token.kind(), ErrorKind::Internal, "{body}");
    }
    let client = client_on(Canned::always(200, r#"["8:acs:r_u", "bob", null]"#), PREVIEW);
    assert_eq!(client.get_user(&id("8:acs:r_u"), None).await.unwrap_err().kind(), ErrorKind::Internal);
}

fn named(custom_id: &str) -> Option<IdentityClientCreateUserOptions<'static>> {
    Some(IdentityClientCreateUserOptions { custom_id: Some(custom_id.parse().unwrap()), ..Default::default() })
}

#[tokio::test]
async fn a_user_who_is_made_with_one_custom_id_and_answered_with_another_is_an_error_that_repeating_does_not_mend() {
    for answered in ["alice", "Bobby", "b ob", "Bob", "bob "] {
        let body = format!(r#"{{"identity": {{"id": "8:acs:r_u", "customId": "{answered}"}}}}"#).leak();
        let error = client_on(Canned::always(201, body), PREVIEW).create_user(named("bob")).await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::Internal, None), "{answered}");
        let text = error.to_string();
        assert!(
            text.contains("another custom ID") && !text.contains("comes back") && !text.contains("alice"),
            "{text}"
        );
    }
    let silent = client_on(Canned::always(201, r#"{"identity": {"id": "8:acs:r_u"}}"#), PREVIEW);
    assert_eq!(silent.create_user(named("bob")).await.unwrap().custom_id, None);
}

#[tokio::test]
async fn a_user_who_comes_without_the_token_is_given_one_and_not_lost() {
    const TOKEN: &str = r#"{"token":"later","expiresOn":"2030-01-01T00:00:00Z"}"#;
    for made in [
        r#"{"identity":{"id":"8:acs:r_u"}}"#,
        r#"{"identity":{"id":"8:acs:r_u"},"accessToken":null}"#,
        r#"{"identity":{"id":"8:acs:r_u"},"accessToken":"t"}"#,
        r#"{"identity":{"id":"8:acs:r_u"},"accessToken":{"token":"","expiresOn":"2030-01-01T00:00:00Z"}}"#,
        r#"{"identity":{"id":"8:acs:r_u"},"accessToken":{"token":"t","expiresOn":"soon"}}"#,
    ] {
        let service = Canned::new(vec![answer(201, made), answer(200, TOKEN)]);
        let lasting = IdentityClientCreateUserAndTokenOptions { expires_in_minutes: Some(60), ..Default::default() };
        let both = client_on(service.clone(), PREVIEW).create_user_and_token(CHAT, Some(lasting)).await.unwrap();
        assert_eq!((both.user.id, both.token.token.secret()), (id("8:acs:r_u"), "later"), "{made}");
        let seen = service.seen();
        assert_eq!((seen.len(), seen[1].url().path()), (2, "/identities/8%3Aacs%3Ar_u/:issueAccessToken"));
        let body = azure_core::Bytes::from(seen[1].body());
        assert_eq!(body, r#"{"scopes":["chat"],"expiresInMinutes":60}"#);
    }
    // If there is none to be had, the user's ID is lost, and that is said.
    let service = Canned::new(vec![answer(201, r#"{"identity":{"id":"8:acs:r_u"}}"#), answer(403, "")]);
    let error = client_on(service, PREVIEW).create_user_and_token(CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::OutcomeUnknown, None));
    assert!(error.to_string().contains("it has no token"), "{error}");
}

#[tokio::test]
async fn a_time_that_cannot_be_read_does_not_lose_a_user() {
    for time in [r#""yesterday""#, "5", "null", "{}"] {
        let user = format!(r#"{{"id": "8:acs:r_u", "lastTokenIssuedAt": {time}}}"#);
        let body = format!(r#"{{"identity": {user}}}"#).leak();
        let made = client_on(Canned::always(201, body), PREVIEW).create_user(None).await.unwrap();
        assert_eq!((made.id, made.last_token_issued_at), (id("8:acs:r_u"), None), "{time}");
        let found =
            client_on(Canned::always(200, user.leak()), PREVIEW).get_user(&id("8:acs:r_u"), None).await.unwrap();
        assert_eq!(found.last_token_issued_at, None, "{time}");
    }
}

#[tokio::test]
async fn an_empty_token_is_none() {
    let service = Canned::always(200, r#"{"token":"","expiresOn":"2030-01-01T00:00:00Z"}"#);
    let error = client_on(service, PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Internal, None));
}

#[tokio::test]
async fn a_transport_of_the_callers_own_gives_no_more_than_is_read() {
    let answer = |status: u16| -> Script {
        Box::new(move |_| {
            let parts: Vec<_> = too_long().chunks(65_536).map(|part| Ok(part.to_vec().into())).collect();
            let long = Box::pin(futures::stream::iter(parts));
            Ok(AsyncRawResponse::new(StatusCode::from(status), Headers::new(), long))
        })
    };
    let issued = |status| {
        let transport = Canned::new(vec![answer(status)]);
        async move {
            let issued = client_on(transport.clone(), PREVIEW).issue_token(&id("8:acs:r_u"), CHAT, None).await;
            (issued.unwrap_err(), transport.seen().len())
        }
    };
    let (error, tries) = issued(200).await;
    assert_eq!((error.kind(), tries), (ErrorKind::Internal, 1));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("too long"), "{error:?}");
    let (error, _) = issued(400).await;
    assert_eq!((error.kind(), ServiceError::of(&error).unwrap().status()), (ErrorKind::InvalidInput, 400));
}
