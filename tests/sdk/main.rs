//! The official clients of Python and JavaScript on the emulator: all that they have works there, what is refused they report,
//! and the Rust client sends what they send.
//!
//! `cargo xtask test --sdk` installs them, and runs this.
#![allow(clippy::unwrap_used)]

mod rust;
mod script;
mod stage;
mod wire;

use std::path::Path;
use std::{env, iter};

use acs_identity::emulator::{Emulator, TokenState};
use script::Language;
use stage::{Sdk, Stage};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the official clients: cargo xtask test --sdk"]
async fn the_python_client_does_all_it_can_and_sends_what_the_rust_client_sends() {
    compare(Sdk::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the official clients: cargo xtask test --sdk"]
async fn the_python_client_for_asyncio_does_all_it_can_and_sends_what_the_rust_client_sends() {
    compare(Sdk::PythonAsync).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the official clients: cargo xtask test --sdk"]
async fn the_javascript_client_does_all_it_can_and_sends_what_the_rust_client_sends() {
    compare(Sdk::JavaScript).await;
}

#[tokio::test]
#[ignore = "needs the official clients: cargo xtask test --sdk"]
async fn the_examples_for_python_and_javascript_in_the_emulators_document_are_tests_that_pass() {
    let document = include_str!("../../docs/emulator.md");
    // All of a language are one script.
    let script = |language| -> String {
        document.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
    };
    // They start the program by its name; it is beside the other one.
    let folder = Path::new(env!("CARGO_BIN_EXE_peer")).parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(iter::once(folder).chain(env::split_paths(&path))).unwrap();
    let python = Language::Python.test(&script("python"), "PATH", &path).await;
    assert!(python.contains("2 passed"), "{python}");
    let javascript = Language::JavaScript.test(&script("js"), "PATH", &path).await;
    assert!(javascript.contains("pass 1"), "{javascript}");
}

async fn compare(sdk: Sdk) {
    let theirs = Stage::start().await;
    theirs.run(sdk).await;
    // The suite has checked what the client made of it, this is what it did.
    assert_done(&theirs.signed);
    assert_done(&theirs.bearer);
    assert_eq!(outcomes(&theirs.refusing), REFUSED);
    assert_eq!(outcomes(&theirs.stale), ["create-user 401"]);
    assert_eq!(outcomes(&theirs.throttled), THROTTLED);

    let ours = Stage::start().await;
    rust::run(&ours, &theirs.teams_token).await;
    assert_done(&ours.signed);
    assert_done(&ours.bearer);
    wire::assert_as_expected(sdk, &ours.signed, &theirs.signed);
    wire::assert_as_expected(sdk, &ours.bearer, &theirs.bearer);
}

/// What the emulator `refusing` was asked for.
const REFUSED: &[&str] = &[
    "create-user 201",           // to be deleted
    "create-user 400",           // in an unknown version
    "create-user 401",           // with a wrong key
    "create-user 401",           // with a token of Entra ID
    "create-user-and-token 400", // for 59 minutes
    "create-user-and-token 400", // for 1441 minutes
    "delete-user 204",
    "delete-user 401",   // of another resource
    "issue-token 400",   // for 59 minutes
    "issue-token 400",   // for 1441 minutes
    "issue-token 400",   // without scopes
    "issue-token 401",   // with a changed body
    "issue-token 401",   // to a user of another resource
    "issue-token 404",   // to the deleted user
    "revoke-tokens 401", // of a user of another resource
];

/// The first user, the second one with a retry, and a call without retries.
const THROTTLED: &[&str] = &["create-user 201", "create-user 201", "create-user 429", "revoke-tokens 429"];

/// The operations that an emulator was asked for, each with the status of its answer, sorted.
fn outcomes(emulator: &Emulator) -> Vec<String> {
    let calls = emulator.calls();
    let mut outcomes: Vec<_> =
        calls.iter().map(|call| format!("{} {}", call.operation().unwrap().name(), call.status().unwrap())).collect();
    outcomes.sort_unstable();
    outcomes
}

/// What every run leaves behind: three new users beside Bob, no Alice, and two revoked tokens of Bob's.
fn assert_done(emulator: &Emulator) {
    let expected = [
        "create-user 201",
        "create-user-and-token 201",
        "create-user-and-token 201",
        "delete-user 204",
        "exchange-teams-user-token 200",
        "issue-token 200",
        "issue-token 200",
        "revoke-tokens 204",
    ];
    assert_eq!(outcomes(emulator), expected);
    assert_eq!(emulator.users().len(), 4);
    assert!(emulator.user(stage::BOB).is_some() && emulator.user(stage::ALICE).is_none());
    let tokens = emulator.tokens_of(stage::BOB);
    assert!(tokens.iter().all(|token| token.state() == TokenState::Revoked));
    assert_eq!(tokens.iter().map(|token| token.scopes().join(" ")).collect::<Vec<_>>(), ["chat", "chat voip"]);
}
