//! Each operation against the emulator, and what goes over the wire.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acs_identity_client::azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use acs_identity_client::azure_core::time::OffsetDateTime;
use acs_identity_client::{
    ApiVersion, IdentityClient, IdentityClientCreateUserAndTokenOptions, IdentityClientCreateUserOptions,
    IdentityClientIssueTokenOptions, TeamsUserToken, TokenScope,
};
use acs_identity_core::{AcsId, ErrorKind};
use acs_identity_emulator::{Call, Emulator, TokenState};
use async_trait::async_trait;
use common::{PREVIEW, client, quick, with_version};

fn custom(text: &str) -> Option<IdentityClientCreateUserOptions<'static>> {
    Some(IdentityClientCreateUserOptions { custom_id: Some(text.parse().unwrap()), ..Default::default() })
}

fn lasting(minutes: u16) -> Option<IdentityClientIssueTokenOptions<'static>> {
    Some(IdentityClientIssueTokenOptions { expires_in_minutes: Some(minutes), ..Default::default() })
}

/// In how many minutes from now.
fn minutes_until(time: OffsetDateTime) -> i64 {
    (time - OffsetDateTime::from(SystemTime::now()) + Duration::from_secs(30)).whole_minutes()
}

#[tokio::test]
async fn a_user_is_made_given_tokens_stripped_of_them_and_deleted() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());

    let bob = client.create_user(None).await.unwrap();
    assert_eq!((emulator.users().len(), emulator.users()[0].id()), (1, &bob.id));
    assert_eq!((bob.custom_id, bob.last_token_issued_at), (None, None));

    let token = client.issue_token(&bob.id, &[TokenScope::CHAT, TokenScope::VOIP_JOIN], lasting(60)).await.unwrap();
    assert!(emulator.is_token_valid(token.token.secret()));
    assert_eq!(minutes_until(token.expires_on), 60);
    assert_eq!(emulator.tokens_of(&bob.id)[0].scopes(), ["chat", "voip.join"]);
    let longest = client.issue_token(&bob.id, &[TokenScope::CHAT], lasting(1440)).await.unwrap();
    assert_eq!(minutes_until(longest.expires_on), 1440);

    client.revoke_tokens(&bob.id, None).await.unwrap();
    assert!(!emulator.is_token_valid(token.token.secret()));
    assert!(emulator.tokens_of(&bob.id).iter().all(|token| token.state() == TokenState::Revoked));

    client.delete_user(&bob.id, None).await.unwrap();
    assert!(emulator.users().is_empty());
}

#[tokio::test]
async fn a_user_and_a_token_are_made_in_one_call() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let options = IdentityClientCreateUserAndTokenOptions { expires_in_minutes: Some(90), ..Default::default() };
    let made = client.create_user_and_token(&[TokenScope::VOIP], Some(options)).await.unwrap();
    assert_eq!(emulator.users()[0].id(), &made.user.id);
    assert!(emulator.is_token_valid(made.token.token.secret()));
    assert_eq!(minutes_until(made.token.expires_on), 90);
    assert_eq!(emulator.calls().len(), 1);
}

#[tokio::test]
async fn a_custom_id_gives_back_the_same_user_who_can_be_asked_for_it() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, with_version(PREVIEW));
    let first = client.create_user(custom("customer-42")).await.unwrap();
    let again = client.create_user(custom("customer-42")).await.unwrap();
    assert_eq!(first.id, again.id);
    assert_eq!(first.custom_id.unwrap().as_str(), "customer-42");

    let options = IdentityClientCreateUserAndTokenOptions {
        custom_id: Some("customer-42".parse().unwrap()),
        ..Default::default()
    };
    let made = client.create_user_and_token(&[TokenScope::CHAT], Some(options)).await.unwrap();
    assert_eq!(made.user.id, first.id);

    let detail = client.get_user(&first.id, None).await.unwrap();
    assert_eq!(detail.id, first.id);
    assert_eq!(detail.custom_id.unwrap().as_str(), "customer-42");
    assert_eq!(minutes_until(detail.last_token_issued_at.unwrap()), 0);
    assert_eq!(emulator.users().len(), 1);
}

#[tokio::test]
async fn a_teams_users_token_is_exchanged() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let (tenant, object, app) = (
        "45ab2481-1c1c-4005-be24-0ffb879b1130",
        "207ffef6-9444-41fb-92ab-20eacaae2768",
        "01234567-89ab-cdef-0123-456789abcdef",
    );
    let entra = emulator.entra_token(tenant, object, app, Duration::from_secs(3600));
    let teams = TeamsUserToken { token: Secret::new(entra), app_id: app.into(), user_id: object.into() };
    let token = client.exchange_teams_user_token(&teams, None).await.unwrap();
    assert_eq!(minutes_until(token.expires_on), 60);

    let expired = emulator.entra_token(tenant, object, app, Duration::ZERO);
    let error = client
        .exchange_teams_user_token(&TeamsUserToken { token: Secret::new(expired), ..teams }, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn every_known_version_is_spoken() {
    let emulator = Emulator::start().await.unwrap();
    for version in [
        ApiVersion::V2021_03_07,
        ApiVersion::V2022_06_01,
        ApiVersion::V2022_10_01,
        ApiVersion::V2023_10_01,
        PREVIEW,
        "2025-06-30".parse().unwrap(),
    ] {
        let client = client(&emulator, with_version(version.clone()));
        let bob = client.create_user(None).await.unwrap();
        client.issue_token(&bob.id, &[TokenScope::CHAT], None).await.unwrap();
        client.revoke_tokens(&bob.id, None).await.unwrap();
        client.delete_user(&bob.id, None).await.unwrap();
        assert!(emulator.calls().iter().all(|call| call.query() == format!("api-version={version}")), "{version}");
        emulator.clear_calls();
    }
}

#[derive(Debug)]
struct Credential;

#[async_trait]
impl TokenCredential for Credential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> acs_identity_client::azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://communication.azure.com//.default"]);
        Ok(AccessToken::new("entra-token", OffsetDateTime::from(SystemTime::now() + Duration::from_secs(3600))))
    }
}

#[tokio::test]
async fn a_credential_takes_the_place_of_the_key() {
    let emulator = Emulator::builder().bearer(true).start().await.unwrap();
    let client = IdentityClient::new(emulator.endpoint(), Arc::new(Credential), Some(quick())).unwrap();
    let bob = client.create_user(None).await.unwrap();
    client.issue_token(&bob.id, &[TokenScope::CHAT], None).await.unwrap();
    for call in emulator.calls() {
        assert_eq!(call.header("authorization"), Some("Bearer entra-token"));
        assert_eq!((call.header("x-ms-date"), call.header("x-ms-content-sha256")), (None, None));
    }
}

#[tokio::test]
async fn many_calls_at_once_share_a_client() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.create_user(None).await.unwrap().id })
        })
        .collect();
    let mut ids: Vec<AcsId> = Vec::new();
    for call in calls {
        ids.push(call.await.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), emulator.users().len()), (100, 100));
}

/// Method, path with `ID` in place of the user's, content type, and body.
fn wire(call: &Call, user: &AcsId) -> (String, String, Option<String>, String) {
    let encoded = user.as_str().replace(':', "%3A");
    (
        call.method().into(),
        call.path().replace(&encoded, "ID"),
        call.header("content-type").map(Into::into),
        String::from_utf8(call.body().to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn requests_are_those_of_the_official_clients() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let bob = client.create_user(None).await.unwrap().id;
    let options = IdentityClientCreateUserAndTokenOptions { expires_in_minutes: Some(60), ..Default::default() };
    client.create_user_and_token(&[TokenScope::CHAT], Some(options)).await.unwrap();
    client.issue_token(&bob, &[TokenScope::CHAT, TokenScope::VOIP], None).await.unwrap();
    client.revoke_tokens(&bob, None).await.unwrap();
    client.delete_user(&bob, None).await.unwrap();

    let calls = emulator.calls();
    let json = || Some("application/json".to_owned());
    let expected = [
        ("POST", "/identities", json(), ""),
        ("POST", "/identities", json(), r#"{"createTokenWithScopes":["chat"],"expiresInMinutes":60}"#),
        ("POST", "/identities/ID/:issueAccessToken", json(), r#"{"scopes":["chat","voip"]}"#),
        ("POST", "/identities/ID/:revokeAccessTokens", None, ""),
        ("DELETE", "/identities/ID", None, ""),
    ];
    for (call, (method, path, content_type, body)) in calls.iter().zip(expected) {
        assert_eq!(wire(call, &bob), (method.into(), path.into(), content_type, body.into()));
        assert_eq!(call.query(), "api-version=2023-10-01");
        assert_eq!(call.header("accept"), Some("application/json"));
        assert_eq!(call.header("host"), emulator.endpoint().strip_prefix("http://"));
        assert!(call.header("user-agent").unwrap().contains("acs-identity-client/"), "{:?}", call.header("user-agent"));
        assert!(call.header("x-ms-client-request-id").is_some());
        assert!(
            call.header("authorization")
                .unwrap()
                .starts_with("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=")
        );
    }
    assert_eq!(calls.len(), 5);
}
