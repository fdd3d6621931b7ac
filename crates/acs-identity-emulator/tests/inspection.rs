//! What tests can look at: calls, headers of answers, keys; and that no secret shows.

mod common;

use acs_identity_emulator::{DEFAULT_KEY, Emulator, Operation, Seed};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Call, PREVIEW, STABLE, created, issued, path, post, send};
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
    assert!(answer.header("date").is_some());
    assert_ne!(calls[0].request_id(), noted.request_id());

    let odd = send(&emulator, "GET", "/elsewhere", &[], "").await.unwrap();
    let calls = emulator.calls();
    assert_eq!((calls[2].operation(), calls[2].status()), (None, Some(404)));
    assert_eq!(odd.header("x-ms-request-id"), Some(calls[2].request_id()));
    emulator.clear_calls();
    assert!(emulator.calls().is_empty());
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
    let public = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn the_connection_string_has_the_form_of_the_portal() {
    let emulator = Emulator::start().await.unwrap();
    let expected = format!("endpoint={}/;accesskey={DEFAULT_KEY}", emulator.endpoint());
    assert_eq!((emulator.connection_string(), emulator.key()), (expected, DEFAULT_KEY));
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
