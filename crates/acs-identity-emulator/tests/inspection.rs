//! What tests can look at: calls, headers of answers, keys; and that no secret shows.

mod common;

use std::sync::Arc;

use acs_identity_core::Timestamp;
use acs_identity_emulator::{DEFAULT_KEY, Emulator, KeyType, Operation, Seed, TokenState};
use acs_identity_testkit::ManualClock;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::{Call, MINUTE, PREVIEW, STABLE, created, issued, path, post, send, states};
use ring::digest;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

#[tokio::test]
async fn every_call_is_noted_as_it_was_sent() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    let mut call = Call::new(&emulator, "POST", &path(&id, "/:issueAccessToken"), STABLE, r#"{"scopes":["chat"]}"#);
    call.more.push(("x-ms-client-request-id", "mine".into()));
    let answer = call.send(&emulator).await;
    let calls = emulator.calls();
    assert_eq!(calls.len(), 2);
    let noted = &calls[1];
    assert_eq!((noted.method(), noted.path()), ("POST", path(&id, "/:issueAccessToken").as_str()));
    assert_eq!((noted.query(), noted.operation()), ("api-version=2023-10-01", Some(Operation::IssueToken)));
    assert_eq!((noted.body(), noted.status()), (&br#"{"scopes":["chat"]}"#[..], Some(200)));
    assert_eq!(noted.header("Content-Type"), Some("application/json"));
    assert!(noted.headers().any(|(name, _)| name == "x-ms-content-sha256"));
    assert_eq!(noted.reason(), None);

    assert_eq!(answer.header("x-ms-request-id"), Some(noted.request_id()));
    assert_eq!(answer.header("ms-cv"), Some(format!("{}.0", noted.request_id()).as_str()));
    assert_eq!(answer.header("x-ms-client-request-id"), Some("mine"));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_ne!(calls[0].request_id(), noted.request_id());

    let odd = send(&emulator, "GET", "/elsewhere", &[], "").await.unwrap();
    let calls = emulator.calls();
    assert_eq!((calls[2].operation(), calls[2].status()), (None, Some(404)));
    assert_eq!(odd.header("x-ms-request-id"), Some(calls[2].request_id()));
    emulator.clear_calls();
    assert!(emulator.calls().is_empty());
}

#[tokio::test]
async fn answers_are_dated_by_the_emulators_clock() {
    let clock = ManualClock::new();
    clock.set(Timestamp::from_micros(1_649_873_352_999_999));
    let emulator = Emulator::builder().clock(Arc::new(clock)).start().await.unwrap();
    let answer = send(&emulator, "GET", "/elsewhere", &[], "").await.unwrap();
    assert_eq!(answer.header("date"), Some("Wed, 13 Apr 2022 18:09:12 GMT"));
}

#[tokio::test]
async fn who_comes_by_teams_has_tokens_but_is_no_user_of_the_resource() {
    let emulator = Emulator::start().await.unwrap();
    let token = emulator.entra_token("t", "o", "a", MINUTE);
    let body = format!(r#"{{"token":"{token}","appId":"a","userId":"o"}}"#);
    assert_eq!(post(&emulator, "/teamsUser/:exchangeAccessToken", STABLE, &body).await.status, 200);
    assert_eq!(emulator.tokens_of("8:orgid:o").len(), 1);
    assert_eq!((emulator.users(), emulator.user("8:orgid:o")), (vec![], None));
    assert!(format!("{emulator:?}").contains("users: 0"), "{emulator:?}");
}

#[tokio::test]
async fn a_refused_call_says_why() {
    let emulator = Emulator::start().await.unwrap();
    let mut call = Call::new(&emulator, "POST", "/identities", STABLE, "");
    call.key = "b3RoZXI=".into();
    call.send(&emulator).await;
    assert!(emulator.calls()[0].reason().unwrap().contains("signature differs"));
}

#[tokio::test]
async fn tokens_verify_with_the_published_key() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    let token = issued(&emulator, &id).await;
    let target = emulator.keys_url().strip_prefix(emulator.endpoint()).unwrap().to_owned();
    let keys = send(&emulator, "GET", &target, &[], "").await.unwrap();
    assert_eq!(keys.status, 200);
    let key = keys.json()["keys"][0].clone();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    assert_eq!(
        (key["kty"].as_str(), key["alg"].as_str(), key["use"].as_str()),
        (Some("RSA"), Some("RS256"), Some("sig"))
    );

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let header: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("RS256"), Some("JWT")));
    assert_eq!((&header["kid"], &header["x5t"]), (&key["kid"], &key["x5t"]));
    // The thumbprint is that of the certificate (RFC 7515, section 4.1.7), which holds the key.
    let certificate = STANDARD.decode(key["x5c"][0].as_str().unwrap()).unwrap();
    assert_eq!(part("x5t"), digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate).as_ref());
    let modulus = part("n");
    assert!(certificate.windows(modulus.len()).any(|window| window == modulus));
    let public = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn the_connection_string_has_the_form_of_the_portal() {
    let emulator = Emulator::start().await.unwrap();
    let expected = format!("endpoint={}/;accesskey={DEFAULT_KEY}", emulator.endpoint());
    assert_eq!((emulator.connection_string(), emulator.key().as_str()), (expected, DEFAULT_KEY));
    assert!(emulator.endpoint().starts_with("http://127.0.0.1:"));
    let other = Emulator::start().await.unwrap();
    assert_ne!(emulator.endpoint(), other.endpoint());
}

#[tokio::test]
async fn debug_shows_no_secret_and_no_customer() {
    let key = "c2VjcmV0IGtleSBvZiBhIHRlc3Q=";
    let seed = Seed::default().user_with_custom_id("bob@contoso.com", None);
    let builder = Emulator::builder().key(key).seed(seed);
    let shown = format!("{builder:?}");
    let emulator = builder.start().await.unwrap();
    let id = created(&emulator).await;
    let token = issued(&emulator, &id).await;
    post(&emulator, "/identities", PREVIEW, r#"{"customId":"bob@contoso.com"}"#).await;
    let shown =
        format!("{shown} {emulator:?} {:?} {:?} {:?}", emulator.users(), emulator.tokens_of(&id), emulator.calls());
    assert!(shown.contains("127.0.0.1") && shown.contains("IssueToken"));
    let user_part = id.rsplit_once('_').unwrap().1;
    for secret in [key, "bob@", user_part, token.as_str(), "Signature=", "HMAC-SHA256"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn both_keys_sign_and_one_that_is_replaced_does_not_with_all_its_tokens() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    let issue = |key: String| {
        let body = r#"{"scopes":["chat"]}"#;
        let call = Call::new(&emulator, "POST", &path(&id, "/:issueAccessToken"), STABLE, body);
        let (call, emulator) = (Call { key, ..call }, &emulator);
        async move { call.send(emulator).await.status }
    };
    let (primary, secondary) = (emulator.key(), emulator.secondary_key());
    assert_eq!([issue(primary.clone()).await, issue(secondary.clone()).await], [200, 200]);

    let renewed = emulator.regenerate_key(KeyType::Primary);
    assert_eq!((&renewed, &secondary), (&emulator.key(), &emulator.secondary_key()));
    assert!(emulator.connection_string().ends_with(&renewed));
    assert_eq!(states(&emulator, &id), [TokenState::Revoked, TokenState::Valid]);
    assert_eq!([issue(primary).await, issue(renewed).await, issue(secondary.clone()).await], [401, 200, 200]);

    emulator.regenerate_key(KeyType::Secondary);
    assert_eq!(issue(secondary).await, 401);
    use TokenState::{Revoked, Valid};
    assert_eq!(states(&emulator, &id), [Revoked, Revoked, Valid, Revoked]);
    let keys = [emulator.key(), emulator.secondary_key()];
    let others = Emulator::start().await.unwrap();
    assert!(keys.iter().all(|key| key.len() == 88 && *key != others.secondary_key()) && keys[0] != keys[1]);
}
