//! Faults that were ordered, as a client meets them; hostile clients; and the end of an emulator.

mod common;

use std::time::{Duration, Instant};

use acs_identity_emulator::{Emulator, Fault, Operation};
use common::{Call, STABLE, created, issued, path, post, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn create(emulator: &Emulator) -> Call {
    Call::new(emulator, "POST", "/identities", STABLE, "{}")
}

/// Waits until requests have met all queued faults.
async fn all_met(emulator: &Emulator) {
    while emulator.faults().queued() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_cut_leaves_no_answer_before_or_after_the_effect() {
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next(Fault::CutBefore);
    assert!(create(&emulator).try_send(&emulator).await.is_none());
    assert!(emulator.users().is_empty());
    emulator.faults().next(Fault::CutAfter);
    assert!(create(&emulator).try_send(&emulator).await.is_none());
    assert_eq!(emulator.users().len(), 1);
    created(&emulator).await;
    let statuses: Vec<Option<u16>> = emulator.calls().iter().map(acs_identity_emulator::Call::status).collect();
    assert_eq!(statuses, [None, None, Some(201)]);
    assert_eq!(emulator.faults().queued(), 0);
}

#[tokio::test]
async fn a_fault_of_one_operation_leaves_the_others_alone() {
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next_of(Operation::DeleteUser, Fault::CutAfter);
    let id = created(&emulator).await;
    issued(&emulator, &id).await;
    let delete = Call::new(&emulator, "DELETE", &path(&id, ""), STABLE, "");
    assert!(delete.try_send(&emulator).await.is_none());
    assert!(emulator.users().is_empty());
    assert_eq!(delete.send(&emulator).await.status, 204);
}

#[tokio::test]
async fn an_ordered_status_is_an_error_of_the_service_and_does_nothing() {
    let emulator = Emulator::start().await.unwrap();
    let retry_after = Some(Duration::from_millis(1500));
    emulator.faults().next(Fault::Status { status: 503, retry_after });
    emulator.faults().next(Fault::Status { status: 429, retry_after: None });
    let answer = create(&emulator).send(&emulator).await;
    assert_eq!(answer.error(), "503 ServiceUnavailable: A fault of the emulator. (-)");
    assert_eq!(answer.header("retry-after"), Some("2"));
    let answer = create(&emulator).send(&emulator).await;
    assert_eq!(answer.error(), "429 TooManyRequests: A fault of the emulator. (-)");
    assert_eq!(answer.header("retry-after"), None);
    assert!(emulator.users().is_empty());
    // A rate stays until it is cleared.
    emulator.faults().rate(1.0, Fault::Status { status: 500, retry_after: None });
    for _ in 0..3 {
        assert_eq!(create(&emulator).send(&emulator).await.status, 500);
    }
    emulator.faults().clear();
    created(&emulator).await;
}

#[tokio::test]
async fn what_a_client_did_not_wait_for_is_done_all_the_same() {
    let emulator = Emulator::start().await.unwrap();
    let latency = Duration::from_secs(1);
    emulator.faults().next(Fault::Latency(latency));
    let start = Instant::now();
    let call = create(&emulator);
    tokio::select! {
        answer = call.try_send(&emulator) => panic!("{answer:?}"),
        () = all_met(&emulator) => {}
    }
    while emulator.users().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(start.elapsed() >= latency);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let emulator = Emulator::start().await.unwrap();
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(64 << 10));
    let answer = post(&emulator, "/identities", STABLE, &body).await;
    assert_eq!(answer.error(), "413 RequestBodyTooLarge: The request body has more than 65536 bytes. (-)");
    assert_eq!(answer.header("connection"), Some("close"));
    // Without a length in front, it is cut as it grows.
    let head = "POST /identities HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    assert_eq!(raw(&emulator, format!("{head}{}", chunk.repeat(8)).as_bytes()).await.unwrap().status, 413);
    // Who sends all of a much larger one first gets its answer, too.
    let body = "x".repeat(20 << 20);
    assert_eq!(post(&emulator, "/identities", STABLE, &body).await.status, 413);
    assert_eq!(emulator.calls().len(), 3);

    // What is not read as HTTP has a bare answer, and is no call.
    let bare = async |bytes: &[u8]| {
        let answer = raw(&emulator, bytes).await.unwrap();
        assert_eq!((answer.body.as_str(), answer.header("x-ms-request-id")), ("", None));
        answer.status
    };
    let head = |size| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(size));
    assert_eq!(bare(head(64 << 10).as_bytes()).await, 431);
    let headers = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: x\r\n".repeat(101));
    assert_eq!(bare(headers.as_bytes()).await, 431);
    assert_eq!(bare(b"nonsense\r\n\r\n").await, 400);
    assert_eq!(emulator.calls().len(), 3);
    let longest = head((32 << 10) - head(0).len());
    assert_eq!((longest.len(), raw(&emulator, longest.as_bytes()).await.unwrap().status), (32 << 10, 404));
    // Deeply nested JSON is no JSON object that it takes.
    let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(post(&emulator, "/identities", STABLE, &nested).await.status, 400);
    created(&emulator).await;
}

#[tokio::test]
async fn a_stop_lets_a_request_end_and_a_drop_does_not_wait() {
    let emulator = Emulator::start().await.unwrap();
    let address = emulator.endpoint().strip_prefix("http://").unwrap().to_owned();
    emulator.faults().next(Fault::Latency(Duration::from_millis(300)));
    // The answer to a request that is refused will do.
    let request = "DELETE /identities/a HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    all_met(&emulator).await;
    let answer = async {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, ()) = tokio::join!(answer, emulator.stop());
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(TcpStream::connect(&address).await.is_err());

    let emulator = Emulator::start().await.unwrap();
    let address = emulator.endpoint().strip_prefix("http://").unwrap().to_owned();
    emulator.faults().next(Fault::Latency(Duration::from_secs(3600)));
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    all_met(&emulator).await;
    drop(emulator);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}
