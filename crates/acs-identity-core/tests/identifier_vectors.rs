//! Raw IDs and what the official SDKs read in them.

use acs_identity_core::CloudEnvironment::{Dod, Gcch, Public};
use acs_identity_core::CommunicationIdentifier::{
    self, CommunicationUser, MicrosoftTeamsApp, MicrosoftTeamsUser, PhoneNumber, TeamsExtensionUser, Unknown,
};
use acs_identity_core::{AcsId, IdentityType};

const R: &str = "bbbcbc1e-9f06-482a-b5d8-20e3f26ef0cd";
const T: &str = "45ab2481-1c1c-4005-be24-0ffb879b1130";
const U: &str = "207ffef6-9444-41fb-92ab-20eacaae2768";
const G: &str = "01234567-89ab-cdef-0123-456789abcdef";
const R2: &str = "3e74a9c2-5d0b-4f88-936c-7ea2b21d4b37";
const T2: &str = "7f43a902-8c6f-4b77-91e1-67d3f3f4bb1d";

/// Checks the reading of a raw ID, its type, and that it comes back.
#[track_caller]
fn reads(raw_id: &str, expected: CommunicationIdentifier<'_>, identity_type: IdentityType) {
    let id = AcsId::new(raw_id).expect("a legal ID");
    assert!(id.identifier() == expected, "{raw_id}: {:?}", id.identifier());
    assert_eq!(id.identity_type(), identity_type, "{raw_id}");
    assert_eq!(id.identifier().to_raw_id(), raw_id);
}

#[track_caller]
fn reads_user(raw_id: &str) {
    reads(raw_id, CommunicationUser { id: raw_id }, IdentityType::User);
}

#[track_caller]
fn reads_phone(raw_id: &str, asserted_id: Option<&str>) {
    let is_anonymous = raw_id == "4:anonymous";
    reads(raw_id, PhoneNumber { value: &raw_id[2..], is_anonymous, asserted_id }, IdentityType::Pstn);
}

#[track_caller]
fn reads_unknown(raw_id: &str) {
    reads(raw_id, Unknown { id: raw_id }, IdentityType::Unknown);
}

#[test]
fn communication_users_are_read_as_the_sdks_read_them() {
    for prefix in ["8:acs", "8:spool", "8:dod-acs", "8:gcch-acs"] {
        reads_user(&format!("{prefix}:{R}_{T}"));
    }
    reads_user("8:acs:something");
    reads_user(
        "8:acs:52a5e676-39a3-4f45-a8ed-5a162dbbd7eb_ext_cdc5aeea-15c5-4db6-b079-fcadd2505dc2_cab309e5-a2e7-4ac8-b04e-5fadc3aa90fa",
    );
    reads_user(&format!("8:acs:{R}_wf_{T}_{U}"));
    // The rule about three parts is for the three prefixes that end in `acs`.
    reads_user("8:spool:a_b_c");
}

#[test]
fn teams_users_are_read_as_the_sdks_read_them() {
    for (raw_id, user_id, is_anonymous, cloud) in [
        (format!("8:orgid:{T}"), T, false, Public),
        (format!("8:dod:{T}"), T, false, Dod),
        (format!("8:gcch:{T}"), T, false, Gcch),
        (format!("8:teamsvisitor:{T}"), T, true, Public),
        ("8:orgid:legacyFormat".to_owned(), "legacyFormat", false, Public),
    ] {
        reads(&raw_id, MicrosoftTeamsUser { user_id, is_anonymous, cloud }, IdentityType::User);
    }
}

#[test]
fn phone_numbers_are_read_as_the_sdks_read_them() {
    reads_phone("4:112345556789", None);
    reads_phone("4:+112345556789", None);
    reads_phone("4:otherFormat", None);
    reads_phone(&format!("4:{U}"), None);
    reads_phone(&format!("4:{U}_{U}"), Some(U));
    reads_phone(&format!("4:+112345556789_{U}"), Some(U));
    reads_phone(&format!("4:{U}_"), None);
    reads_phone(&format!("4:+112345556789_{U}_123"), Some("123"));
    reads_phone("4:_123", Some("123"));
    reads_phone("4:anonymous", None);
    reads_phone("4:anonymous_123", Some("123"));
    reads_phone("4:_anonymous", Some("anonymous"));
    reads_phone("4:14255550121_123", Some("123"));
    reads_phone("4:14255550121_123_456", Some("456"));
    reads_phone("4:14255550121.123", None);
    reads_phone("4:14255550121-123", None);
    reads_phone("4:anonymous123", None);
    reads_phone("4:Anonymous", None);
    reads_phone("4:+1_a_b", Some("b"));
    // What stands after `4:` may hold more colons.
    reads_phone("4:+1_2:3", Some("2:3"));
}

#[test]
fn teams_apps_are_read_as_the_sdks_read_them() {
    for app_id in [G, T] {
        for (prefix, cloud) in [("28:orgid", Public), ("28:gcch", Gcch), ("28:dod", Dod)] {
            reads(&format!("{prefix}:{app_id}"), MicrosoftTeamsApp { app_id, cloud }, IdentityType::Bot);
        }
    }
}

#[test]
fn teams_extension_users_are_read_as_the_sdks_read_them() {
    let parts = [
        (R, T, U),
        (R2, T2, T),
        (
            "52a5e676-39a3-4f45-a8ed-5a162dbbd7eb",
            "cdc5aeea-15c5-4db6-b079-fcadd2505dc2",
            "cab309e5-a2e7-4ac8-b04e-5fadc3aa90fa",
        ),
    ];
    for (resource_id, tenant_id, user_id) in parts {
        for (prefix, cloud) in [("8:acs", Public), ("8:gcch-acs", Gcch), ("8:dod-acs", Dod)] {
            let raw_id = format!("{prefix}:{resource_id}_{tenant_id}_{user_id}");
            reads(&raw_id, TeamsExtensionUser { user_id, tenant_id, resource_id, cloud }, IdentityType::User);
        }
    }
}

#[test]
fn everything_else_is_unknown() {
    reads_unknown(&format!("28:{T}"));
    for prefix in ["28:gcch-global", "28:dod-global", "28:ag08-global", "28:ag09-global", "28:gal-global", "48"] {
        reads_unknown(&format!("{prefix}:{G}"));
    }
    reads_unknown(&format!("48:{T}"));
    for raw_id in [
        "8:ORGID:x",
        "8:live:someone",
        "8:ag08-acs:a_b",
        "19:abc@thread.v2",
        "+14255550123",
        " 8:acs:a_b",
        "acs:a_b",
        "8:",
        "8:acs",
        "28:x",
        "40:x",
        "someFutureFormat",
    ] {
        reads_unknown(raw_id);
    }
}

#[test]
fn more_than_two_colons_are_unknown_as_in_javascript_and_dotnet() {
    for raw_id in ["8:orgid:x:y", "8:acs:a:b", "28:orgid:x:y", "8:orgid:x:", "8:acs:a:", "8:acs::", ":8:acs:a"] {
        reads_unknown(raw_id);
    }
}

#[test]
fn empty_parts_are_kept_where_javascript_and_dotnet_disagree() {
    reads("8:orgid:", MicrosoftTeamsUser { user_id: "", is_anonymous: false, cloud: Public }, IdentityType::User);
    reads("8:teamsvisitor:", MicrosoftTeamsUser { user_id: "", is_anonymous: true, cloud: Public }, IdentityType::User);
    reads("28:orgid:", MicrosoftTeamsApp { app_id: "", cloud: Public }, IdentityType::Bot);
    let extension =
        |resource_id, tenant_id, user_id| TeamsExtensionUser { user_id, tenant_id, resource_id, cloud: Public };
    reads("8:acs:a_b_", extension("a", "b", ""), IdentityType::User);
    reads("8:acs:_b_c", extension("", "b", "c"), IdentityType::User);
    reads("8:acs:__", extension("", "", ""), IdentityType::User);
    reads_user("8:acs:");
    reads_user("8:acs:a_b_c_");
    reads_phone("4:", None);
    reads_phone("4:x_", None);
}

#[test]
fn the_empty_text_is_no_acs_id() {
    assert!(AcsId::new("").unwrap_err().to_string().contains("empty"));
}

#[test]
fn typed_identifiers_get_the_raw_ids_that_the_sdks_give_them() {
    let teams_user = |is_anonymous, cloud| MicrosoftTeamsUser { user_id: T, is_anonymous, cloud };
    let phone = |value, is_anonymous, asserted_id| PhoneNumber { value, is_anonymous, asserted_id };
    let extension = |cloud| TeamsExtensionUser { user_id: U, tenant_id: T, resource_id: R, cloud };
    let user = format!("8:gcch-acs:{R}_{T}");
    let unknowns = [format!("28:{T}"), format!("28:ag08-global:{G}"), format!("48:{T}")];
    for (typed, raw_id) in [
        (CommunicationUser { id: &user }, user.clone()),
        (CommunicationUser { id: "someFutureFormat" }, "someFutureFormat".to_owned()),
        (teams_user(false, Public), format!("8:orgid:{T}")),
        (teams_user(false, Dod), format!("8:dod:{T}")),
        (teams_user(false, Gcch), format!("8:gcch:{T}")),
        (teams_user(true, Public), format!("8:teamsvisitor:{T}")),
        (teams_user(true, Gcch), format!("8:teamsvisitor:{T}")),
        (teams_user(true, Dod), format!("8:teamsvisitor:{T}")),
        (phone("+112345556789", false, None), "4:+112345556789".to_owned()),
        (phone("112345556789", false, None), "4:112345556789".to_owned()),
        // The flags of a phone number do not count.
        (phone("112345556789", true, Some("7")), "4:112345556789".to_owned()),
        (MicrosoftTeamsApp { app_id: G, cloud: Public }, format!("28:orgid:{G}")),
        (MicrosoftTeamsApp { app_id: G, cloud: Gcch }, format!("28:gcch:{G}")),
        (MicrosoftTeamsApp { app_id: G, cloud: Dod }, format!("28:dod:{G}")),
        (extension(Public), format!("8:acs:{R}_{T}_{U}")),
        (extension(Dod), format!("8:dod-acs:{R}_{T}_{U}")),
        (extension(Gcch), format!("8:gcch-acs:{R}_{T}_{U}")),
        (Unknown { id: &unknowns[0] }, unknowns[0].clone()),
        (Unknown { id: &unknowns[1] }, unknowns[1].clone()),
        (Unknown { id: &unknowns[2] }, unknowns[2].clone()),
    ] {
        assert_eq!(typed.to_raw_id(), raw_id, "{typed:?}");
    }
}

#[test]
fn kinds_have_their_names_on_the_wire() {
    for (raw_id, kind) in [
        ("8:acs:a_b", "communicationUser"),
        ("4:1", "phoneNumber"),
        ("8:orgid:a", "microsoftTeamsUser"),
        ("28:orgid:a", "microsoftTeamsApp"),
        ("8:acs:a_b_c", "teamsExtensionUser"),
        ("x", "unknown"),
    ] {
        assert_eq!(AcsId::new(raw_id).unwrap().identifier().kind(), kind);
    }
}
