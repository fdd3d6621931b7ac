//! The example `identify`.

use acs_identity_tests::{run, run_with_input};
use serde_json::{Value, json};

const NO_ARGS: &[&str] = &[];

const RESOURCE: &str = "bbbcbc1e-9f06-482a-b5d8-20e3f26ef0cd";
const TENANT: &str = "45ab2481-1c1c-4005-be24-0ffb879b1130";
const USER: &str = "207ffef6-9444-41fb-92ab-20eacaae2768";

/// Every kind in every cloud: the raw ID, its kind, the object of that kind, and its identity type.
fn vectors() -> Vec<(String, &'static str, Value, &'static str)> {
    let mut vectors = Vec::new();
    for prefix in ["8:acs", "8:spool", "8:dod-acs", "8:gcch-acs"] {
        let id = format!("{prefix}:{RESOURCE}_{TENANT}");
        vectors.push((id.clone(), "communicationUser", json!({ "id": id }), "User"));
    }
    for (prefix, cloud) in [("8:acs", "public"), ("8:dod-acs", "dod"), ("8:gcch-acs", "gcch")] {
        let object = json!({ "userId": USER, "tenantId": TENANT, "resourceId": RESOURCE, "cloud": cloud });
        vectors.push((format!("{prefix}:{RESOURCE}_{TENANT}_{USER}"), "teamsExtensionUser", object, "User"));
    }
    for (segment, cloud) in [("orgid", "public"), ("dod", "dod"), ("gcch", "gcch")] {
        let user = json!({ "userId": USER, "isAnonymous": false, "cloud": cloud });
        vectors.push((format!("8:{segment}:{USER}"), "microsoftTeamsUser", user, "User"));
        let app = json!({ "appId": USER, "cloud": cloud });
        vectors.push((format!("28:{segment}:{USER}"), "microsoftTeamsApp", app, "Bot"));
    }
    let visitor = json!({ "userId": USER, "isAnonymous": true, "cloud": "public" });
    vectors.push((format!("8:teamsvisitor:{USER}"), "microsoftTeamsUser", visitor, "User"));
    for (value, asserted_id) in [("+112345556789", None), ("112345556789", None), ("_123", Some("123")), ("x_", None)] {
        let mut object = json!({ "value": value, "isAnonymous": false });
        if let Some(asserted_id) = asserted_id {
            object["assertedId"] = asserted_id.into();
        }
        vectors.push((format!("4:{value}"), "phoneNumber", object, "Pstn"));
    }
    let anonymous = json!({ "value": "anonymous", "isAnonymous": true });
    vectors.push(("4:anonymous".to_owned(), "phoneNumber", anonymous, "Pstn"));
    for id in ["28:ag08-global:x", "48:x", "28:x", "8:ACS:a_b", "8:acs:a:b", "bob@contoso.com", "--help", "日本"] {
        vectors.push((id.to_owned(), "unknown", Value::Null, "Unknown"));
    }
    vectors
}

fn expected() -> Vec<Value> {
    let line = |(raw_id, kind, object, identity_type): (String, &str, Value, &str)| {
        let mut line = json!({ "kind": kind, "rawId": raw_id, "identityType": identity_type });
        if !object.is_null() {
            line[kind] = object;
        }
        line
    };
    vectors().into_iter().map(line).collect()
}

#[test]
fn every_kind_in_every_cloud_is_told_in_its_wire_form() {
    let ids: Vec<String> = vectors().into_iter().map(|vector| vector.0).collect();
    let run = run("identify", &ids);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.json_lines(), expected());
}

#[test]
fn ids_on_standard_input_are_read_one_a_line_with_either_line_end() {
    let ids: Vec<String> = vectors().into_iter().map(|vector| vector.0).collect();
    for input in [ids.join("\n"), ids.join("\n") + "\n", ids.join("\r\n") + "\r\n"] {
        let run = run_with_input("identify", NO_ARGS, input.as_bytes());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        assert_eq!(run.json_lines(), expected());
    }
}

#[test]
fn an_illegal_id_has_a_line_too_and_the_exit_status_is_1_at_the_end() {
    let long = "x".repeat(513);
    let run = run("identify", &["4:+14255550123", "", "8:acs:a\u{7}b", &long, "28:orgid:echo"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let lines = run.json_lines();
    assert_eq!(lines.len(), 5);
    assert_eq!((&lines[0]["identityType"], &lines[4]["identityType"]), (&json!("Pstn"), &json!("Bot")));
    assert_eq!(lines[1], json!({ "input": "", "error": "ACS ID is empty" }));
    let control = r#"ACS ID has a control character at byte 7: "8:acs:a\x07""#;
    assert_eq!(lines[2], json!({ "input": "8:acs:a\u{7}b", "error": control }));
    assert_eq!(lines[3], json!({ "input": "x".repeat(32), "error": "ACS ID has more than 512 bytes" }));
}

#[test]
fn an_empty_line_is_an_illegal_id_but_the_end_of_the_last_line_is_none() {
    let run = run_with_input("identify", NO_ARGS, b"4:1\n\n4:2\n");
    assert_eq!(run.code, Some(1));
    assert_eq!(run.json_lines().len(), 3);
    assert_eq!(run.json_lines()[1], json!({ "input": "", "error": "ACS ID is empty" }));
}

#[test]
fn no_input_is_no_output() {
    let run = run("identify", NO_ARGS);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn invalid_utf8_is_told_with_its_place_and_replaced_in_the_echo() {
    let run = run_with_input("identify", NO_ARGS, b"8:acs:\xff\xfe\n4:1\n");
    assert_eq!(run.code, Some(1));
    let error = r#"ACS ID is not UTF-8 at byte 6: "8:acs:\xff\xfe""#;
    assert_eq!(run.json_lines()[0], json!({ "input": "8:acs:\u{fffd}\u{fffd}", "error": error }));
    assert_eq!(run.json_lines()[1]["kind"], "phoneNumber");
}

#[cfg(unix)]
#[test]
fn an_argument_of_invalid_utf8_is_an_illegal_id() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let run = run("identify", &[OsStr::from_bytes(b"4:\xff")]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.json_lines()[0]["input"], "4:\u{fffd}");
}

#[test]
fn the_echo_is_cut_between_characters() {
    // Byte 32 is inside of a character of each width.
    for (begin, wide) in [("x", "é"), ("", "日"), ("x", "😀"), ("xx", "😀"), ("xxx", "😀")] {
        let input = format!("{begin}{}\u{1}", wide.repeat(40));
        let run = run("identify", &[&input]);
        let line = &run.json_lines()[0];
        let echo = line["input"].as_str().expect("an echo");
        assert!(input.starts_with(echo), "{echo}");
        assert!(echo.len() <= 32 && echo.len() + wide.len() > 32, "{echo}");
    }
    // A byte that is no UTF-8 becomes a replacement of three.
    let run = run_with_input("identify", NO_ARGS, &[0xff; 100]);
    assert_eq!(run.json_lines()[0]["input"], "\u{fffd}".repeat(10));
}

#[test]
fn the_longest_legal_line_is_read_whole_and_a_longer_one_does_not_disturb_the_next() {
    let longest = "x".repeat(512);
    for (end, too_long) in [("\n", 513), ("\r\n", 513), ("\n", 514), ("\r\n", 514), ("\n", 10_000_000)] {
        let input = format!("{longest}{end}{}{end}4:1{end}", "x".repeat(too_long));
        let run = run_with_input("identify", NO_ARGS, input.as_bytes());
        assert_eq!(run.code, Some(1));
        let lines = run.json_lines();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["rawId"].as_str(), Some(longest.as_str()));
        assert_eq!(lines[1], json!({ "input": "x".repeat(32), "error": "ACS ID has more than 512 bytes" }));
        assert_eq!(lines[2]["rawId"], "4:1");
    }
}
