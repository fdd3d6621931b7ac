//! Users of ACS and what becomes of them.

use std::time::Duration;

use acs_identity::client::IdentityClient;
use acs_identity::emulator::{Emulator, Fault, Operation};
use acs_identity::sql::sqlx::sqlite::SqliteConnectOptions;
use acs_identity::sql::sqlx::{ConnectOptions, Executor};
use acs_identity_tests::Folder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::SLOW;
use crate::server::{ALICE, BOB, Server, message};

#[tokio::test]
async fn first_logins_at_once_make_one_acs_user_for_each_customer() {
    let emulator = Emulator::start().await.expect("an emulator");
    emulator.faults().rate_of(Operation::CreateUser, 1.0, Fault::Latency(SLOW));
    let server = Server::start(&emulator).await;
    let first_login = async |user| {
        let session = server.session(user).await;
        server.request("POST", "/token", &session).await
    };
    let replies = tokio::join!(
        first_login(ALICE),
        first_login(BOB),
        first_login(ALICE),
        first_login(BOB),
        first_login(ALICE),
        first_login(ALICE),
    );
    let alice = [&replies.0, &replies.2, &replies.4, &replies.5];
    let bob = [&replies.1, &replies.3];
    let users: Vec<String> = emulator.users().iter().map(|user| user.id().as_str().to_owned()).collect();
    assert_eq!((users.len(), created(&emulator)), (2, 2));
    for reply in alice.iter().chain(&bob) {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(emulator.is_token_valid(reply.text("token")));
        assert!(users.contains(&reply.text("acsId")));
        assert_eq!(emulator.tokens_of(reply.text("acsId"))[0].scopes(), ["chat", "voip"]);
    }
    assert!(alice.iter().all(|reply| reply.text("acsId") == alice[0].text("acsId")));
    assert_eq!(bob[0].text("acsId"), bob[1].text("acsId"));
    assert_ne!(alice[0].text("acsId"), bob[0].text("acsId"));
    server.stop().await;
}

#[tokio::test]
async fn of_two_servers_that_make_a_user_at_once_one_deletes_its_own_again() {
    let emulator = Emulator::start().await.expect("an emulator");
    emulator.faults().rate_of(Operation::CreateUser, 1.0, Fault::Latency(SLOW));
    let folder = Folder::new();
    let servers = [Server::start_on(&emulator, &folder).await, Server::start_on(&emulator, &folder).await];
    let sessions = [servers[0].session(ALICE).await, servers[1].session(ALICE).await];
    let (one, other) = tokio::join!(servers[0].acs_id(&sessions[0]), servers[1].acs_id(&sessions[1]));
    assert_eq!(one, other);
    assert_eq!(created(&emulator), 2, "both made one, or this tests nothing");
    let users = emulator.users();
    assert_eq!(users.iter().map(|user| user.id().as_str()).collect::<Vec<_>>(), [&one]);
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_first_login_loses_no_acs_user() {
    let emulator = Emulator::start().await.expect("an emulator");
    // Each user takes as long: should a second one be made, the first is there before it.
    emulator.faults().rate_of(Operation::CreateUser, 1.0, Fault::Latency(SLOW));
    emulator.faults().next_of(Operation::CreateUser, Fault::Latency(Duration::ZERO));
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    let mut connection = TcpStream::connect(server.address()).await.expect("a connection");
    let request = message("POST", "/token", &[("authorization", &format!("Bearer {session}"))], b"");
    connection.write_all(&request).await.expect("the request is sent");
    while emulator.faults().queued() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(connection);
    let id = server.acs_id(&session).await;
    let users = emulator.users();
    assert_eq!(users.iter().map(|user| user.id().as_str()).collect::<Vec<_>>(), [&id]);
    server.stop().await;
}

#[tokio::test]
async fn an_acs_user_whose_mapping_cannot_be_stored_is_deleted_again() {
    let emulator = Emulator::start().await.expect("an emulator");
    let folder = Folder::new();
    let server = Server::start_on(&emulator, &folder).await;
    let session = server.session(ALICE).await;
    let database = SqliteConnectOptions::new().filename(folder.path("mappings.db"));
    let mut somebody = database.connect().await.expect("the database");
    somebody.execute("BEGIN IMMEDIATE").await.expect("a lock");
    assert_eq!(server.request("POST", "/token", &session).await.refusal(), (503, "unavailable"));
    assert_eq!((created(&emulator), emulator.users().len()), (1, 0));

    somebody.execute("ROLLBACK").await.expect("no lock");
    let id = server.acs_id(&session).await;
    assert_eq!(who_is(&server, &session, &id).await.as_deref(), Some(ALICE.0));
    server.signal("-TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_same_acs_user_is_there_after_a_restart() {
    let emulator = Emulator::start().await.expect("an emulator");
    let folder = Folder::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let server = Server::start_on(&emulator, &folder).await;
        ids.push(server.acs_id(&server.session(ALICE).await).await);
        server.stop().await;
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_customer_whose_user_was_deleted_at_acs_gets_another_one() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    let first = server.acs_id(&session).await;
    let client = IdentityClient::from_connection_string(&emulator.connection_string(), None).expect("a client");
    client.delete_user(&first.parse().expect("an ACS ID"), None).await.expect("it is deleted");
    let second = server.acs_id(&session).await;
    assert_ne!(first, second);
    assert_eq!(who_is(&server, &session, &first).await, None);
    assert_eq!(who_is(&server, &session, &second).await.as_deref(), Some(ALICE.0));
    server.stop().await;
}

#[tokio::test]
async fn an_acs_id_leads_to_its_customer_alone_and_in_a_roster() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    let alice = server.acs_id(&session).await;
    let bob = server.acs_id(&server.session(BOB).await).await;
    let nobody = "8:acs:somebody_else";
    assert_eq!(who_is(&server, &session, &alice).await.as_deref(), Some(ALICE.0));
    assert_eq!(who_is(&server, &session, &bob.replace(':', "%3A")).await.as_deref(), Some(BOB.0));
    assert_eq!(who_is(&server, &session, nobody).await, None);

    let roster = server.post("/roster", &session, &json!({ "acsIds": [bob, nobody, alice, bob] })).await;
    let customers: Vec<&Value> =
        roster.body["people"].as_array().expect("people").iter().map(|one| &one["customerId"]).collect();
    assert_eq!(customers, [&json!(BOB.0), &Value::Null, &json!(ALICE.0), &json!(BOB.0)]);
    for ids in [json!(vec![nobody; 251]), json!([""]), json!(nobody)] {
        let reply = server.post("/roster", &session, &json!({ "acsIds": ids })).await;
        assert_eq!(reply.refusal(), (400, "bad_request"));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_account_is_deleted_as_a_whole_also_after_a_failure_half_way() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let [alice, elsewhere] = [server.session(ALICE).await, server.session(ALICE).await];
    let bob = server.session(BOB).await;
    let reply = server.request("POST", "/token", &alice).await;
    let (id, token) = (reply.text("acsId"), reply.text("token"));
    let bobs_id = server.acs_id(&bob).await;
    let event = json!([{ "id": "1", "eventType": "X", "data": { "senderId": id, "recipientId": bobs_id } }]);
    assert_eq!(server.deliver(&event).await.body["received"], 1);

    emulator.faults().next_of(Operation::DeleteUser, Fault::Status { status: 403, retry_after: None });
    assert_eq!(server.request("DELETE", "/account", &alice).await.refusal(), (500, "internal"));
    assert_eq!(who_is(&server, &alice, &id).await.as_deref(), Some(ALICE.0));

    assert_eq!(server.request("DELETE", "/account", &alice).await.status, 204);
    assert!(!emulator.is_token_valid(token));
    assert_eq!(emulator.users().iter().map(|user| user.id().as_str()).collect::<Vec<_>>(), [&bobs_id]);
    for session in [&alice, &elsewhere] {
        assert_eq!(server.request("POST", "/token", session).await.refusal(), (401, "no_session"));
    }
    assert_eq!(server.login(ALICE).await.refusal(), (401, "wrong_credentials"));
    assert_eq!(who_is(&server, &bob, &id).await, None);
    assert_eq!(who_is(&server, &bob, &bobs_id).await.as_deref(), Some(BOB.0));
    assert_eq!(server.request("GET", "/events", &bob).await.body, json!({ "events": [] }));
    server.signal("-TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_token_that_is_asked_for_while_the_account_is_deleted_makes_no_new_user() {
    let emulator = Emulator::start().await.expect("an emulator");
    let server = Server::start(&emulator).await;
    let session = server.session(ALICE).await;
    server.acs_id(&session).await;
    emulator.faults().next_of(Operation::DeleteUser, Fault::Latency(SLOW));
    let later = async {
        while emulator.faults().queued() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.request("POST", "/token", &session).await
    };
    let (deleted, refused) = tokio::join!(server.request("DELETE", "/account", &session), later);
    assert_eq!((deleted.status, refused.refusal()), (204, (401, "no_session")));
    assert_eq!(emulator.users(), []);
    server.stop().await;
}

/// The customer, or `None` for the answer that there is none.
async fn who_is(server: &Server, session: &str, id: &str) -> Option<String> {
    let reply = server.request("GET", &format!("/users/{id}"), session).await;
    if reply.status == 200 {
        return Some(reply.text("customerId"));
    }
    assert_eq!(reply.refusal(), (404, "not_found"));
    None
}

/// How often somebody has asked for a new user.
fn created(emulator: &Emulator) -> usize {
    emulator.calls().iter().filter(|call| call.operation() == Some(Operation::CreateUser)).count()
}
