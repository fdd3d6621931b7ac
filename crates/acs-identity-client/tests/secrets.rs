//! Nothing private is in `Debug`, in an error with all its sources, or in a log of any level.
#![allow(clippy::unwrap_used)]

mod common;

use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_client::azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use acs_identity_client::azure_core::error::{Error as TransportError, ErrorKind as TransportKind};
use acs_identity_client::azure_core::http::RetryOptions;
use acs_identity_client::azure_core::http::headers::HeaderName;
use acs_identity_client::azure_core::time::OffsetDateTime;
use acs_identity_client::{
    CustomIdResolver, IdentityClient, IdentityClientCreateUserAndTokenOptions, IdentityClientCreateUserOptions,
    IdentityClientOptions, TeamsUserToken, TokenScope,
};
use acs_identity_core::{AcsId, Error, ErrorKind, Resolver};
use acs_identity_emulator::{Emulator, Fault};
use async_trait::async_trait;
use common::{Answer, Canned, PREVIEW, client, client_on, id, with_transport, with_version};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

const CHAT: &[TokenScope] = &[TokenScope::CHAT];
const KEY: &str = "cHJpdmF0ZS1rZXktbWF0ZXJpYWw=";
const CUSTOM: &str = "bob.private@contoso.com";
const ENTRA: &str = "entra-token-private";
const APP: &str = "app-id-private";
const OBJECT: &str = "object-id-private";
const USER: &str = "00000008-578d-7caf-07fd-084822001724";
const ID: &str = "8:acs:11111111-1111-1111-1111-111111111111_00000008-578d-7caf-07fd-084822001724";
const ACS_TOKEN: &str = "eyJ-acs-token-private";

/// Every text that nobody may read, in each form that it goes over the wire in.
fn assert_clean(shown: &str) {
    for private in [KEY, CUSTOM, ENTRA, APP, OBJECT, USER, ID, &ID.replace(':', "%3A"), ACS_TOKEN, "private"] {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
}

fn everything(error: &Error) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(one) = source {
        write!(shown, " {one} {one:?}").unwrap();
        source = one.source();
    }
    shown
}

fn teams() -> TeamsUserToken {
    TeamsUserToken { token: Secret::new(ENTRA), app_id: APP.into(), user_id: OBJECT.into() }
}

fn named() -> IdentityClientCreateUserOptions<'static> {
    IdentityClientCreateUserOptions { custom_id: Some(CUSTOM.parse().unwrap()), ..Default::default() }
}

fn named_with_token() -> IdentityClientCreateUserAndTokenOptions<'static> {
    IdentityClientCreateUserAndTokenOptions { custom_id: Some(CUSTOM.parse().unwrap()), ..Default::default() }
}

/// The errors of all methods.
async fn errors(client: &IdentityClient, user: &AcsId) -> Vec<Error> {
    let mut errors = Vec::new();
    errors.extend(client.create_user(None).await.err());
    errors.extend(client.create_user(Some(named())).await.err());
    errors.extend(client.create_user_and_token(CHAT, Some(named_with_token())).await.err());
    errors.extend(client.issue_token(user, CHAT, None).await.err());
    errors.extend(client.revoke_tokens(user, None).await.err());
    errors.extend(client.delete_user(user, None).await.err());
    errors.extend(client.get_user(user, None).await.err());
    errors.extend(client.exchange_teams_user_token(&teams(), None).await.err());
    errors.extend(CustomIdResolver::new(client.clone()).unwrap().resolve(user).await.err());
    errors
}

#[derive(Debug)]
struct Chatty(TransportKind);

#[async_trait]
impl TokenCredential for Chatty {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> acs_identity_client::azure_core::Result<AccessToken> {
        Err(TransportError::with_message(self.0.clone(), "no identity on this machine"))
    }
}

const CONTENT_HASH: HeaderName = HeaderName::from_static("x-ms-content-sha256");

/// Repeats all of a request in its answer or its error.
fn echo(status: u16) -> Canned {
    Canned::new(vec![Box::new(move |request| -> Answer {
        let body = String::from_utf8_lossy(&acs_identity_client::azure_core::Bytes::from(request.body())).into_owned();
        let authorization = request.headers().get_optional_str(&HeaderName::from_static("authorization")).unwrap();
        let hash = request.headers().get_optional_str(&CONTENT_HASH).unwrap_or_default();
        let text = format!("{} and {authorization} and {hash} and {body}", request.url());
        if status == 0 {
            return Err(TransportError::with_error(TransportKind::Io, std::io::Error::other(text.clone()), text));
        }
        let detail = serde_json::json!({ "code": "Echo", "message": text, "target": text });
        let error = serde_json::json!({ "error": {
            "code": "Echo", "message": text, "target": text, "details": [detail], "innererror": detail,
        }});
        let headers = acs_identity_client::azure_core::http::headers::Headers::new();
        let bytes = serde_json::to_vec(&error).unwrap();
        Ok(acs_identity_client::azure_core::http::AsyncRawResponse::from_bytes(status.into(), headers, bytes))
    })])
}

#[tokio::test]
async fn no_error_shows_what_was_sent_even_if_the_service_repeats_it() {
    for status in [0, 400, 401, 403, 404, 409, 429, 500] {
        let mut options = with_version(PREVIEW);
        options.client_options.retry = RetryOptions::none();
        options.client_options.transport =
            Some(acs_identity_client::azure_core::http::Transport::new(Arc::new(echo(status))));
        let client =
            IdentityClient::with_key("https://contoso.communication.azure.com", Secret::new(KEY), Some(options))
                .unwrap();
        let errors = errors(&client, &id(ID)).await;
        assert_eq!(errors.len(), 9, "{status}");
        for error in errors {
            assert_clean(&everything(&error));
        }
    }
}

#[derive(Debug)]
struct Working;

#[async_trait]
impl TokenCredential for Working {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> acs_identity_client::azure_core::Result<AccessToken> {
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        Ok(AccessToken::new(Secret::new("eyJ-bearer-private"), later))
    }
}

#[tokio::test]
async fn no_error_shows_what_a_request_was_authorized_by() {
    const ENDPOINT: &str = "https://contoso.communication.azure.com";
    for status in [0, 400, 401, 429, 500] {
        for entra in [false, true] {
            let transport = echo(status);
            let options = with_transport(transport.clone());
            let client = match entra {
                true => IdentityClient::new(ENDPOINT, Arc::new(Working), Some(options)),
                false => IdentityClient::with_key(ENDPOINT, Secret::new(KEY), Some(options)),
            }
            .unwrap();
            let error = client.create_user(None).await.unwrap_err();
            let shown = everything(&error);
            for request in transport.seen() {
                let sent = request.headers().get_optional_str(&HeaderName::from_static("authorization")).unwrap();
                let secret = sent.strip_prefix("Bearer ").unwrap_or_else(|| sent.split_once("Signature=").unwrap().1);
                assert!(!shown.contains(secret), "{secret} in {shown}");
                let hash = request.headers().get_optional_str(&CONTENT_HASH);
                assert_eq!(hash.is_some(), !entra);
                assert!(hash.is_none_or(|hash| !shown.contains(hash)), "{hash:?} in {shown}");
            }
            assert!(shown.contains(if entra { "Bearer <" } else { "Signature=<" }), "{shown}");
        }
    }
}

#[tokio::test]
async fn no_answer_that_cannot_be_read_is_shown() {
    const BODY: &str =
        r#"{"identity":{"id":7},"token":"eyJ-acs-token-private","accessToken":{"token":"eyJ-acs-token-private"}}"#;
    for error in errors(&client_on(Canned::always(200, BODY), PREVIEW), &id(ID)).await {
        assert_clean(&everything(&error));
    }
}

#[tokio::test]
async fn no_setting_shows_what_is_in_it() {
    let string = format!("endpoint=https://contoso.communication.azure.com/;accesskey={KEY}");
    let client = IdentityClient::from_connection_string(&string, Some(with_version(PREVIEW))).unwrap();
    let entra = IdentityClient::new(
        "https://contoso.communication.azure.com",
        Arc::new(Chatty(TransportKind::Credential)),
        None,
    )
    .unwrap();
    let canned = client_on(
        Canned::always(
            201,
            r#"{"identity":{"id":"8:acs:11111111-1111-1111-1111-111111111111_00000008-578d-7caf-07fd-084822001724",
                "customId":"bob.private@contoso.com"},
                "accessToken":{"token":"eyJ-acs-token-private","expiresOn":"2030-01-01T00:00:00Z"}}"#,
        ),
        PREVIEW,
    );
    let made = canned.create_user_and_token(CHAT, Some(named_with_token())).await.unwrap();
    assert_eq!(made.token.token.secret(), ACS_TOKEN);
    let all: [&dyn Debug; 7] = [
        &client,
        &entra,
        &CustomIdResolver::new(client.clone()).unwrap(),
        &made,
        &teams(),
        &named(),
        &named_with_token(),
    ];
    for one in all {
        assert_clean(&format!("{one:?} {one:#?}"));
    }

    for bad in [
        format!("endpoint=https://contoso.communication.azure.com/{KEY};accesskey={KEY}"),
        format!("endpoint=http://contoso.communication.azure.com/;accesskey={KEY}"),
        format!("endpoint=https://contoso.communication.azure.com/;accesskey={KEY}!"),
        format!("accesskey={KEY}"),
        KEY.replace('=', ""),
    ] {
        assert_clean(&everything(&IdentityClient::from_connection_string(&bad, None).unwrap_err()));
    }
}

#[tokio::test]
async fn a_credential_that_fails_is_told_of() {
    for (kind, expected) in [
        (TransportKind::Credential, ErrorKind::Denied),
        (TransportKind::Io, ErrorKind::Unavailable),
        (TransportKind::Connection, ErrorKind::Unavailable),
        (TransportKind::Other, ErrorKind::Internal),
    ] {
        let mut options = with_version(PREVIEW);
        options.client_options.retry = RetryOptions::none();
        let endpoint = "https://contoso.communication.azure.com";
        let client = IdentityClient::new(endpoint, Arc::new(Chatty(kind)), Some(options)).unwrap();
        let error = client.create_user(None).await.unwrap_err();
        assert_eq!(error.kind(), expected, "nothing was sent: {error}");
        assert!(error.source().unwrap().to_string().contains("no identity on this machine"));
    }
}

/// Everything that is logged or traced, at all levels.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn no_log_has_an_id_a_token_or_a_key_in_it() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let emulator = Emulator::builder().key(KEY).start().await.unwrap();
    let options = IdentityClientOptions { try_timeout: Duration::from_millis(100), ..with_version(PREVIEW) };
    let client = client(&emulator, options);
    let user = client.create_user_and_token(CHAT, Some(named_with_token())).await.unwrap();
    for fault in
        [Fault::CutBefore, Fault::Latency(Duration::from_secs(60)), Fault::Status { status: 500, retry_after: None }]
    {
        emulator.faults().next(fault);
        let issued = client.issue_token(&user.user.id, CHAT, None).await.unwrap();
        let shown = log.0.lock().unwrap().clone();
        assert!(!shown.contains(issued.token.secret()));
    }
    client.get_user(&user.user.id, None).await.unwrap();
    client.exchange_teams_user_token(&teams(), None).await.unwrap_err();
    client.issue_token(&id(ID), CHAT, None).await.unwrap_err();
    client.revoke_tokens(&user.user.id, None).await.unwrap();
    client.delete_user(&user.user.id, None).await.unwrap();

    let shown = log.0.lock().unwrap().clone();
    assert!(shown.contains("identities/REDACTED/:issueAccessToken"), "azure_core's own log is among it: {shown}");
    assert_clean(&shown);
    let of_user = user.user.id.as_str();
    for private in [of_user, &of_user.replace(':', "%3A"), of_user.rsplit('_').next().unwrap(), "Signature="] {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
}

#[tokio::test]
async fn no_log_has_what_a_refusal_repeats_in_its_headers() {
    let repeats = Canned::new(vec![Box::new(|request| -> Answer {
        let mut headers = acs_identity_client::azure_core::http::headers::Headers::new();
        for name in ["x-ms-request-id", "ms-cv", "www-authenticate", "server", "etag", "date", "retry-after"] {
            headers.insert(name, request.url().to_string());
        }
        Ok(acs_identity_client::azure_core::http::AsyncRawResponse::from_bytes(400.into(), headers, ""))
    })]);
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let client = client_on(repeats, PREVIEW);
    let error = client.issue_token(&id(ID), CHAT, None).await.unwrap_err();
    assert_clean(&everything(&error));
    let shown = log.0.lock().unwrap().clone();
    assert!(shown.contains("/identities/<"), "the headers are logged: {shown}");
    assert_clean(&shown);
}
