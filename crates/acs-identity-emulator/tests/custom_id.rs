//! `customId`: its idempotence, and its race.

mod common;

use std::collections::HashSet;

use acs_identity_emulator::Emulator;
use common::{Answer, Call, PREVIEW, created, issued, path, post};
use serde_json::json;

const CREATE: &str = r#"{"customId":"bob+1@contoso.com"}"#;

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["identity"]["id"].as_str().expect("an ID").to_owned()
}

/// Ten requests to create the user of one `customId`, at once.
async fn ten_at_once(emulator: &Emulator) -> Vec<Answer> {
    let create = || async { post(emulator, "/identities", PREVIEW, CREATE).await };
    let (a, b, c, d, e) = tokio::join!(create(), create(), create(), create(), create());
    let (f, g, h, i, j) = tokio::join!(create(), create(), create(), create(), create());
    vec![a, b, c, d, e, f, g, h, i, j]
}

#[tokio::test]
async fn one_custom_id_is_one_user_whoever_asks_at_once() {
    let emulator = Emulator::start().await.unwrap();
    let ids: HashSet<String> = ten_at_once(&emulator).await.iter().map(id).collect();
    assert_eq!((ids.len(), emulator.users().len()), (1, 1));
    assert_eq!(emulator.users()[0].custom_id(), Some("bob+1@contoso.com"));
    // Another case is another one.
    let other = post(&emulator, "/identities", PREVIEW, &CREATE.to_uppercase().replace("CUSTOMID", "customId")).await;
    assert!(!ids.contains(&id(&other)));
}

#[tokio::test]
async fn a_user_is_told_with_its_custom_id_and_last_token() {
    let emulator = Emulator::start().await.unwrap();
    let bob = post(&emulator, "/identities", PREVIEW, CREATE).await;
    assert_eq!(bob.json(), json!({ "identity": { "id": id(&bob), "customId": "bob+1@contoso.com" } }));
    assert!(bob.body.contains(r"bob\u002B1@contoso.com"));
    let get = async || {
        let answer = Call::new(&emulator, "GET", &path(&id(&bob), ""), PREVIEW, "").send(&emulator).await;
        assert_eq!(answer.status, 200);
        answer.json()
    };
    assert_eq!(get().await, bob.json()["identity"]);
    issued(&emulator, &id(&bob)).await;
    let told = get().await;
    let last = told["lastTokenIssuedAt"].as_str().unwrap();
    assert!(last.len() == 33 && last.ends_with("+00:00"), "{last}");
    // A repeated request to create it tells the same, and with scopes it issues a token.
    assert_eq!(post(&emulator, "/identities", PREVIEW, CREATE).await.json()["identity"], told);
    let again = CREATE.replace('}', r#","createTokenWithScopes":["chat"]}"#);
    let again = post(&emulator, "/identities", PREVIEW, &again).await;
    assert_eq!(id(&again), id(&bob));
    assert!(emulator.is_token_valid(again.json()["accessToken"]["token"].as_str().unwrap()));
    assert_eq!(emulator.tokens_of(id(&bob)).len(), 2);
    // One without a `customId` has none.
    let plain = created(&emulator).await;
    let answer = Call::new(&emulator, "GET", &path(&plain, ""), PREVIEW, "").send(&emulator).await;
    assert_eq!(answer.json(), json!({ "id": plain }));
}

#[tokio::test]
async fn a_custom_id_has_1_to_256_characters_and_is_free_after_a_deletion() {
    let emulator = Emulator::start().await.unwrap();
    let with = async |custom_id: &str| {
        post(&emulator, "/identities", PREVIEW, &json!({ "customId": custom_id }).to_string()).await
    };
    let long = "ü".repeat(256);
    let first = id(&with(&long).await);
    for wrong in ["", &format!("{long}x")] {
        let refused = with(wrong).await.error();
        assert_eq!(refused, "400 ValidationError: customId must have 1 to 256 characters. (customId)");
    }
    assert_eq!(post(&emulator, "/identities", PREVIEW, r#"{"customId":7}"#).await.status, 400);
    Call::new(&emulator, "DELETE", &path(&first, ""), PREVIEW, "").send(&emulator).await;
    assert_ne!(id(&with(&long).await), first);
}

#[tokio::test]
async fn with_the_race_on_several_users_are_made_and_later_calls_fail() {
    let emulator = Emulator::builder().custom_id_race(true).start().await.unwrap();
    // One after the other there is no race.
    let alone = r#"{"customId":"alone"}"#;
    assert_eq!(
        id(&post(&emulator, "/identities", PREVIEW, alone).await),
        id(&post(&emulator, "/identities", PREVIEW, alone).await)
    );
    let answers = ten_at_once(&emulator).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(made > 1 && emulator.users().len() == 1 + made, "{answers:?}");
    let multiple = "409 MultipleIdentitiesForCustomId: Multiple identities exist for the provided customId. (customId)";
    assert_eq!(post(&emulator, "/identities", PREVIEW, CREATE).await.error(), multiple);
    // With one left it works again.
    for user in &emulator.users()[2..] {
        Call::new(&emulator, "DELETE", &path(user.id().as_str(), ""), PREVIEW, "").send(&emulator).await;
    }
    assert_eq!(id(&post(&emulator, "/identities", PREVIEW, CREATE).await), emulator.users()[1].id().as_str());
}
