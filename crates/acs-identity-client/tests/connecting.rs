//! What never had a connection has changed nothing, whatever stood in its way.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::azure_core::http::{ClientMethodOptions, RetryOptions, request::options::ClientRequestId};
use acs_identity_client::{IdentityClient, IdentityClientCreateUserOptions, IdentityClientOptions, TokenScope};
use acs_identity_core::{Error, ErrorKind};
use acs_identity_emulator::Emulator;
use common::{client, id, quick, with_deadline};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

fn client_at(endpoint: &str, options: IdentityClientOptions) -> IdentityClient {
    IdentityClient::with_key(endpoint, Secret::new("c2VjcmV0"), Some(options)).unwrap()
}

/// The errors of all methods that change something.
async fn changes(client: &IdentityClient) -> [Error; 4] {
    [
        client.create_user(None).await.unwrap_err(),
        client.create_user_and_token(&[TokenScope::CHAT], None).await.unwrap_err(),
        client.delete_user(&id("8:acs:r_u"), None).await.unwrap_err(),
        client.revoke_tokens(&id("8:acs:r_u"), None).await.unwrap_err(),
    ]
}

/// A peer that takes connections and never says a word.
async fn silent() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    (port, task)
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_has_changed_nothing() {
    let (port, _task) = silent().await;
    let endpoint = format!("https://127.0.0.1:{port}");
    // The deadline comes first, or the end of a try, of several or of the only one.
    let mut alone = IdentityClientOptions { try_timeout: Duration::from_millis(100), ..quick() };
    alone.client_options.retry = RetryOptions::none();
    for options in [
        with_deadline(Duration::from_millis(200)),
        IdentityClientOptions { try_timeout: Duration::from_millis(100), ..with_deadline(Duration::from_millis(350)) },
        alone,
    ] {
        for error in changes(&client_at(&endpoint, options)).await {
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            assert!(error.to_string().contains("no connection"), "{error}");
        }
    }
}

#[tokio::test]
async fn connections_that_are_neither_taken_nor_refused_have_changed_nothing() {
    // A queue of one, which is full: the system drops whoever comes next.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    // Each try gives up after a while, and the deadline strikes within one.
    let options =
        IdentityClientOptions { try_timeout: Duration::from_millis(200), ..with_deadline(Duration::from_millis(450)) };
    for error in changes(&client_at(&format!("http://{address}"), options)).await {
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error}");
    }
}

#[tokio::test]
async fn what_is_sent_to_a_silent_service_is_of_unknown_outcome() {
    let (port, _task) = silent().await;
    let client = client_at(&format!("http://127.0.0.1:{port}"), with_deadline(Duration::from_millis(200)));
    for error in changes(&client).await {
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_written_is_not_sent() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let mut method_options = ClientMethodOptions::default();
    method_options.context.insert(ClientRequestId::from("two\nlines".to_owned()));
    let options = IdentityClientCreateUserOptions { method_options, ..Default::default() };
    let error = client.create_user(Some(options)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(emulator.calls().is_empty());
}

#[tokio::test]
async fn localhost_is_this_machine_whoever_is_asked_for_its_address() {
    let emulator = Emulator::start().await.unwrap();
    let port = emulator.endpoint().rsplit(':').next().unwrap();
    let client = IdentityClient::with_key(
        &format!("http://localhost:{port}"),
        Secret::new(emulator.key().to_owned()),
        Some(quick()),
    )
    .unwrap();
    client.create_user(None).await.unwrap();
    assert_eq!(emulator.calls()[0].header("host"), Some(&*format!("localhost:{port}")));
}
