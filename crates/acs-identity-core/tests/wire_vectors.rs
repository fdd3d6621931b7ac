//! The JSON form of identifiers, out and in.

use std::fmt::Debug;

use acs_identity_core::{
    AcsId, CommunicationIdentifier, CommunicationIdentifierModel, Cursor, CustomerId, IdentifierObject, IdentityType,
    Mapping, Mismatch, Properties, Revision, Timestamp,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const T: &str = "45ab2481-1c1c-4005-be24-0ffb879b1130";
const U: &str = "207ffef6-9444-41fb-92ab-20eacaae2768";

fn id(text: &str) -> AcsId {
    AcsId::new(text).expect("a legal ID")
}

#[track_caller]
fn read(value: Value) -> CommunicationIdentifierModel {
    serde_json::from_value(value).expect("a model")
}

/// The message with which a value is refused.
#[track_caller]
fn refused(value: Value) -> String {
    serde_json::from_value::<CommunicationIdentifierModel>(value).expect_err("no model").to_string()
}

#[track_caller]
fn reads_unknown(value: Value, raw_id: &str) {
    let model = read(value);
    assert!(model.identifier() == CommunicationIdentifier::Unknown { id: raw_id }, "{model:?}");
    assert_eq!(model.acs_id().as_str(), raw_id);
}

/// One raw ID of each kind, with its form.
const WRITTEN: [(&str, &str, &str); 10] = [
    ("communicationUser", "8:acs:r_u", r#""rawId":"8:acs:r_u","communicationUser":{"id":"8:acs:r_u"}"#),
    ("phoneNumber", "4:+1425", r#""rawId":"4:+1425","phoneNumber":{"value":"+1425","isAnonymous":false}"#),
    (
        "phoneNumber",
        "4:+1425_7",
        r#""rawId":"4:+1425_7","phoneNumber":{"value":"+1425_7","isAnonymous":false,"assertedId":"7"}"#,
    ),
    ("phoneNumber", "4:anonymous", r#""rawId":"4:anonymous","phoneNumber":{"value":"anonymous","isAnonymous":true}"#),
    (
        "microsoftTeamsUser",
        "8:dod:u",
        r#""rawId":"8:dod:u","microsoftTeamsUser":{"userId":"u","isAnonymous":false,"cloud":"dod"}"#,
    ),
    (
        "microsoftTeamsUser",
        "8:teamsvisitor:v",
        r#""rawId":"8:teamsvisitor:v","microsoftTeamsUser":{"userId":"v","isAnonymous":true,"cloud":"public"}"#,
    ),
    ("microsoftTeamsApp", "28:gcch:a", r#""rawId":"28:gcch:a","microsoftTeamsApp":{"appId":"a","cloud":"gcch"}"#),
    (
        "teamsExtensionUser",
        "8:acs:r_t_u",
        r#""rawId":"8:acs:r_t_u","teamsExtensionUser":{"userId":"u","tenantId":"t","resourceId":"r","cloud":"public"}"#,
    ),
    ("unknown", "28:x", r#""rawId":"28:x""#),
    ("unknown", "a\"b", r#""rawId":"a\"b""#),
];

#[test]
fn both_forms_are_written_as_the_javascript_sdk_writes_them() {
    for (_, raw_id, fields) in WRITTEN {
        let expected = format!("{{{fields}}}");
        assert_eq!(serde_json::to_string(&id(raw_id).identifier()).unwrap(), expected);
        assert_eq!(serde_json::to_string(&CommunicationIdentifierModel::from(&id(raw_id))).unwrap(), expected);
    }
}

#[test]
fn the_kind_comes_first_where_it_is_asked_for() {
    for (kind, raw_id, fields) in WRITTEN {
        let model = CommunicationIdentifierModel::from(&id(raw_id)).with_kind();
        assert_eq!(serde_json::to_string(&model).unwrap(), format!(r#"{{"kind":"{kind}",{fields}}}"#));
        assert_eq!(model.identifier(), id(raw_id).identifier());
    }
    // A given one is kept, even a wrong one.
    let model = read(json!({"kind": "unknown", "rawId": "4:1", "phoneNumber": {"value": "1"}}));
    assert_eq!(model.with_kind().kind(), Some("unknown"));
}

#[test]
fn what_is_written_is_read_back_without_mismatch() {
    for (kind, raw_id, fields) in WRITTEN {
        for text in [format!("{{{fields}}}"), format!(r#"{{"kind":"{kind}",{fields}}}"#)] {
            let model: CommunicationIdentifierModel = serde_json::from_str(&text).unwrap();
            assert_eq!((model.acs_id(), model.mismatch()), (&id(raw_id), None));
            assert_eq!(model.identifier(), id(raw_id).identifier());
            assert_eq!(serde_json::to_string(&model).unwrap(), text);
        }
    }
}

#[test]
fn more_than_one_object_is_an_error() {
    let error =
        refused(json!({"rawId": "8:acs:a_b", "communicationUser": {"id": "8:acs:a_b"}, "phoneNumber": {"value": "1"}}));
    assert!(error.contains("communicationUser") && error.contains("phoneNumber"), "{error}");
    // Counted before their fields are looked at.
    assert!(refused(json!({"microsoftTeamsApp": {}, "teamsExtensionUser": 7})).contains("exclude"));
}

#[test]
fn null_is_absent() {
    let model = read(json!({
        "kind": null, "rawId": null, "communicationUser": null, "microsoftTeamsUser": null,
        "phoneNumber": {"value": "+1", "isAnonymous": null, "assertedId": null}
    }));
    assert_eq!(model.acs_id().as_str(), "4:+1");
    assert_eq!((model.kind(), model.raw_id(), model.mismatch()), (None, None, None));
    reads_unknown(json!({"rawId": "8:acs:a_b", "communicationUser": null, "phoneNumber": null}), "8:acs:a_b");
    assert!(refused(json!({"communicationUser": {"id": null}})).contains("`communicationUser.id` is missing"));
}

#[test]
fn a_kind_without_its_object_is_unknown() {
    let value = json!({"kind": "communicationUser", "rawId": "8:acs:a_b"});
    assert_eq!(read(value.clone()).mismatch(), Some(Mismatch::Kind));
    reads_unknown(value, "8:acs:a_b");
    reads_unknown(json!({"kind": "phoneNumber", "rawId": "4:+1234555000"}), "4:+1234555000");
    assert_eq!(read(json!({"kind": "unknown", "rawId": "x"})).mismatch(), None);
}

#[test]
fn a_kind_that_contradicts_the_object_is_unknown() {
    let value = json!({"kind": "phoneNumber", "rawId": "8:acs:a_b", "communicationUser": {"id": "8:acs:c_d"}});
    let model = read(value.clone());
    assert_eq!(model.mismatch(), Some(Mismatch::Kind));
    assert_eq!(serde_json::to_value(&model).unwrap(), value);
    reads_unknown(value, "8:acs:a_b");
    assert!(refused(json!({"kind": "phoneNumber", "communicationUser": {"id": "8:acs:a_b"}})).contains("`rawId`"));
}

#[test]
fn a_kind_that_the_sdks_do_not_know_is_unknown() {
    let model = read(json!({"kind": "hologram", "rawId": "9:x", "hologram": {"id": "x"}}));
    assert_eq!((model.kind(), model.mismatch()), (Some("hologram"), None));
    reads_unknown(json!({"kind": "hologram", "rawId": "9:x"}), "9:x");
    reads_unknown(json!({"kind": "hologram", "rawId": "9:x", "communicationUser": {"id": "8:acs:a_b"}}), "9:x");
    reads_unknown(json!({"kind": "PhoneNumber", "rawId": "4:1", "phoneNumber": {"value": "1"}}), "4:1");
}

#[test]
fn a_raw_id_alone_and_other_properties_are_unknown() {
    reads_unknown(json!({"rawId": "42", "someOtherProp": true}), "42");
    // Not typed in the view, as in the SDKs, but the ID tells more.
    let model = read(json!({"rawId": "8:acs:a_b"}));
    assert_eq!((model.identifier().kind(), model.acs_id().identifier().kind()), ("unknown", "communicationUser"));
}

#[test]
fn a_missing_raw_id_is_made_of_the_object() {
    for (value, raw_id) in [
        (json!({"communicationUser": {"id": "8:acs:a_b"}}), "8:acs:a_b"),
        (json!({"communicationUser": {"id": "someFutureFormat"}}), "someFutureFormat"),
        (json!({"kind": "phoneNumber", "phoneNumber": {"value": "+112345556789"}}), "4:+112345556789"),
        (json!({"phoneNumber": {"value": "112345556789"}}), "4:112345556789"),
        (json!({"microsoftTeamsUser": {"userId": "u"}}), "8:orgid:u"),
        (json!({"microsoftTeamsUser": {"userId": "u", "cloud": "public", "isAnonymous": false}}), "8:orgid:u"),
        (json!({"microsoftTeamsUser": {"userId": "u", "cloud": "dod"}}), "8:dod:u"),
        (json!({"microsoftTeamsUser": {"userId": "u", "cloud": "gcch"}}), "8:gcch:u"),
        (json!({"microsoftTeamsUser": {"userId": "u", "isAnonymous": true}}), "8:teamsvisitor:u"),
        (json!({"microsoftTeamsUser": {"userId": "u", "isAnonymous": true, "cloud": "dod"}}), "8:teamsvisitor:u"),
        (json!({"microsoftTeamsApp": {"appId": "a"}}), "28:orgid:a"),
        (json!({"microsoftTeamsApp": {"appId": "a", "cloud": "gcch"}}), "28:gcch:a"),
        (json!({"teamsExtensionUser": {"userId": "u", "tenantId": "t", "resourceId": "r"}}), "8:acs:r_t_u"),
        (
            json!({"teamsExtensionUser": {"userId": "u", "tenantId": "t", "resourceId": "r", "cloud": "dod"}}),
            "8:dod-acs:r_t_u",
        ),
    ] {
        let model = read(value);
        assert_eq!((model.acs_id().as_str(), model.raw_id(), model.mismatch()), (raw_id, None, None));
        assert_eq!(model.identifier().to_raw_id(), raw_id);
        // Every serialiser sends the raw ID.
        assert_eq!(serde_json::to_value(&model).unwrap()["rawId"], raw_id);
    }
}

#[test]
fn a_given_raw_id_wins_but_over_the_id_of_a_communication_user() {
    let teams =
        |user_id: &str, is_anonymous| json!({"userId": user_id, "isAnonymous": is_anonymous, "cloud": "public"});
    let extension = json!({"userId": "u", "tenantId": "t", "resourceId": "r", "cloud": "public"});
    for (kind, object, raw_id) in [
        ("microsoftTeamsUser", teams(T, false), "8:orgid:legacyFormat".to_owned()),
        ("microsoftTeamsUser", teams(T, true), "8:orgid:legacyFormat".to_owned()),
        ("microsoftTeamsUser", teams("override", true), format!("8:teamsvisitor:{T}")),
        ("phoneNumber", json!({"value": "+112345556789"}), "4:otherFormat".to_owned()),
        ("phoneNumber", json!({"value": "otherFormat"}), format!("4:{U}")),
        ("phoneNumber", json!({"value": "otherFormat"}), format!("4:{U}_{U}")),
        ("phoneNumber", json!({"value": "otherFormat"}), format!("4:+112345556789_{U}")),
        ("phoneNumber", json!({"value": "+1234555000_123", "assertedId": "123"}), "4:+1234555000".to_owned()),
        ("phoneNumber", json!({"value": "+override"}), "4:14255550123".to_owned()),
        ("teamsExtensionUser", extension, "8:acs:resource_tenant_user".to_owned()),
    ] {
        let model = read(json!({"rawId": raw_id, kind: object}));
        assert_eq!((model.acs_id().as_str(), model.mismatch()), (raw_id.as_str(), Some(Mismatch::RawId)));
        assert_eq!(model.identifier().kind(), kind);
        assert_eq!(serde_json::to_value(&model).unwrap()["rawId"], raw_id);
    }
    let model = read(json!({"rawId": "8:acs:raw", "communicationUser": {"id": "8:acs:id"}}));
    assert_eq!((AcsId::from(&model), model.raw_id()), (id("8:acs:id"), Some(&id("8:acs:raw"))));
    assert_eq!(model.mismatch(), Some(Mismatch::RawId));
    assert_eq!(model.identifier(), CommunicationIdentifier::CommunicationUser { id: "8:acs:id" });
}

#[test]
fn the_object_is_kept_as_given_and_missing_flags_get_their_defaults() {
    let model = read(json!({"rawId": "4:anonymous", "phoneNumber": {"value": "anonymous"}}));
    assert_eq!(
        model.object(),
        Some(&IdentifierObject::PhoneNumber { value: "anonymous".into(), is_anonymous: false, asserted_id: None })
    );
    // The ID itself still tells.
    assert!(matches!(model.acs_id().identifier(), CommunicationIdentifier::PhoneNumber { is_anonymous: true, .. }));
    assert_eq!(model.mismatch(), None);
    let model = read(json!({"rawId": "8:orgid:u", "microsoftTeamsUser": {"userId": "u", "someProp": {"deep": 1}}}));
    let object =
        IdentifierObject::MicrosoftTeamsUser { user_id: "u".into(), is_anonymous: false, cloud: "public".into() };
    assert_eq!(model.object(), Some(&object));
}

#[test]
fn an_unknown_cloud_needs_a_raw_id_and_is_kept() {
    for (kind, object) in [
        ("microsoftTeamsUser", json!({"userId": "u", "isAnonymous": false, "cloud": "moon"})),
        ("microsoftTeamsApp", json!({"appId": "a", "cloud": "moon"})),
        ("teamsExtensionUser", json!({"userId": "u", "tenantId": "t", "resourceId": "r", "cloud": "moon"})),
    ] {
        let raw_id = match kind {
            "microsoftTeamsUser" => "8:moon:u",
            "microsoftTeamsApp" => "28:moon:a",
            _ => "8:moon-acs:r_t_u",
        };
        let value = json!({"rawId": raw_id, kind: object});
        let model = read(value.clone());
        assert_eq!(serde_json::to_value(&model).unwrap(), value);
        assert_eq!((model.mismatch(), model.clone().with_kind().kind()), (None, Some(kind)));
        reads_unknown(value, raw_id);
        assert!(refused(json!({kind: object})).contains("`cloud`"));
        // Also where the raw ID is the public one, as SDKs write it that do not know the cloud.
        let public = ["8:orgid:u", "28:orgid:a", "8:acs:r_t_u"];
        let agreeing = public.map(|raw_id| read(json!({"rawId": raw_id, kind: object})).mismatch().is_none());
        assert_eq!(agreeing.iter().filter(|agrees| **agrees).count(), 1, "{kind}");
        for raw_id in ["8:moon:other", "8:moon:uu", "28:moon:aa", "8:moon-acs:x_t_u", "4:u", "4:a", "u", "a"] {
            assert_eq!(read(json!({"rawId": raw_id, kind: object})).mismatch(), Some(Mismatch::RawId), "{raw_id}");
        }
    }
}

#[test]
fn flags_that_the_raw_id_does_not_bear_out_are_a_mismatch() {
    let phone = |raw_id: &str, object: Value| read(json!({"rawId": raw_id, "phoneNumber": object})).mismatch();
    for (raw_id, object) in [
        ("4:+1", json!({"value": "+1", "assertedId": "9"})),
        ("4:+1_7", json!({"value": "+1_7", "assertedId": "9"})),
        ("4:+1", json!({"value": "+1", "isAnonymous": true})),
        ("4:anonymous_1", json!({"value": "anonymous_1", "isAnonymous": true})),
        ("4:anonymous", json!({"value": "anonymous", "isAnonymous": true, "assertedId": "9"})),
    ] {
        assert_eq!(phone(raw_id, object.clone()), Some(Mismatch::RawId), "{object}");
        // Also of the raw ID that is made of the object.
        assert_eq!(read(json!({"phoneNumber": object})).mismatch(), Some(Mismatch::RawId), "{object}");
    }
    for (raw_id, object) in [
        ("4:anonymous", json!({"value": "anonymous"})),
        ("4:anonymous", json!({"value": "anonymous", "isAnonymous": false})),
        ("4:+1_7", json!({"value": "+1_7"})),
        ("4:+1_7", json!({"value": "+1_7", "assertedId": "7"})),
        ("4:+1_", json!({"value": "+1_", "assertedId": ""})),
    ] {
        assert_eq!(phone(raw_id, object.clone()), None, "{object}");
    }
}

#[test]
fn missing_and_wrong_properties_are_named() {
    for (value, named) in [
        (json!({}), "`rawId`"),
        (json!({"someProp": true}), "`rawId`"),
        (json!({"kind": "unknown"}), "`rawId`"),
        (json!({"rawId": ""}), "`rawId`"),
        (json!({"rawId": "a\u{0}"}), "`rawId`"),
        (json!({"rawId": 7}), "`rawId`"),
        (json!({"kind": true, "rawId": "x"}), "`kind`"),
        (json!({"communicationUser": {}}), "`communicationUser.id`"),
        (json!({"communicationUser": {"id": ""}}), "`communicationUser`"),
        (json!({"communicationUser": {"id": "x".repeat(513)}, "rawId": "x"}), "`communicationUser`"),
        (json!({"communicationUser": "8:acs:a_b"}), "`communicationUser`"),
        (json!({"communicationUser": ["8:acs:a_b"], "rawId": "x"}), "`communicationUser`"),
        (json!({"phoneNumber": {}}), "`phoneNumber.value`"),
        (json!({"phoneNumber": {"value": "1", "isAnonymous": "no"}}), "`phoneNumber.isAnonymous`"),
        (json!({"phoneNumber": {"value": "1", "assertedId": 1}}), "`phoneNumber.assertedId`"),
        (json!({"phoneNumber": {"value": 14255550123_u64}}), "`phoneNumber.value`"),
        (json!({"microsoftTeamsUser": {"isAnonymous": false}}), "`microsoftTeamsUser.userId`"),
        (json!({"microsoftTeamsUser": {"userId": "u", "cloud": 1}}), "`microsoftTeamsUser.cloud`"),
        (json!({"microsoftTeamsApp": {"cloud": "public"}}), "`microsoftTeamsApp.appId`"),
        (json!({"teamsExtensionUser": {"tenantId": "t", "resourceId": "r"}}), "`teamsExtensionUser.userId`"),
        (json!({"teamsExtensionUser": {"userId": "u", "resourceId": "r"}}), "`teamsExtensionUser.tenantId`"),
        (json!({"teamsExtensionUser": {"userId": "u", "tenantId": "t"}}), "`teamsExtensionUser.resourceId`"),
        (json!("8:acs:a_b"), "object"),
        (json!(null), "object"),
    ] {
        let error = refused(value.clone());
        assert!(error.contains(named), "{value}: {error}");
    }
}

#[test]
fn no_error_and_no_debug_repeats_a_private_text() {
    let secret = "+14255550123-private-and-longer-than-an-excerpt";
    for value in [json!(secret), json!({"rawId": [secret]}), json!({"phoneNumber": secret}), json!({"kind": [secret]})]
    {
        assert!(!refused(value).contains("4255550123"));
    }
    for value in [
        json!({"rawId": secret}),
        json!({"phoneNumber": {"value": secret, "assertedId": secret}}),
        json!({"communicationUser": {"id": secret}}),
        json!({"rawId": secret, "microsoftTeamsUser": {"userId": secret, "cloud": "moon"}}),
    ] {
        let model = read(value);
        let shown = format!("{model:?} {:?} {:?}", model.object(), model.identifier());
        assert!(!shown.contains("4255550123"), "{shown}");
    }
}

/// Checks that a value of a wrong type is refused with the type that it has, and without the value.
#[track_caller]
fn hides_wrong_types<T: DeserializeOwned + Debug>(with: impl Fn(Value) -> Value, wrong: &[(Value, &str)]) {
    for (value, got) in wrong {
        let json = with(value.clone()).to_string();
        let placed = serde_json::from_str::<T>(&json).expect_err("a wrong type");
        for error in [&placed, &serde_json::from_value::<T>(with(value.clone())).expect_err("a wrong type")] {
            let message = error.to_string();
            assert!(message.contains(got) && message.contains("expected"), "{json}: {message}");
            assert!(!message.contains("4255550123") && !message.contains("private"), "{message}");
            assert!(message.len() < 150, "{message}");
        }
        // The place is told all the same.
        assert_eq!(placed.line(), 1, "{placed}");
    }
}

#[test]
fn no_error_of_a_stored_value_repeats_the_input() {
    let secret = "+14255550123, expected \"private` text at line 7 column 3";
    let text = (json!(secret), "invalid type: string, expected");
    let number = (json!(14255550123_u64), "invalid type: integer, expected");
    let negative = (json!(-14255550123_i64), "integer, expected");
    let float = (json!(14255550123.5), "invalid type: floating point, expected");
    let list = (json!([secret, 14255550123_u64]), "invalid type: sequence, expected");
    let object = (json!({secret: 1}), "invalid type: map, expected");
    let same = |value| value;
    let no_text = [number.clone(), negative.clone(), float.clone(), list.clone(), object.clone()];
    hides_wrong_types::<AcsId>(same, &no_text);
    hides_wrong_types::<CustomerId>(same, &no_text);
    hides_wrong_types::<Cursor>(same, &no_text);
    let no_number = [text.clone(), negative.clone(), float.clone(), list.clone(), object.clone()];
    hides_wrong_types::<Revision>(same, &no_number);
    hides_wrong_types::<Timestamp>(same, &no_number);
    hides_wrong_types::<IdentityType>(same, &[(json!(secret), "unknown variant, expected one of `User`")]);
    hides_wrong_types::<Properties>(same, &[text.clone(), number.clone(), float.clone(), list]);
    hides_wrong_types::<Properties>(|value| json!({"n": value}), &no_text);
    hides_wrong_types::<Mapping>(same, &[text, number, float]);
    let stored = Mapping::new(id("8:acs:a_b"), CustomerId::from(7), Revision::new(1), Timestamp::from_micros(1));
    let stored = serde_json::to_value(stored).unwrap();
    for (field, wrong) in
        [("acs_id", &no_text), ("customer_id", &no_text), ("revision", &no_number), ("expires_at", &no_number)]
    {
        let with = |value| {
            let mut stored = stored.clone();
            stored[field] = value;
            stored
        };
        hides_wrong_types::<Mapping>(with, wrong);
    }
    // A key that is no field is passed over, and one that is given twice or missing is named, since it is no data.
    let mut more = stored.clone();
    more[secret] = json!(secret);
    assert_eq!(serde_json::from_value::<Mapping>(more).unwrap().customer_id, CustomerId::from(7));
    for (json, told) in
        [(r#"{"acs_id":"a","acs_id":"+14255550123"}"#, "duplicate field `acs_id`"), ("{}", "missing field")]
    {
        let error = serde_json::from_str::<Mapping>(json).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("4255550123"), "{error}");
    }
    // What is no JSON is still told as that.
    assert!(serde_json::from_str::<Mapping>(r#"{"acs_id":"a"#).unwrap_err().is_eof());
    assert!(serde_json::from_str::<AcsId>(r#""a"#).unwrap_err().is_eof());
}

proptest! {
    #[test]
    fn every_id_comes_back_through_the_wire(text in "(4:|8:(acs|dod-acs|gcch-acs|spool|orgid|teamsvisitor):|28:(dod|gcch):)?[a-z_:+\"é]{1,12}") {
        let id = id(&text);
        let written = serde_json::to_string(&CommunicationIdentifierModel::from(&id)).unwrap();
        let model: CommunicationIdentifierModel = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(model.mismatch(), None);
        prop_assert_eq!(model.identifier(), id.identifier());
        prop_assert_eq!(AcsId::from(&model), id);
    }
}
