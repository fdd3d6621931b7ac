//! The example `quickstart` on bad input: one sentence that names the place, and nothing stored is lost.

use std::ffi::OsStr;
use std::fs;

use acs_identity_tests::{Folder, Run, run};
use serde_json::json;

const EVENT: &str = r#"[{"eventType":"X","data":{"senderId":"8:acs:a_1","recipientId":"8:acs:a_2"}}]"#;

/// Runs with an event of `8:acs:a_1` and `8:acs:a_2` on these mappings, in this store.
fn with_mappings(folder: &Folder, mappings: &OsStr, store: &OsStr) -> Run {
    let event = folder.file("event.json", EVENT);
    let args = ["--json", "--events"].map(OsStr::new);
    let stored = [event.as_os_str(), "--mappings".as_ref(), mappings, "--store".as_ref(), store];
    run("quickstart", &[&args[..], &stored].concat())
}

fn refused(folder: &Folder, mappings: impl AsRef<[u8]>) -> String {
    let file = folder.file("m.csv", mappings);
    let run = with_mappings(folder, file.as_os_str(), "memory".as_ref());
    let folder = file.parent().and_then(|folder| folder.to_str()).expect("a folder");
    run.refusal().replace(folder, "DIR")
}

#[test]
fn bad_mappings_are_refused_with_file_and_line() {
    let folder = Folder::new();
    let header = "acs_id,customer_id\n";
    let with_header = |rows: &[u8]| [header.as_bytes(), rows].concat();
    let cases: [(Vec<u8>, &str); 15] = [
        (vec![], "DIR/m.csv: the file is empty; its first line must be acs_id,customer_id"),
        (b"\n\r\n".to_vec(), "DIR/m.csv: the file is empty; its first line must be acs_id,customer_id"),
        (b"8:acs:a_1,ann\n".to_vec(), r#"DIR/m.csv:1: the header must be acs_id,customer_id, not "8:acs:a_1,ann""#),
        (
            b"customer_id,acs_id\n".to_vec(),
            r#"DIR/m.csv:1: the header must be acs_id,customer_id, not "customer_id,acs_id""#,
        ),
        (
            vec![b'x'; 10_000_000],
            r#"DIR/m.csv:1: the header must be acs_id,customer_id, not "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"… (9999968 bytes more)"#,
        ),
        (b"\xff\xfe\0\0".to_vec(), r#"DIR/m.csv:1: the header must be acs_id,customer_id, not "\xff\xfe\x00\x00""#),
        (with_header(b"8:acs:a_1\n"), "DIR/m.csv:2: a row has 2 columns, not 1"),
        (with_header(b"8:acs:a_1,ann,bob\n"), "DIR/m.csv:2: a row has 2 columns, not 3"),
        (with_header(b"8:acs:a_1,ann\n,bob\n"), "DIR/m.csv:3: ACS ID is empty"),
        (with_header(b"8:acs:a_1,\n"), "DIR/m.csv:2: customer ID is empty"),
        (
            with_header(b"8:acs:a_1,ann\n\n\n8:acs:a_2,b\x07b\n"),
            r#"DIR/m.csv:5: customer ID has a control character at byte 1: "b\x07""#,
        ),
        (
            with_header(b"8:acs:a_1,ann\r\n8:acs:a_2,b\xffb\r\n"),
            r#"DIR/m.csv:3: customer ID is not UTF-8 at byte 1: "b\xffb""#,
        ),
        (
            with_header(&[b"8:acs:a_1,ann\n8:acs:a_2,".to_vec(), vec![b's'; 10_000_000]].concat()),
            r#"DIR/m.csv:3: customer ID has 10000000 bytes, more than 512: "ssssssssssssssssssssssssssssssss"… (9999968 bytes more)"#,
        ),
        (
            with_header(b"8:acs:a_1,ann\n8:acs:a_2,bob\n8:acs:a_1,eve\n"),
            "DIR/m.csv:4: line 2 has the same ACS ID for another customer",
        ),
        // An open quote takes in the lines that follow it.
        (with_header(b"8:acs:a_1,ann\n\"8:acs:a_2,bob\n8:acs:a_3,eve\n"), "DIR/m.csv:3: a row has 2 columns, not 1"),
    ];
    for (mappings, sentence) in cases {
        assert_eq!(refused(&folder, mappings), format!("error: {sentence}"));
    }
}

#[test]
fn mappings_may_have_either_line_end_a_byte_order_mark_quotes_and_empty_lines() {
    let folder = Folder::new();
    for mappings in [
        "acs_id,customer_id\n8:acs:a_1,ann\n8:acs:a_2,bob",
        "\u{feff}acs_id,customer_id\r\n8:acs:a_1,ann\r\n8:acs:a_2,bob\r\n",
        "\nacs_id,customer_id\n\n\"8:acs:a_1\",\"ann\"\n8:acs:a_2,bob\n8:acs:a_2,bob\n\n",
    ] {
        let file = folder.file("m.csv", mappings);
        let run = with_mappings(&folder, file.as_os_str(), "memory".as_ref());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let participants = &run.json_lines()[0]["participants"];
        assert_eq!((&participants[0]["customerId"], &participants[1]["customerId"]), (&json!("bob"), &json!("ann")));
    }
}

#[test]
fn bad_events_are_refused_with_their_file() {
    let folder = Folder::new();
    let cases: [(Vec<u8>, &str); 8] = [
        (vec![], "there is no JSON: the input is empty"),
        (vec![b'x'; 10_000_000], "not valid JSON: expected value at line 1 column 1"),
        (b"[\n  {\"eventType\": \"X\",\n".to_vec(), "not valid JSON: EOF while parsing"),
        (b"{\"eventType\": \"\xff\"}".to_vec(), "not UTF-8 at byte 15"),
        (b"{\"eventType\": \"a\x01b\"}".to_vec(), "not valid JSON: control character"),
        (b"[{\"eventType\":\"X\"}, 7]".to_vec(), "event [1]: an event must be an object"),
        (b"{\"type\":\"X\"}".to_vec(), "`eventType` is missing"),
        (vec![b'['; 10_000_000], "not valid JSON: recursion limit exceeded"),
    ];
    for (events, sentence) in cases {
        let file = folder.file("e.json", events);
        let run = run("quickstart", &["--events".as_ref(), file.as_os_str()]);
        let told = run.refusal();
        let place = format!("error: {}: ", file.display());
        assert!(told.starts_with(&place) && told[place.len()..].starts_with(sentence), "{told}");
        assert!(told.len() < place.len() + 120, "{told}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let folder = Folder::new();
    let missing = folder.path("missing");
    let reason = fs::read(&missing).expect_err("it is missing");
    for option in ["--events", "--mappings"] {
        let run = run("quickstart", &[option.as_ref(), missing.as_os_str()]);
        assert_eq!(run.refusal(), format!("error: {}: {reason}", missing.display()));
    }
    let empty = folder.file("empty/notes.txt", "").parent().expect("a folder").to_owned();
    let run = run("quickstart", &["--events".as_ref(), empty.as_os_str()]);
    assert_eq!(run.refusal(), format!("error: {}: there is no *.json in this folder", empty.display()));
}

#[test]
fn a_wrong_command_line_is_told_in_one_sentence() {
    let long = format!("--{}", "x".repeat(100));
    for (args, sentence) in [
        (&["--nonsense"] as &[&str], r#"there is no option "--nonsense"; see --help"#),
        (&[&long], r#"there is no option "--xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"… (70 bytes more); see --help"#),
        (&["events.json"], r#"there is no option "events.json"; see --help"#),
        (&["--json", "--events"], "the path after --events is missing; see --help"),
        (&["--mappings"], "the path after --mappings is missing; see --help"),
        (&["--store"], "the store after --store is missing; see --help"),
        (&["--store", "redis"], r#"a store is memory or sqlite:PATH, not "redis""#),
        (&["--store", "sqlite:"], r#"a store is memory or sqlite:PATH, not "sqlite:""#),
    ] {
        assert_eq!(run("quickstart", args).refusal(), format!("error: {sentence}"));
    }
}

#[test]
fn a_conflicting_row_is_named_and_takes_nothing_from_the_store() {
    let folder = Folder::new();
    let store = folder.sqlite("mappings.db");
    let good = folder.file("good.csv", "acs_id,customer_id\n8:acs:a_1,ann\n8:acs:a_2,bob\n");
    let before = with_mappings(&folder, good.as_os_str(), &store);
    assert_eq!(before.code, Some(0), "{before:?}");

    let bad = folder.file("bad.csv", "acs_id,customer_id\n8:acs:a_3,joe\n\n8:acs:a_1,eve\n");
    let run = with_mappings(&folder, bad.as_os_str(), &store);
    let place = format!("error: {}:4: conflict: ", bad.display());
    assert!(run.refusal().starts_with(&place), "{run:?}");
    assert!(!run.stderr.contains("ann") && !run.stderr.contains("eve"));

    assert_eq!(with_mappings(&folder, good.as_os_str(), &store).stdout, before.stdout);
}

#[test]
fn nothing_is_stored_of_a_file_with_a_bad_row() {
    let folder = Folder::new();
    let store = folder.sqlite("mappings.db");
    let bad = folder.file("bad.csv", "acs_id,customer_id\n8:acs:a_1,eve\n8:acs:a_2\n");
    with_mappings(&folder, bad.as_os_str(), &store).refusal();
    let good = folder.file("good.csv", "acs_id,customer_id\n8:acs:a_1,ann\n");
    let run = with_mappings(&folder, good.as_os_str(), &store);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.json_lines()[0]["participants"][1]["customerId"], "ann");
}

#[test]
fn bad_input_does_not_touch_what_is_stored() {
    let folder = Folder::new();
    let store = folder.sqlite("mappings.db");
    let good = folder.file("good.csv", "acs_id,customer_id\n8:acs:a_1,ann\n8:acs:a_2,bob\n");
    let before = with_mappings(&folder, good.as_os_str(), &store);
    let inputs: [&[u8]; 4] = [b"", b"\xff\xfe", b"{\"eventType\":7}", &[b'x'; 10_000_000]];
    for input in inputs {
        let file = folder.file("bad", input);
        for option in ["--events", "--mappings"] {
            let args = [option.as_ref(), file.as_os_str(), "--store".as_ref(), store.as_os_str()];
            run("quickstart", &args).refusal();
        }
    }
    assert_eq!(with_mappings(&folder, good.as_os_str(), &store).stdout, before.stdout);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let file = folder.file("notes.txt", "These are notes, and no database at all. ".repeat(200));
    let before = fs::read(&file).expect("the file");
    let run = run("quickstart", &["--store".as_ref(), folder.sqlite("notes.txt").as_os_str()]);
    assert!(run.refusal().starts_with(&format!("error: {}: ", file.display())), "{run:?}");
    assert_eq!(fs::read(&file).expect("the file"), before);
}

#[test]
fn a_rejected_id_is_told_with_its_place_and_the_others_are_shown() {
    let folder = Folder::new();
    let events = json!([
        { "eventType": "X", "data": { "senderId": "8:acs:a_1" } },
        { "eventType": "X", "data": { "senderId": "8:acs:a\u{7}1", "recipientId": "8:acs:a_2" } },
        { "eventType": "X", "data": { "participants": [{ "participantCommunicationIdentifier": { "rawId": 7 } }] } },
    ]);
    let file = folder.file("e.json", events.to_string());
    let run = run("quickstart", &["--json".as_ref(), "--events".as_ref(), file.as_os_str()]);
    assert_eq!(run.code, Some(1));
    let lines = run.json_lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["participants"][0]["acsId"], "8:acs:a_1");
    assert_eq!(lines[1]["participants"][0]["acsId"], "8:acs:a_2");
    assert_eq!(lines[2]["participants"], json!([]));
    let told: Vec<&str> = run.stderr.lines().collect();
    let place = |event: usize, path: &str| format!("error: {}: event [{event}]: {path}: ", file.display());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with(&place(1, "data.senderId")), "{told:?}");
    assert!(told[1].starts_with(&place(2, "data.participants[0].participantCommunicationIdentifier")), "{told:?}");
}
