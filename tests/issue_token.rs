//! The example `issue_token`.

use std::time::Duration;

use acs_identity::client::IdentityClient;
use acs_identity::emulator::{Emulator, Fault, Operation};
use acs_identity_tests::{Run, command};
use tokio::process::Command;

/// The example, without a connection string from the environment of the tests.
fn example(args: &[&str]) -> Command {
    let mut command = Command::from(command("issue_token", args));
    command.env_remove("ACS_CONNECTION_STRING").kill_on_drop(true);
    command
}

async fn run(mut command: Command) -> Run {
    command.output().await.expect("the example runs").into()
}

/// What the output says under this name.
fn told<'a>(run: &'a Run, name: &str) -> Option<&'a str> {
    let line = run.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim_start)
}

#[tokio::test]
async fn without_options_a_user_of_an_emulator_gets_a_token_which_is_not_shown() {
    let run = run(example(&[])).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(told(&run, "resource").is_some_and(|kind| kind.starts_with("an emulator")), "{run:?}");
    assert!(told(&run, "ACS ID").is_some_and(|id| id.starts_with("8:acs:")), "{run:?}");
    assert!(told(&run, "token until").is_some_and(|time| time.starts_with("20") && time.ends_with('Z')), "{run:?}");
    assert!(told(&run, "token length").is_some_and(|length| length.ends_with(" bytes")), "{run:?}");
    // The header of every JWT begins so.
    assert!(told(&run, "token").is_none() && !run.stdout.contains("eyJ"), "{run:?}");
}

#[tokio::test]
async fn an_empty_variable_is_an_unset_one() {
    let mut command = example(&[]);
    command.env("ACS_CONNECTION_STRING", "");
    let run = run(command).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(told(&run, "resource").is_some_and(|kind| kind.starts_with("an emulator")), "{run:?}");
}

#[tokio::test]
async fn the_connection_string_is_taken_from_either_place_and_not_printed() {
    let emulator = Emulator::start().await.expect("an emulator");
    let text = emulator.connection_string();
    let mut by_variable = example(&["--show-token"]);
    by_variable.env("ACS_CONNECTION_STRING", &text);
    for command in [by_variable, example(&["--connection-string", &text, "--show-token"])] {
        let run = run(command).await;
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        assert_eq!(told(&run, "resource"), Some("that of the connection string"));
        let token = told(&run, "token").expect("a token");
        assert!(emulator.is_token_valid(token));
        assert_eq!(told(&run, "token length"), Some(format!("{} bytes", token.len()).as_str()));
        assert!(emulator.user(told(&run, "ACS ID").expect("an ID")).is_some());
        assert!(!run.stdout.contains(&emulator.key()));
    }
    assert_eq!(emulator.users().len(), 2);
}

#[tokio::test]
async fn a_user_who_is_there_gets_a_token_as_asked_for() {
    let emulator = Emulator::start().await.expect("an emulator");
    let text = emulator.connection_string();
    let client = IdentityClient::from_connection_string(&text, None).expect("a client");
    let id = client.create_user(None).await.expect("a user").id;
    let args = ["--connection-string", &text, "--user", id.as_str(), "--scope", "chat.join", "--scope", "voip.join"];
    let run = run(example(&[&args[..], &["--minutes", "60"]].concat())).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(told(&run, "ACS ID"), Some(id.as_str()));
    let [token] = &emulator.tokens_of(&id)[..] else { panic!("one token") };
    assert_eq!(token.scopes(), ["chat.join", "voip.join"]);
    assert_eq!(token.expires_on().since(token.issued_at()), Duration::from_secs(3600));
    assert_eq!(emulator.users().len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_one_sentence_and_nothing_is_sent() {
    let emulator = Emulator::start().await.expect("an emulator");
    for (args, told) in [
        (&["--minutes", "59"][..], "a token lasts 60 to 1440 minutes, not 59"),
        (&["--minutes", "1441"], "not 1441"),
        (&["--minutes", "an hour"], "\"an hour\" is no number of minutes"),
        (&["--scope", ""], "a scope"),
        (&["--user", ""], "ACS ID is empty"),
        (&["--user", "4:+14255550123"], "communication user"),
        (&["--minutes"], "the number after --minutes is missing"),
        (&["--show-tokens"], "there is no option \"--show-tokens\""),
        (&["--connection-string=endpoint=https://hidden/;accesskey=hidden"], "there is no option"),
        (&["endpoint=https://hidden/;accesskey=hidden"], "there is no option"),
        (&["--connection-string", "endpoint=https://a/;accesskeyy=hidden"], "has no access key"),
        (&["--connection-string", ""], "has no endpoint"),
    ] {
        let mut command = example(args);
        command.env("ACS_CONNECTION_STRING", emulator.connection_string());
        let run = run(command).await;
        let refusal = run.refusal();
        assert!(refusal.contains(told) && !refusal.contains("hidden"), "{refusal}");
    }
    assert!(emulator.calls().is_empty());
}

#[tokio::test]
async fn what_the_service_refuses_is_told_with_its_code() {
    let emulator = Emulator::start().await.expect("an emulator");
    let text = emulator.connection_string();
    let foreign = run(example(&["--connection-string", &text, "--user", "8:acs:another-resource_user"])).await;
    assert!(foreign.refusal().contains("401") && !foreign.stderr.contains("another-resource"), "{foreign:?}");
    emulator.faults().next_of(Operation::CreateUserAndToken, Fault::CutAfter);
    let lost = run(example(&["--connection-string", &text])).await;
    assert!(lost.refusal().contains("outcome of the write unknown"), "{lost:?}");
    assert_eq!(emulator.users().len(), 1);
}
