//! The example `quickstart`: the main job, on its own data and on other.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::process::Stdio;

use acs_identity_tests::{Folder, command, root, run};
use serde_json::{Value, json};

const NO_ARGS: &[&str] = &[];

/// The bundled mappings, as the file has them.
fn bundled() -> HashMap<String, String> {
    let text = fs::read_to_string(root().join("examples/data/mappings.csv")).expect("the bundled mappings");
    let rows = text.lines().skip(1).map(|row| row.split_once(',').expect("two columns"));
    rows.map(|(acs_id, customer)| (acs_id.to_owned(), customer.to_owned())).collect()
}

#[test]
fn every_known_participant_is_resolved_and_the_unknown_are_null() {
    let run = run("quickstart", &["--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let lines = run.json_lines();
    let types: Vec<_> = lines.iter().map(|line| line["eventType"].as_str().expect("a type")).collect();
    let names = [
        "CallParticipantAdded",
        "CallStarted",
        "ChatMessageReceived",
        "ChatThreadCreatedWithUser",
        "IncomingCall",
        "SMSReceived",
    ];
    assert_eq!(types, names.map(|name| format!("Microsoft.Communication.{name}")));

    let mappings = bundled();
    let mut known = 0;
    let mut unknown_users = 0;
    for participant in lines.iter().flat_map(|line| line["participants"].as_array().expect("participants")) {
        let customer = mappings.get(participant["acsId"].as_str().expect("an ID"));
        assert_eq!(participant["customerId"].as_str(), customer.map(String::as_str), "{participant}");
        known += usize::from(customer.is_some());
        unknown_users += usize::from(customer.is_none() && participant["identityType"] == "User");
    }
    assert_eq!((known, unknown_users), (10, 1));
}

#[test]
fn the_table_is_aligned_and_ends_with_the_counters() {
    let run = run("quickstart", NO_ARGS);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let (table, counters) = run.stdout.split_once("\n\n").expect("a table and counters");
    let rows: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
    let header: String = rows[0].iter().collect();
    for column in ["event", "role", "ACS ID", "type", "customer"] {
        let at = header.find(column).expect("a column");
        for row in &rows {
            assert!(at == 0 || row[at - 2..at] == [' ', ' '] && row[at] != ' ', "{column} in {row:?}");
        }
    }
    let row = |parts: &[&str]| table.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(
        row(&["ChatMessageReceived", "sender", "8:acs:109f0644…084822001724", "User", "bob@contoso.com"]),
        "{table}"
    );
    assert!(row(&["IncomingCall", "from", "8:acs:98e4cbef…343a0d006e10", "User", "(unknown)"]), "{table}");
    assert!(row(&["SMSReceived", "from", "4:15555555555", "Pstn", " 15555555555"]), "{table}");
    assert!(!table.contains("bc360ba8-d29b"), "IDs are shortened");

    let hits = counters.strip_prefix("cache: hits ").and_then(|rest| rest.split(',').next()).expect("a number");
    assert!(hits.parse::<u64>().expect("a number") > 0, "{counters}");
    for name in ["negative hits", "misses", "joined", "loaded", "failed 0", "refused as stale 0", "evicted 0"] {
        assert!(counters.contains(name), "{counters}");
    }
}

#[test]
fn the_temporary_folder_is_removed() {
    let folder = Folder::new();
    let temporary = folder.file("tmp/.keep", "").parent().expect("a folder").to_owned();
    for args in [&[] as &[&str], &["--json"], &["--store", "memory"]] {
        let output = command("quickstart", args).env("TMPDIR", &temporary).env("TMP", &temporary).output();
        assert!(output.expect("the example runs").status.success());
        assert_eq!(fs::read_dir(&temporary).expect("the folder").count(), 1, "{args:?}");
    }
}

#[test]
fn help_names_every_option() {
    let run = run("quickstart", &["--help"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for option in ["--events", "--mappings", "--store memory", "--store sqlite:", "--json"] {
        assert!(run.stdout.contains(option), "{option}");
    }
}

/// Events of both schemas with identities of every type, as they come from nowhere else.
fn events() -> Vec<(&'static str, Value)> {
    let user = "8:acs:aaaaaaaa-0000-4000-8000-000000000001_0000000a-1111-2222-3333-444444444444";
    let teams = "8:orgid:aaaaaaaa-0000-4000-8000-000000000002";
    let extension = "8:gcch-acs:res_tenant_user";
    let bot = "28:orgid:aaaaaaaa-0000-4000-8000-00000000000b";
    let chat = json!([{
        "id": "1", "eventType": "Microsoft.Communication.ChatMessageReceived", "subject": "thread/19:x",
        "data": {
            "messageBody": "8:acs:not_a-participant", "metadata": { "senderId": "8:acs:nor_this" },
            "senderId": user, "senderCommunicationIdentifier": { "rawId": user, "communicationUser": { "id": user } },
            "recipientCommunicationIdentifier": {
                "rawId": teams, "microsoftTeamsUser": { "userId": "aaaaaaaa-0000-4000-8000-000000000002" }
            }
        }
    }, {
        "id": "2", "eventType": "Microsoft.Communication.CallParticipantAdded",
        "data": {
            "user": { "communicationIdentifier": { "rawId": bot, "microsoftTeamsApp": { "appId": bot[9..] } }, "role": "x" },
            "startedBy": { "communicationIdentifier": {
                "kind": "phoneNumber", "rawId": "4:anonymous", "phoneNumber": { "value": "anonymous", "isAnonymous": true }
            } }
        }
    }]);
    let cloud = json!({
        "specversion": "1.0", "id": "3", "source": "/contoso", "type": "Microsoft.Communication.SMSReceived",
        "data": { "from": "+14255550123", "to": "14255550124", "message": "Hi" }
    });
    let unheard_of = json!({
        "specversion": "1.0", "id": "4", "source": "/contoso", "type": "Contoso.SomethingNew",
        "data": { "agent": { "rawId": "48:echo" }, "userRawId": extension, "untouchedText": "8:acs:plain_text" }
    });
    vec![("a.json", chat), ("b.json", cloud), ("c.json", unheard_of)]
}

const MAPPINGS: &str = "\
acs_id,customer_id
8:acs:aaaaaaaa-0000-4000-8000-000000000001_0000000a-1111-2222-3333-444444444444,\"Müller, \"\"Jo\"\"\"
8:gcch-acs:res_tenant_user,customer-3
4:+14255550123,phone-owner
28:orgid:aaaaaaaa-0000-4000-8000-00000000000b,bot-owner
48:echo,echo
";

fn expected() -> Vec<Value> {
    let one = |role: &str, acs_id: &str, identity_type: &str, customer_id: Option<&str>| json!({ "role": role, "acsId": acs_id, "identityType": identity_type, "customerId": customer_id });
    vec![
        json!({ "eventType": "Microsoft.Communication.ChatMessageReceived", "participants": [
            one("recipient", "8:orgid:aaaaaaaa-0000-4000-8000-000000000002", "User", None),
            one(
                "sender",
                "8:acs:aaaaaaaa-0000-4000-8000-000000000001_0000000a-1111-2222-3333-444444444444",
                "User",
                Some("Müller, \"Jo\""),
            ),
        ] }),
        json!({ "eventType": "Microsoft.Communication.CallParticipantAdded", "participants": [
            one("startedBy", "4:anonymous", "Pstn", None),
            one("participant", "28:orgid:aaaaaaaa-0000-4000-8000-00000000000b", "Bot", Some("bot-owner")),
        ] }),
        json!({ "eventType": "Microsoft.Communication.SMSReceived", "participants": [
            one("from", "4:+14255550123", "Pstn", Some("phone-owner")),
            one("to", "4:14255550124", "Pstn", None),
        ] }),
        json!({ "eventType": "Contoso.SomethingNew", "participants": [
            one("agent", "48:echo", "Unknown", Some("echo")),
            one("user", "8:gcch-acs:res_tenant_user", "User", Some("customer-3")),
        ] }),
    ]
}

#[test]
fn other_events_and_mappings_come_out_right_from_every_store() {
    let folder = Folder::new();
    for (name, events) in events() {
        folder.file(&format!("events/{name}"), events.to_string());
    }
    folder.file("events/README.txt", "not JSON");
    folder.file("events/deeper.json/d.json", "not JSON");
    let (events, mappings) = (folder.path("events"), folder.file("mappings.csv", MAPPINGS));
    for store in [None, Some("memory".into()), Some(folder.sqlite("mappings.db"))] {
        let mut args = vec!["--json".as_ref(), "--events".as_ref(), events.as_os_str(), "--mappings".as_ref()];
        args.push(mappings.as_os_str());
        if let Some(store) = &store {
            args.extend(["--store".as_ref(), store.as_os_str()]);
        }
        let run = run("quickstart", &args);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{store:?}");
        assert_eq!(run.json_lines(), expected(), "{store:?}");
        let first = r#"{"eventType":"Microsoft.Communication.ChatMessageReceived","participants":[{"role":"recipient","acsId":"8:orgid:"#;
        assert!(run.stdout.starts_with(first), "the order of the properties is part of the output");
    }
}

#[test]
fn a_single_file_and_one_event_without_an_array_are_enough() {
    let folder = Folder::new();
    let event = folder.file("event", r#"{"eventType":"X","data":{"senderId":"8:acs:a_1"}}"#);
    let run = run("quickstart", &["--json".as_ref(), "--events".as_ref(), event.as_os_str()]);
    assert_eq!(run.code, Some(0));
    let sender = json!({ "role": "sender", "acsId": "8:acs:a_1", "identityType": "User", "customerId": null });
    assert_eq!(run.json_lines(), [json!({ "eventType": "X", "participants": [sender] })]);
}

#[test]
fn the_table_shows_phones_and_bots_by_their_own_identity_unless_they_are_mapped() {
    let folder = Folder::new();
    for (name, events) in events() {
        folder.file(&format!("events/{name}"), events.to_string());
    }
    let none = folder.file("none.csv", "acs_id,customer_id\n");
    let table = |mappings: &OsStr| {
        let (events, store) = (folder.path("events"), "memory");
        let args = ["--events".as_ref(), events.as_os_str(), "--mappings".as_ref(), mappings, "--store".as_ref()];
        let run = run("quickstart", &[&args[..], &[store.as_ref()]].concat());
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stdout
    };
    let unmapped = table(none.as_os_str());
    let mapped = table(folder.file("mappings.csv", MAPPINGS).as_os_str());
    let shows = |table: &str, id: &str, who: &str| table.lines().any(|line| line.contains(id) && line.ends_with(who));
    assert!(shows(&unmapped, "Bot", "  aaaaaaaa-0000-4000-8000-00000000000b"), "{unmapped}");
    assert!(shows(&unmapped, "4:+14255550123", "  +14255550123"), "{unmapped}");
    assert!(shows(&unmapped, "4:anonymous", "  (number withheld)"), "{unmapped}");
    assert!(shows(&unmapped, "48:echo", "  (unknown)"), "{unmapped}");
    assert!(shows(&mapped, "Bot", "  bot-owner"), "{mapped}");
    assert!(shows(&mapped, "4:+14255550123", "  phone-owner"), "{mapped}");
    assert!(shows(&mapped, "48:echo", "  echo"), "{mapped}");
}

#[test]
fn a_second_run_on_the_same_file_says_the_same() {
    let folder = Folder::new();
    let store = folder.sqlite("mappings.db");
    let first = run("quickstart", &["--json".as_ref(), "--store".as_ref(), store.as_os_str()]);
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    let second = run("quickstart", &["--json".as_ref(), "--store".as_ref(), store.as_os_str()]);
    assert_eq!((second.code, second.stderr.as_str()), (Some(0), ""));
    assert_eq!(second.stdout, first.stdout);

    let bundled = root().join("examples/data/mappings.csv");
    let args = ["--json".as_ref(), "--store".as_ref(), store.as_os_str(), "--mappings".as_ref(), bundled.as_os_str()];
    let third = run("quickstart", &args);
    assert_eq!((third.code, third.stdout), (Some(0), first.stdout));
}

#[test]
fn the_bundled_mappings_stay_out_of_a_store_that_has_some() {
    let folder = Folder::new();
    let store = folder.sqlite("mappings.db");
    let own = folder.file("own.csv", "acs_id,customer_id\n8:acs:a_1,ann\n");
    let to_store = ["--json".as_ref(), "--store".as_ref(), store.as_os_str()];
    run("quickstart", &[&to_store[..], &["--mappings".as_ref(), own.as_os_str()]].concat());
    let run = run("quickstart", &to_store);
    assert_eq!(run.code, Some(0));
    let people = run.json_lines();
    let mut people = people.iter().flat_map(|line| line["participants"].as_array().expect("participants"));
    assert!(people.all(|one| one["customerId"].is_null()));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = Folder::new();
    let event = json!({ "eventType": "X", "data": { "senderId": "8:acs:a_1" } });
    let events = folder.file("events.json", Value::from(vec![event; 5000]).to_string());
    for format in [&["--json"] as &[&str], &[]] {
        let mut quickstart = command("quickstart", format);
        let mut child = quickstart.arg("--events").arg(&events).stdin(Stdio::null()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    }
}
