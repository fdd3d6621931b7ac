//! The example `app_backend`, over HTTP and on an emulator.

mod accounts;
mod events;
mod server;

use acs_identity::emulator::{Emulator, Fault, Operation};
use acs_identity::sql::SqliteStore;
use acs_identity::{MappingStore, Resolver};
use acs_identity_tests::{Folder, Run};
use serde_json::json;
use server::{ALICE, BOB, SECRET, Server, example, message};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SLOW: Duration = Duration::from_millis(500);

#[tokio::test]
async fn without_options_it_runs_on_an_emulator_of_its_own() {
    let mut server = Server::of(example(&["--port", "0"])).await;
    let secret = server.line_with("WEBHOOK_SECRET=").await;
    let secret = secret.strip_prefix("WEBHOOK_SECRET=").expect("a secret").to_owned();
    let session = server.session(ALICE).await;
    let reply = server.request("POST", "/token", &session).await;
    assert!(reply.text("acsId").starts_with("8:acs:") && !reply.text("token").is_empty(), "{reply:?}");
    assert!(reply.head.contains("cache-control: no-store"), "{reply:?}");
    let delivered = server.send("POST", "/events", &[("x-webhook-secret", &secret)], b"[]").await;
    assert_eq!(delivered.body, json!({ "received": 0, "refused": 0 }));
    server.stop().await;
}

#[tokio::test]
async fn all_but_signing_in_and_the_webhook_need_a_session() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    assert_eq!(server.request("POST", "/logout", &session).await.status, 204);
    let bearer = format!("Bearer {session}");
    let headers: [&[(&str, &str)]; 5] = [
        &[],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer x")],
        &[("authorization", "Basic YWxpY2U6eA==")],
        // It was valid once.
        &[("authorization", &bearer)],
    ];
    for (method, path) in [
        ("POST", "/logout"),
        ("POST", "/token"),
        ("GET", "/users/8:acs:r_1"),
        ("POST", "/roster"),
        ("GET", "/events"),
        ("DELETE", "/account"),
    ] {
        for headers in headers {
            let reply = server.send(method, path, headers, b"").await;
            assert_eq!(reply.refusal(), (401, "no_session"), "{method} {path}");
            assert!(reply.head.contains("www-authenticate: bearer"), "{reply:?}");
        }
    }
    // The secret of the webhook is no session.
    assert_eq!(server.send("GET", "/events", &[("x-webhook-secret", SECRET)], b"").await.status, 401);
    assert!(emulator.calls().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn only_the_right_password_begins_a_session() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    for user in [(ALICE.0, BOB.1), (ALICE.0, ""), ("carol@contoso.com", ALICE.1), ("Alice@contoso.com", ALICE.1)] {
        assert_eq!(server.login(user).await.refusal(), (401, "wrong_credentials"), "{user:?}");
    }
    assert_eq!(server.login(("", "x")).await.refusal(), (400, "bad_request"));
    let sessions = [server.session(ALICE).await, server.session(ALICE).await];
    assert_ne!(sessions[0], sessions[1]);
    server.stop().await;
}

#[tokio::test]
async fn a_user_has_at_most_16_sessions_and_one_more_ends_the_oldest() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let bob = server.session(BOB).await;
    let mut sessions = Vec::new();
    for _ in 0..17 {
        sessions.push(server.session(ALICE).await);
    }
    for (session, status) in [(&sessions[0], 401), (&sessions[1], 200), (&sessions[16], 200), (&bob, 200)] {
        assert_eq!(server.request("GET", "/events", session).await.status, status);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_json() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    let bearer = format!("Bearer {session}");
    let json = ("content-type", "application/json");
    let large = vec![b' '; (256 << 10) + 1];
    for (method, path, headers, body, refusal) in [
        ("GET", "/", &[][..], &b""[..], (404, "not_found")),
        ("GET", "/login", &[], b"", (405, "method_not_allowed")),
        ("DELETE", "/events", &[], b"", (405, "method_not_allowed")),
        ("POST", "/login", &[], b"{}", (415, "unsupported_media_type")),
        ("POST", "/login", &[json], b"{}", (400, "bad_request")),
        ("POST", "/login", &[json], b"{", (400, "bad_request")),
        ("POST", "/login", &[json], br#"["alice@contoso.com", "correct-horse"]"#, (400, "bad_request")),
        ("POST", "/roster", &[json, ("authorization", &bearer)], br#"[["8:acs:r_u"]]"#, (400, "bad_request")),
        ("POST", "/login", &[json], &large, (413, "too_large")),
        ("GET", "/users/%ff", &[("authorization", &bearer)], b"", (400, "bad_request")),
        ("GET", "/users/%07", &[("authorization", &bearer)], b"", (400, "bad_request")),
    ] {
        assert_eq!(server.send(method, path, headers, body).await.refusal(), refusal, "{method} {path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_it_stops() {
    let emulator = Emulator::start().await.expect("an emulator");
    let folder = Folder::new();
    let server = Server::start_on(&emulator, &folder).await;
    let session = server.session(ALICE).await;
    emulator.faults().next_of(Operation::CreateUser, Fault::Latency(SLOW));
    let ask = async { server.request("POST", "/token", &session).await };
    let stop = async {
        // Once ACS is asked, the request is under way.
        while emulator.faults().queued() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.signal("-INT").await;
    };
    let (reply, ()) = tokio::join!(ask, stop);
    assert_eq!(reply.status, 200, "{reply:?}");
    let address = server.address().to_owned();
    let run = server.ended().await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(TcpStream::connect(address).await.is_err());

    let store = SqliteStore::open(folder.path("mappings.db")).await.expect("the store");
    let id = reply.text("acsId").parse().expect("an ACS ID");
    let found = store.resolve(&id).await.expect("an answer").expect("a mapping");
    assert_eq!(found.customer_id().as_str(), ALICE.0);
    store.close().await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_it_up_when_it_stops() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let mut idle = TcpStream::connect(server.address()).await.expect("a connection");
    idle.write_all(&message("GET", "/", &[], b"")).await.expect("the request is sent");
    assert_ne!(idle.read(&mut [0; 4096]).await.expect("a reply"), 0);
    // It would complain about a connection that it had to cut.
    server.stop().await;
}

#[tokio::test]
async fn half_a_request_neither_keeps_its_connection_nor_holds_the_end_up() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let half = async || {
        let mut connection = TcpStream::connect(server.address()).await.expect("a connection");
        connection.write_all(b"POST /login HT").await.expect("half a head is sent");
        connection
    };
    let mut first = half().await;
    let ended = timeout(Duration::from_secs(60), first.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "the server waits for the other half");
    server.session(ALICE).await;
    let _second = half().await;
    // It would complain about a connection that it had to cut.
    server.stop().await;
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(BOB).await;
    let reply = server.request("POST", "/token", &session).await;
    // ACS refuses something, of which the log has to tell.
    emulator.faults().next_of(Operation::IssueToken, Fault::Status { status: 403, retry_after: None });
    let refused = server.request("POST", "/token", &session).await;
    assert_eq!(refused.refusal(), (500, "internal"));
    server.signal("-TERM").await;
    let run = server.ended().await;
    assert!(run.stderr.starts_with("error: ") && run.stderr.lines().count() == 1, "{}", run.stderr);
    let texts = [&run.stdout, &run.stderr, &refused.body.to_string()];
    let id = reply.text("acsId");
    for secret in [&session, &reply.text("token"), &id, BOB.0, BOB.1, SECRET, &emulator.key()] {
        assert!(texts.iter().all(|text| !text.contains(secret)), "{secret} is in {texts:?}");
    }
}

#[tokio::test]
async fn it_is_refused_in_one_sentence_what_it_cannot_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for (args, told) in [
        (&["--prot", "1"][..], "there is no option \"--prot\""),
        (
            &["--connection-string=endpoint=https://hidden/;accesskey=hidden"],
            "there is no option \"--connection-string\"",
        ),
        (
            &["--port", "0", "--connection-string", "accesskey=hidden", "--database", "/nowhere/mappings.db"],
            "the connection string has no endpoint",
        ),
        (&["--connection-string"], "is missing"),
        (
            &["--connection-string", "endpoint=https://hidden/;accesskey=hidden"],
            "--database is missing: the users of a resource outlast this program",
        ),
        (&["--port", "65536"], "a port is a number up to 65535"),
        (&["--port", &port], &format!("port {port}: ")),
        (&["--port", "0", "--database", "/nowhere/mappings.db"], "/nowhere/mappings.db"),
    ] {
        let run = Run::from(example(args).output().await.expect("it runs"));
        let refusal = run.refusal();
        assert!(refusal.contains(told) && !refusal.contains("hidden"), "{refusal}");
    }
    // What no header can hold as it is would never be right.
    for secret in
        ["short", &"é".repeat(8), &"é".repeat(16), &" ".repeat(20), "a secret from a file\n", " a secret, indented"]
    {
        let run = Run::from(example(&["--port", &port]).env("WEBHOOK_SECRET", secret).output().await.expect("it runs"));
        assert!(run.refusal().contains("WEBHOOK_SECRET needs at least 16 characters"), "{secret:?}: {run:?}");
    }
    let mut real = example(&["--port", "0"]);
    real.env("ACS_CONNECTION_STRING", "endpoint=https://hidden/;accesskey=hidden");
    let run = Run::from(real.output().await.expect("it runs"));
    assert!(run.refusal().contains("--database is missing") && !run.stderr.contains("hidden"), "{run:?}");
    // An empty variable is an unset one: the file is asked for with a resource alone.
    let mut unset = example(&["--port", &port]);
    unset.env("ACS_CONNECTION_STRING", "");
    let run = Run::from(unset.output().await.expect("it runs"));
    assert!(run.refusal().contains(&format!("port {port}: ")), "{run:?}");
    let help = Run::from(example(&["--help"]).output().await.expect("it runs"));
    assert!(help.code == Some(0) && help.stdout.contains("--database FILE"), "{help:?}");
}
