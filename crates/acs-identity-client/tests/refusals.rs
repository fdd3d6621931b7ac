//! What the service refuses is reported as it is, and what it would refuse is not sent.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::azure_core::http::headers::{HeaderName, Headers};
use acs_identity_client::azure_core::http::policies::{Policy, PolicyResult};
use acs_identity_client::azure_core::http::request::options::ClientRequestId;
use acs_identity_client::azure_core::http::{AsyncRawResponse, Context, Request};
use acs_identity_client::{
    ApiVersion, CustomIdResolver, ErrorDetail, IdentityClient, IdentityClientCreateUserAndTokenOptions,
    IdentityClientCreateUserOptions, IdentityClientIssueTokenOptions, IdentityClientOptions, ServiceError,
    TeamsUserToken, TokenScope,
};
use acs_identity_core::{Error, ErrorKind};
use acs_identity_emulator::{Emulator, Fault, KeyType};
use acs_identity_testkit::ManualClock;
use async_trait::async_trait;
use common::{Canned, PREVIEW, answer_with, client, client_on, id, meddling_proxy, quick, with_version};

const CHAT: &[TokenScope] = &[TokenScope::CHAT];

/// The kind, and the status and the code of the service.
fn told(error: &Error) -> (ErrorKind, u16, &str) {
    let service = ServiceError::of(error).unwrap();
    (error.kind(), service.status(), service.code())
}

#[tokio::test]
async fn a_wrong_key_is_denied_with_advice() {
    let emulator = Emulator::start().await.unwrap();
    let client = IdentityClient::with_key(emulator.endpoint(), Secret::new("d3Jvbmc="), Some(quick())).unwrap();
    let error = client.create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Denied, 401, "Denied"));
    assert!(
        error
            .to_string()
            .contains("the clock agrees with the service's; the access key has to be of the endpoint's resource"),
        "{error}"
    );
    assert_eq!(ServiceError::of(&error).unwrap().request_id(), Some(emulator.calls()[0].request_id()));
    assert_eq!(
        ServiceError::of(&error).unwrap().client_request_id(),
        emulator.calls()[0].header("x-ms-client-request-id")
    );
    assert_eq!(emulator.calls().len(), 1);
}

#[tokio::test]
async fn a_stale_date_is_denied() {
    let clock = ManualClock::new();
    clock.set((SystemTime::now() + Duration::from_secs(3600)).into());
    let emulator = Emulator::builder().clock(Arc::new(clock)).start().await.unwrap();
    let error = client(&emulator, quick()).create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Denied, 401, "Denied"));
    assert_eq!(emulator.calls()[0].reason(), Some("the date is too far from the emulator's clock"));
}

#[tokio::test]
async fn how_far_a_clock_is_off_is_read_from_the_answer() {
    let service = Canned::new(vec![answer_with(401, &[("date", "Mon, 01 Jan 2024 00:00:00 GMT")], "")]);
    let error = client_on(service, PREVIEW).create_user(None).await.unwrap_err();
    assert!(error.to_string().contains("s ahead of the service's"), "{error}");
}

#[derive(Debug)]
struct Early;

/// Sees requests before they have a signature or an ID.
#[async_trait]
impl Policy for Early {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        assert!(!request.url().as_str().contains("acs"), "{}", request.url());
        assert!(request.headers().get_optional_str(&HeaderName::from_static("authorization")).is_none());
        request.set_body(r#"{"scopes":["voip"]}"#);
        next[0].send(context, request, &next[1..]).await
    }
}

#[tokio::test]
async fn a_body_that_is_changed_on_its_way_is_refused_and_one_changed_before_is_not() {
    let emulator = Emulator::start().await.unwrap();
    let bob = client(&emulator, quick()).create_user(None).await.unwrap().id;

    let proxy = meddling_proxy(&emulator, r#"["chat"]"#, r#"["voip"]"#).await;
    let behind = IdentityClient::with_key(&proxy, Secret::new(emulator.key().to_owned()), Some(quick())).unwrap();
    let error = behind.issue_token(&bob, CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Denied, 401, "Denied"));
    let service = ServiceError::of(&error).unwrap();
    assert_eq!(service.error().unwrap().message, "Request 'x-ms-content-sha256' differs from generated content hash.");

    let mut options = quick();
    options.client_options.per_try_policies.push(Arc::new(Early));
    client(&emulator, options).issue_token(&bob, CHAT, None).await.unwrap();
    assert_eq!(emulator.tokens_of(&bob)[0].scopes(), ["voip"]);
}

/// Answers by itself: in place of the service, or after it.
#[derive(Debug)]
struct Gate {
    status: u16,
    asks: bool,
}

#[async_trait]
impl Policy for Gate {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if self.asks {
            next[0].send(context, request, &next[1..]).await?;
        }
        Ok(AsyncRawResponse::from_bytes(
            self.status.into(),
            Headers::new(),
            r#"{"error":{"code":"Gate","message":""}}"#,
        ))
    }
}

#[tokio::test]
async fn an_answer_of_a_policy_is_an_answer() {
    for (status, asks, kind) in [
        (403, false, ErrorKind::Denied),
        (503, false, ErrorKind::Unavailable),
        (403, true, ErrorKind::OutcomeUnknown),
        (503, true, ErrorKind::OutcomeUnknown),
    ] {
        let service = Canned::always(201, r#"{"identity":{"id":"8:acs:r_u"}}"#);
        let mut options = common::with_transport(service.clone());
        options.client_options.per_call_policies.push(Arc::new(Gate { status, asks }));
        let endpoint = "https://contoso.communication.azure.com";
        let client = IdentityClient::with_key(endpoint, Secret::new("c2VjcmV0"), Some(options)).unwrap();
        let error = client.create_user(None).await.unwrap_err();
        assert_eq!(told(&error), (kind, status, "Gate"), "{error}");
        assert_eq!(service.seen().len(), usize::from(asks));
    }
}

/// Has an opinion on headers that are not its business.
#[derive(Debug)]
struct OtherHost;

#[async_trait]
impl Policy for OtherHost {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header("host", "elsewhere.example.com");
        next[0].send(context, request, &next[1..]).await
    }
}

#[tokio::test]
async fn the_host_is_the_endpoints_whatever_a_policy_says() {
    let emulator = Emulator::start().await.unwrap();
    let mut options = quick();
    options.client_options.per_try_policies.push(Arc::new(OtherHost));
    client(&emulator, options).create_user(None).await.unwrap();
    assert_eq!(emulator.calls()[0].header("host"), emulator.endpoint().strip_prefix("http://"));
}

#[tokio::test]
async fn a_client_request_id_of_the_callers_own_is_sent() {
    let emulator = Emulator::start().await.unwrap();
    let mut options = IdentityClientCreateUserOptions::default();
    options.method_options.context.insert(ClientRequestId::from("mine".to_owned()));
    client(&emulator, quick()).create_user(Some(options)).await.unwrap();
    assert_eq!(emulator.calls()[0].header("x-ms-client-request-id"), Some("mine"));
}

#[tokio::test]
async fn a_custom_id_is_measured_in_characters() {
    let service = Canned::always(201, r#"{"identity":{"id":"8:acs:r_u"}}"#);
    let named = IdentityClientCreateUserOptions {
        custom_id: Some("\u{e9}".repeat(256).parse().unwrap()),
        ..Default::default()
    };
    client_on(service.clone(), PREVIEW).create_user(Some(named)).await.unwrap();
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn an_unknown_version_is_unsupported() {
    let emulator = Emulator::start().await.unwrap();
    let error = client(&emulator, with_version("2099-01-01".parse().unwrap())).create_user(None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unsupported, 400, "UnsupportedApiVersion"));
    assert!(ServiceError::of(&error).unwrap().supported_api_versions().unwrap().contains("2023-10-01"));
}

#[tokio::test]
async fn a_user_of_another_resource_is_denied() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, with_version(PREVIEW));
    let foreign = id("8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000");
    for error in [
        client.issue_token(&foreign, CHAT, None).await.unwrap_err(),
        client.revoke_tokens(&foreign, None).await.unwrap_err(),
        client.delete_user(&foreign, None).await.unwrap_err(),
        client.get_user(&foreign, None).await.unwrap_err(),
    ] {
        assert_eq!(told(&error), (ErrorKind::Denied, 401, "Denied"));
        assert!(error.to_string().contains("a user of another resource"), "{error}");
    }
}

#[tokio::test]
async fn a_deleted_user_is_not_known() {
    let emulator = Emulator::start().await.unwrap();
    let client = client(&emulator, quick());
    let bob = client.create_user(None).await.unwrap().id;
    client.delete_user(&bob, None).await.unwrap();
    let error = client.issue_token(&bob, CHAT, None).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::InvalidInput, 404, ServiceError::IDENTITY_NOT_FOUND));
}

#[tokio::test]
async fn a_custom_id_with_several_users_is_a_conflict() {
    let emulator = Emulator::builder().custom_id_race(true).start().await.unwrap();
    let client = client(&emulator, with_version(PREVIEW));
    let create = || {
        let options =
            IdentityClientCreateUserOptions { custom_id: Some("customer-42".parse().unwrap()), ..Default::default() };
        client.create_user(Some(options))
    };
    let (first, second) = tokio::join!(create(), create());
    assert_ne!(first.unwrap().id, second.unwrap().id);
    let error = create().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(ServiceError::of(&error).unwrap().code(), ServiceError::MULTIPLE_IDENTITIES_FOR_CUSTOM_ID);
}

#[tokio::test]
async fn what_would_be_refused_is_not_sent() {
    let nobody = Canned::always(500, "");
    let client = client_on(nobody.clone(), PREVIEW);
    let bob = id("8:acs:r_u");
    let lasting =
        |minutes| Some(IdentityClientIssueTokenOptions { expires_in_minutes: Some(minutes), ..Default::default() });
    let named = |text: String| {
        Some(IdentityClientCreateUserOptions { custom_id: Some(text.parse().unwrap()), ..Default::default() })
    };
    let empty = TeamsUserToken { token: Secret::new(""), app_id: "a".into(), user_id: "b".into() };
    let mut errors = vec![
        client.issue_token(&bob, CHAT, lasting(59)).await.unwrap_err(),
        client.issue_token(&bob, CHAT, lasting(1441)).await.unwrap_err(),
        client.issue_token(&bob, &[], None).await.unwrap_err(),
        client.create_user_and_token(&[], None).await.unwrap_err(),
        client
            .create_user_and_token(
                CHAT,
                Some(IdentityClientCreateUserAndTokenOptions { expires_in_minutes: Some(0), ..Default::default() }),
            )
            .await
            .unwrap_err(),
        client.create_user(named("x".repeat(257))).await.unwrap_err(),
        client.exchange_teams_user_token(&empty, None).await.unwrap_err(),
    ];
    for other in ["4:+14255550123", "8:orgid:u", "8:teamsvisitor:u", "28:orgid:a", "..", "."].map(id) {
        errors.push(client.issue_token(&other, CHAT, None).await.unwrap_err());
        errors.push(client.revoke_tokens(&other, None).await.unwrap_err());
        errors.push(client.delete_user(&other, None).await.unwrap_err());
        errors.push(client.get_user(&other, None).await.unwrap_err());
    }
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert!(nobody.seen().is_empty());
}

#[tokio::test]
async fn an_id_of_a_form_that_is_not_known_is_left_to_the_service() {
    let token = r#"{"token":"t","expiresOn":"2030-01-01T00:00:00Z"}"#;
    for (other, segment) in [("8:acs:r_t_u", "8%3Aacs%3Ar_t_u"), ("48:x", "48%3Ax"), ("../.", "..%2F.")] {
        let service = Canned::always(200, token);
        client_on(service.clone(), PREVIEW).issue_token(&id(other), CHAT, None).await.unwrap();
        let path = format!("/identities/{segment}/:issueAccessToken");
        assert_eq!(service.seen()[0].url().path(), path);
    }
}

#[tokio::test]
async fn a_short_id_is_not_shown_in_full() {
    for short in ["4:911", "4:", "28:dod:a"] {
        let error = client_on(Canned::always(500, ""), PREVIEW).delete_user(&id(short), None).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(short), "{error}");
    }
}

#[tokio::test]
async fn what_a_version_lacks_is_not_sent() {
    let nobody = Canned::always(500, "");
    let oldest = client_on(nobody.clone(), ApiVersion::V2021_03_07);
    let stable = client_on(nobody.clone(), ApiVersion::default());
    let bob = id("8:acs:r_u");
    let teams = TeamsUserToken { token: Secret::new("t"), app_id: "a".into(), user_id: "b".into() };
    let named = IdentityClientCreateUserOptions { custom_id: Some("bob".parse().unwrap()), ..Default::default() };
    let lasting = IdentityClientIssueTokenOptions { expires_in_minutes: Some(60), ..Default::default() };
    for error in [
        oldest.issue_token(&bob, CHAT, Some(lasting)).await.unwrap_err(),
        oldest.issue_token(&bob, &[TokenScope::CHAT, TokenScope::CHAT_JOIN], None).await.unwrap_err(),
        oldest.issue_token(&bob, &[TokenScope::CHAT_JOIN_LIMITED], None).await.unwrap_err(),
        oldest.create_user_and_token(&[TokenScope::VOIP_JOIN], None).await.unwrap_err(),
        oldest.exchange_teams_user_token(&teams, None).await.unwrap_err(),
        stable.create_user(Some(named)).await.unwrap_err(),
        stable.get_user(&bob, None).await.unwrap_err(),
        CustomIdResolver::new(stable).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    assert!(nobody.seen().is_empty());
}

#[test]
fn an_endpoint_without_encryption_elsewhere_is_refused() {
    for endpoint in ["http://contoso.communication.azure.com", "http://192.168.0.7:8080"] {
        let error = IdentityClient::with_key(endpoint, Secret::new("c2Vj"), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let options = IdentityClientOptions { certificate_authority: Some("/nowhere".into()), ..Default::default() };
    let error = IdentityClient::with_key("https://contoso.communication.azure.com", Secret::new("c2Vj"), Some(options))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[test]
fn a_certificate_authority_that_nobody_would_look_at_is_refused() {
    let authority = |options| IdentityClientOptions { certificate_authority: Some("/nowhere".into()), ..options };
    for (endpoint, options) in [
        ("https://contoso.communication.azure.com", common::with_transport(Canned::always(500, ""))),
        ("http://127.0.0.1:8080", quick()),
    ] {
        let error = IdentityClient::with_key(endpoint, Secret::new("c2Vj"), Some(authority(options))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("certificate authority"), "{error}");
    }
}

#[tokio::test]
async fn an_error_is_read_with_all_its_parts() {
    let emulator = Emulator::start().await.unwrap();
    emulator.faults().next(Fault::NestedError { status: 400 });
    let error = client(&emulator, quick()).create_user(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let said = ServiceError::of(&error).unwrap().error().unwrap();
    let text = |detail: &ErrorDetail| (detail.code.clone(), detail.message.clone(), detail.target.clone());
    let expected =
        |code: &str, message: &str, target: Option<&str>| (code.into(), message.into(), target.map(Into::into));
    assert_eq!(said.target.as_deref(), Some("emulator"));
    assert_eq!(
        said.details.iter().map(text).collect::<Vec<_>>(),
        [
            expected("FirstDetail", "The first detail.", Some("first")),
            expected("SecondDetail", "The second detail.", None)
        ]
    );
    let inner = said.inner.as_deref().unwrap();
    assert_eq!(text(inner), expected("Inner", "A closer reason.", None));
    assert_eq!(text(inner.inner.as_deref().unwrap()), expected("Innermost", "The reason of the reason.", None));
}

#[tokio::test]
async fn a_key_that_is_replaced_is_denied_while_the_other_one_goes_on() {
    let emulator = Emulator::start().await.unwrap();
    let with_key =
        |key: String| IdentityClient::with_key(emulator.endpoint(), Secret::new(key), Some(quick())).unwrap();
    let (old, other) = (with_key(emulator.key()), with_key(emulator.secondary_key()));
    let user = old.create_user(None).await.unwrap().id;
    let token = old.issue_token(&user, CHAT, None).await.unwrap();
    emulator.regenerate_key(KeyType::Primary);
    let error = old.issue_token(&user, CHAT, None).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("may have been replaced"), "{error}");
    assert!(!emulator.is_token_valid(token.token.secret()));
    assert!(other.issue_token(&user, CHAT, None).await.is_ok());
}
