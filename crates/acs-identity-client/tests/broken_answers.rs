//! What becomes of a call whose answer is cut, too long, or never ends: a refusal stays one, whatever becomes of its words.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::azure_core::http::{FixedRetryOptions, RetryOptions};
use acs_identity_client::{IdentityClient, IdentityClientOptions, ServiceError, TokenScope, azure_core};
use acs_identity_core::{Error, ErrorKind};
use common::{id, quick};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CHAT: &[TokenScope] = &[TokenScope::CHAT];

/// More than the client reads.
const TOO_LONG: usize = (1 << 20) + 1;

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
                    Body::TooLong => stream.write_all(&[b'x'; TOO_LONG]).await,
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
            assert_eq!(ServiceError::of(&error).unwrap().request_id(), Some("theirs"));
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

    let (cut, _) = client("201 Created", "", Body::Cut, RetryOptions::none()).await;
    let error = cut.create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::OutcomeUnknown, None));
    assert!(error.to_string().contains("lost before the end of its answer"), "{error}");
    let error = cut.issue_token(&id("8:acs:r_u"), CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unavailable, None));
}
