//! Users and their tokens, over HTTP.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Clock, Timestamp};
use acs_identity_emulator::{Emulator, TokenState};
use acs_identity_testkit::ManualClock;
use common::{Call, FOREIGN, MINUTE, PREVIEW, STABLE, claims, created, issued, path, post, states};
use serde_json::json;

#[tokio::test]
async fn a_user_is_created_gets_tokens_and_is_deleted() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    assert!(id.starts_with(&format!("8:acs:{}_00000008-", emulator.resource_id())), "{id}");
    assert_eq!(emulator.users().len(), 1);
    assert_eq!(emulator.user(&id).unwrap().id().as_str(), id);

    let (first, second) = (issued(&emulator, &id).await, issued(&emulator, &id).await);
    assert_ne!(first, second);
    assert!(emulator.is_token_valid(&first) && emulator.is_token_valid(&second));
    let answer = post(&emulator, &path(&id, "/:revokeAccessTokens"), STABLE, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert!(!emulator.is_token_valid(&first) && !emulator.is_token_valid(&second));
    let third = issued(&emulator, &id).await;
    assert_eq!(states(&emulator, &id), [TokenState::Revoked, TokenState::Revoked, TokenState::Valid]);

    let answer = Call::new(&emulator, "DELETE", &path(&id, ""), STABLE, "").send(&emulator).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert!(emulator.users().is_empty() && emulator.tokens_of(&id).is_empty() && !emulator.is_token_valid(&third));
}

#[tokio::test]
async fn a_user_is_created_with_a_token_where_scopes_are_given() {
    let clock = ManualClock::new();
    clock.set(Timestamp::from_micros(1_687_937_411_891_972));
    let emulator = Emulator::builder().clock(Arc::new(clock.clone())).start().await.unwrap();
    let body = r#"{"createTokenWithScopes":["chat","voip.join","chat"],"expiresInMinutes":60}"#;
    let mut call = Call::new(&emulator, "POST", "/identities", STABLE, body);
    call.date = clock.now();
    let answer = call.send(&emulator).await;
    assert_eq!(answer.status, 201);
    let id = emulator.users()[0].id().as_str().to_owned();
    let token = answer.json()["accessToken"]["token"].as_str().unwrap().to_owned();
    // Byte for byte, with the escaped plus sign.
    let expiry = r"2023-06-28T08:30:11.8919720\u002B00:00";
    let wire = format!(r#"{{"accessToken":{{"expiresOn":"{expiry}","token":"{token}"}},"identity":{{"id":"{id}"}}}}"#);
    assert_eq!(answer.body, wire);

    let mut claims = claims(&token);
    assert!(claims.as_object_mut().unwrap().remove("jti").unwrap().is_string());
    let expected = json!({
        "skypeid": id.strip_prefix("8:").unwrap(),
        "scp": 1792,
        "csi": "1687937411",
        "exp": 1_687_937_411 + 3600,
        "iat": 1_687_937_411,
        "rgn": "amer",
        "acsScope": "chat,voip.join",
        "resourceId": emulator.resource_id(),
        "resourceLocation": "unitedstates",
    });
    assert_eq!(claims, expected);

    // None is asked for by an empty list or null.
    for body in [r#"{"createTokenWithScopes":[]}"#, r#"{"createTokenWithScopes":null}"#] {
        let mut call = Call::new(&emulator, "POST", "/identities", STABLE, body);
        call.date = clock.now();
        let answer = call.send(&emulator).await;
        assert_eq!((answer.status, answer.json().get("accessToken")), (201, None));
    }
}

#[tokio::test]
async fn a_token_lives_60_to_1440_minutes_and_1440_by_default() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    for minutes in ["59", "1441", "0", "-1", "60.5", "1e3", "18446744073709551616"] {
        let body = format!(r#"{{"scopes":["chat"],"expiresInMinutes":{minutes}}}"#);
        let refused = post(&emulator, &path(&id, "/:issueAccessToken"), STABLE, &body).await.error();
        let shown = serde_json::from_str::<serde_json::Number>(minutes).unwrap();
        let expected = format!(
            "400 ValidationError: ExpiresInMinutes value {shown} is invalid. \
             Value must be within the [60, 1440] interval. (ExpiresInMinutes)"
        );
        assert_eq!(refused, expected);
        let body = body.replace("scopes", "createTokenWithScopes");
        assert_eq!(post(&emulator, "/identities", STABLE, &body).await.error(), expected);
    }
    for (sent, minutes) in [(r#","expiresInMinutes":60"#, 60), (r#","expiresInMinutes":1440"#, 1440), ("", 1440)] {
        let body = format!(r#"{{"scopes":["chat"]{sent}}}"#);
        assert_eq!(post(&emulator, &path(&id, "/:issueAccessToken"), STABLE, &body).await.status, 200);
        let token = emulator.tokens_of(&id).pop().unwrap();
        assert_eq!(token.expires_on().since(token.issued_at()), minutes * MINUTE);
    }
    assert_eq!(emulator.users().len(), 1);
}

#[tokio::test]
async fn scopes_are_required_and_known() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    let issue =
        async |version: &str, body: &str| post(&emulator, &path(&id, "/:issueAccessToken"), version, body).await;
    for body in [r#"{"scopes":[]}"#, r#"{"scopes":null}"#, "{}", ""] {
        let refused = issue(STABLE, body).await.error();
        assert_eq!(refused, "400 ValidationError: Invalid scopes - Scopes field is required. (scopes)");
    }
    let refused = issue(STABLE, r#"{"scopes":["chat","sms"]}"#).await.error();
    assert_eq!(refused, r#"400 ValidationError: Invalid scopes - Scope "sms" is not supported. (scopes)"#);
    assert_eq!(issue(STABLE, r#"{"scopes":"chat"}"#).await.status, 400);
    assert_eq!(issue(STABLE, r#"{"scopes":[1]}"#).await.status, 400);
    for scope in ["chat", "voip", "chat.join", "chat.join.limited", "voip.join"] {
        let body = format!(r#"{{"scopes":["{scope}"]}}"#);
        assert_eq!(issue(STABLE, &body).await.status, 200);
        let is_old = !scope.contains("join");
        assert_eq!(issue("2022-10-01", &body).await.status, if is_old { 200 } else { 400 });
    }
}

#[tokio::test]
async fn a_foreign_id_is_a_bare_401() {
    let emulator = Emulator::start().await.unwrap();
    created(&emulator).await;
    let own = format!("8:acs:{}", emulator.resource_id());
    for id in [FOREIGN, "8:acs:something", "4:+14255550123", &own, &format!("{own}_"), &format!("8:spool:{own}_a")] {
        for (method, verb, body) in [
            ("POST", "/:issueAccessToken", r#"{"scopes":["chat"]}"#),
            ("POST", "/:revokeAccessTokens", ""),
            ("DELETE", "", ""),
            ("GET", "", ""),
        ] {
            let answer = Call::new(&emulator, method, &path(id, verb), PREVIEW, body).send(&emulator).await;
            assert_eq!(answer.error(), "401 Denied: Denied by the resource provider. (-)");
            assert_eq!(answer.header("x-emulator-reason"), Some("the ID is not of this resource"));
        }
    }
    assert_eq!(emulator.users().len(), 1);
}

#[tokio::test]
async fn a_deleted_user_gets_no_token_and_can_be_deleted_again() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    for _ in 0..2 {
        assert_eq!(Call::new(&emulator, "DELETE", &path(&id, ""), STABLE, "").send(&emulator).await.status, 204);
    }
    let gone = "404 IdentityNotFound: Provided identity doesn't exist (-)";
    let issue = post(&emulator, &path(&id, "/:issueAccessToken"), STABLE, r#"{"scopes":["chat"]}"#).await;
    assert_eq!(issue.error(), gone);
    assert_eq!(post(&emulator, &path(&id, "/:revokeAccessTokens"), STABLE, "").await.error(), gone);
    let get = Call::new(&emulator, "GET", &path(&id, ""), PREVIEW, "").send(&emulator).await;
    assert_eq!(get.error(), gone);
}

#[tokio::test]
async fn tokens_expire_by_the_clock_and_revocation_may_take_its_time() {
    let clock = ManualClock::new();
    let emulator =
        Emulator::builder().clock(Arc::new(clock.clone())).revocation_delay(15 * MINUTE).start().await.unwrap();
    let send = async |path: &str, body: &str| {
        let mut call = Call::new(&emulator, "POST", path, STABLE, body);
        call.date = clock.now();
        call.send(&emulator).await.json()
    };
    let user = send("/identities", r#"{"createTokenWithScopes":["voip"],"expiresInMinutes":60}"#).await;
    let id = user["identity"]["id"].as_str().unwrap();
    let short = user["accessToken"]["token"].as_str().unwrap();
    let long = send(&path(id, "/:issueAccessToken"), r#"{"scopes":["chat"]}"#).await;
    let long = long["token"].as_str().unwrap();
    clock.advance(60 * MINUTE - Duration::from_micros(1));
    assert!(emulator.is_token_valid(short) && emulator.is_token_valid(long));
    clock.advance(Duration::from_micros(1));
    assert!(!emulator.is_token_valid(short) && emulator.is_token_valid(long));
    send(&path(id, "/:revokeAccessTokens"), "").await;
    assert_eq!(states(&emulator, id), [TokenState::Expired, TokenState::Valid]);
    clock.advance(15 * MINUTE);
    assert_eq!(states(&emulator, id), [TokenState::Expired, TokenState::Revoked]);
    assert!(!emulator.is_token_valid(long));
}

#[tokio::test]
async fn only_tokens_of_this_emulator_are_valid() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    let token = issued(&emulator, &id).await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for forged in [
        String::new(),
        "a.b.c".into(),
        signed.into(),
        format!("{header}.{payload}."),
        format!("{header}.{payload}x.{signature}"),
        format!("{payload}.{header}.{signature}"),
        token.replace(&signature[..4], "AAAA"),
    ] {
        assert!(!emulator.is_token_valid(&forged), "{forged}");
    }
    let other = Emulator::start().await.unwrap();
    assert!(emulator.is_token_valid(&token) && !other.is_token_valid(&token));
}
