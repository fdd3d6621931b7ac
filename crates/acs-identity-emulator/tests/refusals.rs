//! Requests that are refused before anything is done, over HTTP.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Clock, Timestamp};
use acs_identity_emulator::{Emulator, Operation, RateLimits};
use acs_identity_testkit::ManualClock;
use common::{Answer, Call, FOREIGN, MINUTE, PREVIEW, STABLE, created, issued, path, post, send};

const DENIED: &str = "401 Denied: Denied by the resource provider. (-)";

fn create(emulator: &Emulator) -> Call {
    Call::new(emulator, "POST", "/identities", STABLE, "{}")
}

#[tokio::test]
async fn both_names_of_the_date_and_both_forms_of_an_id_are_signed_for() {
    let emulator = Emulator::start().await.unwrap();
    for date_header in ["x-ms-date", "date"] {
        for colon in [":", "%3A", "%3a"] {
            let id = created(&emulator).await;
            let target = format!("/identities/{}/:issueAccessToken", id.replace(':', colon));
            let mut call = Call::new(&emulator, "POST", &target, STABLE, r#"{"scopes":["chat"]}"#);
            call.date_header = date_header;
            assert_eq!(call.send(&emulator).await.status, 200, "{date_header} {colon}");
            assert_eq!(emulator.tokens_of(&id).len(), 1);
        }
    }
}

#[tokio::test]
async fn a_wrong_signature_a_stale_date_and_a_changed_body_are_refused() {
    let emulator = Emulator::start().await.unwrap();
    let mut wrong_key = create(&emulator);
    wrong_key.key = "b3RoZXI=".into();
    let answer = wrong_key.send(&emulator).await;
    assert_eq!(answer.error(), DENIED);
    assert!(answer.header("x-emulator-reason").unwrap().contains("signature differs"));

    for (ahead, is_fine) in [(-16, false), (-14, true), (14, true), (16, false)] {
        let mut dated = create(&emulator);
        let micros = i64::try_from(dated.date.as_micros()).unwrap() + ahead * 60_000_000;
        dated.date = Timestamp::from_micros(u64::try_from(micros).unwrap());
        let answer = dated.send(&emulator).await;
        if is_fine {
            assert_eq!(answer.status, 201);
        } else {
            assert_eq!(answer.error(), DENIED);
            assert!(answer.header("x-emulator-reason").unwrap().contains("clock"));
        }
    }

    // The body is changed after it was signed.
    let call = create(&emulator);
    call.send(&emulator).await;
    let sent = emulator.calls().pop().unwrap();
    let headers: Vec<(&str, String)> = ["x-ms-date", "x-ms-content-sha256", "authorization", "content-type"]
        .map(|name| (name, sent.header(name).unwrap().to_owned()))
        .into();
    let answer = send(&emulator, "POST", &call.target, &headers, "{ }").await.unwrap();
    let hash = "401 Denied: Request 'x-ms-content-sha256' differs from generated content hash. (-)";
    assert_eq!(answer.error(), hash);
    assert_eq!(send(&emulator, "POST", &call.target, &headers, "{}").await.unwrap().status, 201);

    let users = emulator.users().len();
    for nothing in [vec![], vec![("Authorization", "Bearer any".to_owned())], vec![("Authorization", "Basic a".into())]]
    {
        assert_eq!(send(&emulator, "POST", &call.target, &nothing, "").await.unwrap().error(), DENIED);
    }
    assert_eq!(emulator.users().len(), users);
}

#[tokio::test]
async fn a_header_that_is_signed_counts_only_if_it_is_there_once() {
    let emulator = Emulator::builder().bearer(true).start().await.unwrap();
    for date_header in ["x-ms-date", "date"] {
        for (twice, refused) in [
            ("x-ms-date", (date_header == "x-ms-date").then_some(DENIED)),
            ("date", (date_header == "date").then_some(DENIED)),
            ("x-ms-content-sha256", Some(DENIED)),
            ("authorization", Some(DENIED)),
            ("host", Some("400 ValidationError: There is more than one Host header. (Host)")),
        ] {
            let mut call = create(&emulator);
            call.date_header = date_header;
            let second = if twice == "authorization" { "Bearer any" } else { "Mon, 01 Jan 2024 00:00:00 GMT" };
            call.more.push((twice, second.into()));
            let answer = call.send(&emulator).await;
            match refused {
                Some(error) => assert_eq!(answer.error(), error, "{twice}"),
                None => assert_eq!(answer.status, 201, "{twice} is not what is signed"),
            }
        }
    }
    let target = format!("/identities?api-version={STABLE}");
    let bearers = [("Authorization", "Bearer a".to_owned()), ("Authorization", "Bearer b".to_owned())];
    assert_eq!(send(&emulator, "POST", &target, &bearers, "").await.unwrap().error(), DENIED);
    assert_eq!(send(&emulator, "POST", &target, &bearers[..1], "").await.unwrap().status, 201);
}

#[tokio::test]
async fn an_error_has_the_services_form_byte_for_byte() {
    let emulator = Emulator::start().await.unwrap();
    let denied = post(&emulator, &path(FOREIGN, "/:revokeAccessTokens"), STABLE, "").await;
    assert_eq!(denied.body, r#"{"error":{"code":"Denied","message":"Denied by the resource provider."}}"#);
    let id = created(&emulator).await;
    let invalid = post(&emulator, &path(&id, "/:issueAccessToken"), STABLE, r#"{"scopes":[]}"#).await;
    let message = r#""message":"Invalid scopes - Scopes field is required.""#;
    assert_eq!(invalid.body, format!(r#"{{"error":{{"code":"ValidationError",{message},"target":"scopes"}}}}"#));
}

#[tokio::test]
async fn the_clock_of_signatures_is_the_emulators() {
    let clock = ManualClock::new();
    let emulator =
        Emulator::builder().clock(Arc::new(clock.clone())).clock_skew(Duration::from_secs(5)).start().await.unwrap();
    let mut call = create(&emulator);
    assert_eq!(call.send(&emulator).await.error(), DENIED);
    call.date = clock.now();
    assert_eq!(call.send(&emulator).await.status, 201);
    clock.advance(Duration::from_secs(5));
    assert_eq!(call.send(&emulator).await.status, 201);
    clock.advance(Duration::from_secs(1));
    assert_eq!(call.send(&emulator).await.error(), DENIED);
}

#[tokio::test]
async fn any_bearer_token_is_taken_where_that_is_allowed() {
    let emulator = Emulator::builder().bearer(true).start().await.unwrap();
    let target = format!("/identities?api-version={STABLE}");
    let with =
        async |value: &str| send(&emulator, "POST", &target, &[("Authorization", value.to_owned())], "").await.unwrap();
    assert_eq!(with("Bearer any").await.status, 201);
    assert_eq!(with("bearer other").await.status, 201);
    for wrong in ["Bearer", "Bearer ", "Bearerany", "HMAC-SHA256 x"] {
        assert_eq!(with(wrong).await.error(), DENIED, "{wrong}");
    }
    // Signatures are checked all the same.
    assert_eq!(create(&emulator).send(&emulator).await.status, 201);
    let mut wrong_key = create(&emulator);
    wrong_key.key = "b3RoZXI=".into();
    assert_eq!(wrong_key.send(&emulator).await.error(), DENIED);
}

#[tokio::test]
async fn an_api_version_is_required_and_must_be_known() {
    let emulator = Emulator::start().await.unwrap();
    let with = async |target: &str| {
        let mut call = create(&emulator);
        call.target = target.to_owned();
        call.send(&emulator).await
    };
    for target in ["/identities", "/identities?", "/identities?api-version=", "/identities?version=2023-10-01"] {
        assert_eq!(
            with(target).await.error(),
            "400 ApiVersionUnspecified: An API version is required, but was not specified. (-)"
        );
    }
    for version in ["2020-07-20-preview2", "2024-01-01", "2023-10-01-preview", "2023-10-01&api-version=2023-10-01"] {
        let shown = version.split('&').next().unwrap();
        let expected = format!(
            "400 UnsupportedApiVersion: The HTTP resource that matches the request URI '{}/identities' \
             does not support the API version '{shown}'. (-)",
            emulator.endpoint()
        );
        let answer = with(&format!("/identities?api-version={version}")).await;
        assert_eq!(answer.error(), expected);
        let supported = "2021-03-07, 2021-10-31-preview, 2021-11-01, 2022-06-01, 2022-10-01, 2023-08-01, 2023-10-01, \
                         2025-03-02-preview, 2025-06-30";
        assert_eq!(answer.header("api-supported-versions"), Some(supported));
    }
    assert!(emulator.users().is_empty());
}

#[tokio::test]
async fn each_version_knows_its_operations_and_fields() {
    let emulator = Emulator::start().await.unwrap();
    let id = created(&emulator).await;
    let entra = emulator.entra_token("t", "o", "a", MINUTE);
    let teams = format!(r#"{{"token":"{entra}","appId":"a","userId":"o"}}"#);
    // What is new in each: the exchange of Teams, the lifetime, the newer scopes, `customId`, `GET`, and the
    // assignments.
    let versions = [
        ("2021-03-07", [400, 400, 400, 400, 400, 400, 400]),
        ("2021-11-01", [400, 400, 400, 400, 400, 400, 400]),
        ("2022-06-01", [200, 400, 400, 400, 400, 400, 400]),
        ("2022-10-01", [200, 201, 400, 400, 400, 400, 400]),
        ("2023-08-01", [200, 201, 400, 400, 400, 400, 400]),
        ("2023-10-01", [200, 201, 201, 400, 400, 400, 400]),
        ("2025-03-02-preview", [200, 201, 201, 201, 200, 404, 200]),
        ("2025-06-30", [200, 201, 201, 400, 400, 404, 400]),
    ];
    for (version, expected) in versions {
        let post = async |path: &str, body: &str| post(&emulator, path, version, body).await.status;
        let get = async |path: &str| Call::new(&emulator, "GET", path, version, "").send(&emulator).await.status;
        assert_eq!(post("/identities", r#"{"createTokenWithScopes":["chat"]}"#).await, 201);
        let seen = [
            post("/teamsUser/:exchangeAccessToken", &teams).await,
            post("/identities", r#"{"createTokenWithScopes":["chat"],"expiresInMinutes":60}"#).await,
            post("/identities", r#"{"createTokenWithScopes":["voip.join"]}"#).await,
            post("/identities", r#"{"customId":"bob"}"#).await,
            get(&path(&id, "")).await,
            get("/access/teamsExtension/tenants/t/assignments/o").await,
            get("/access/entra/assignments").await,
        ];
        assert_eq!(seen, expected, "{version}");
    }
    // A field that no version knows is passed over, as is one that is null.
    let body = r#"{"customId":null,"other":[1]}"#;
    assert_eq!(post(&emulator, "/identities", STABLE, body).await.status, 201);
}

#[tokio::test]
async fn other_paths_methods_and_bodies_are_refused() {
    let emulator = Emulator::start().await.unwrap();
    for target in [
        "/",
        "/chat/threads",
        "/identities/",
        "/identities//:issueAccessToken",
        "/identities/%ff",
        "/access",
        "/access/entra/assignments/",
        "/access/teamsExtension/tenants//assignments/o",
        "/access/teamsExtension/tenants/t/assignments/",
    ] {
        let answer = send(&emulator, "GET", &format!("{target}?api-version={STABLE}"), &[], "").await.unwrap();
        assert_eq!(answer.error(), "404 NotFound: The service has nothing at this path. (-)");
    }
    for (method, path, allow) in [
        ("GET", "/identities", "POST"),
        ("PUT", "/identities/8:acs:a_b", "GET, DELETE"),
        ("GET", "/identities/8:acs:a_b/:issueAccessToken", "POST"),
        ("POST", "/access/entra/assignments", "GET, PATCH"),
        ("POST", "/.well-known/jwks.json", "GET"),
    ] {
        let answer = send(&emulator, method, path, &[], "").await.unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    for body in ["[]", "\"text\"", "{", "nonsense", "null", "{\"a\":1}}"] {
        let refused = post(&emulator, "/identities", STABLE, body).await.error();
        assert_eq!(refused, "400 ValidationError: The request body is not a JSON object. (body)");
    }
    let mut typed = create(&emulator);
    typed.more = vec![("Content-Type", "text/plain; charset=utf-8".into())];
    assert_eq!(
        typed.send(&emulator).await.error(),
        r#"415 UnsupportedMediaType: The media type "text/plain" is not supported. (-)"#
    );
    typed.more = vec![("Content-Type", "Application/JSON; charset=utf-8".into())];
    assert_eq!(typed.send(&emulator).await.status, 201);
    assert_eq!(emulator.users().len(), 1);
}

#[tokio::test]
async fn each_operation_has_its_own_limit_for_a_window() {
    let clock = ManualClock::new();
    let limits = RateLimits::unlimited().with(Operation::CreateUser, 2).with(Operation::IssueToken, 1);
    let emulator = Emulator::builder().clock(Arc::new(clock.clone())).rate_limits(limits).start().await.unwrap();
    let call = async |path: &str, body: &str| -> Answer {
        let mut call = Call::new(&emulator, "POST", path, STABLE, body);
        call.date = clock.now();
        call.send(&emulator).await
    };
    let with_token = r#"{"createTokenWithScopes":["chat"]}"#;
    // What nobody has signed rightly, or is in no version, does not count.
    let mut uncounted = create(&emulator);
    assert_eq!(uncounted.send(&emulator).await.status, 401);
    uncounted.date = clock.now();
    uncounted.target = "/identities?api-version=2024-01-01".into();
    assert_eq!(uncounted.send(&emulator).await.status, 400);
    for _ in 0..2 {
        assert_eq!(call("/identities", "").await.status, 201);
    }
    clock.advance(Duration::from_millis(9500));
    let answer = call("/identities", "").await;
    assert_eq!(answer.error(), "429 TooManyRequests: The rate limit of this operation is reached. (-)");
    assert_eq!(answer.header("retry-after"), Some("21"));
    // It is another operation.
    assert_eq!(call("/identities", with_token).await.status, 201);
    // One that is refused for another reason counts, too.
    let issue = path(FOREIGN, "/:issueAccessToken");
    assert_eq!([call(&issue, "").await.status, call(&issue, "").await.status], [401, 429]);
    clock.advance(Duration::from_millis(20500));
    assert_eq!(call("/identities", "").await.status, 201);
    assert_eq!(emulator.users().len(), 4);
}

#[tokio::test]
async fn the_documented_limits_apply_unless_others_are_set() {
    let emulator = Emulator::builder().bearer(true).start().await.unwrap();
    let id = created(&emulator).await;
    let target = format!("{}?api-version={PREVIEW}", path(&id, "/:revokeAccessTokens"));
    let revoke = async || send(&emulator, "POST", &target, &[("Authorization", "Bearer a".into())], "").await.unwrap();
    for _ in 0..500 {
        assert_eq!(revoke().await.status, 204);
    }
    assert_eq!(revoke().await.status, 429);
    issued(&emulator, &id).await;
}

#[tokio::test]
async fn a_key_is_taken_as_clients_take_it_and_told_with_its_padding() {
    for (key, told) in [("c2VjcmV0LQ==", "c2VjcmV0LQ=="), (" c2VjcmV0LQ\n", "c2VjcmV0LQ=="), ("secret", "secreg==")] {
        let emulator = Emulator::builder().key(key).start().await.unwrap();
        assert_eq!(emulator.key(), told);
        created(&emulator).await;
    }
    for key in ["", " ", "=", "no base64"] {
        let error = Emulator::builder().key(key).start().await.unwrap_err();
        assert!(error.message().contains("access key") && !format!("{error:?}").contains("no base"), "{error:?}");
    }
}

#[tokio::test]
async fn only_a_patch_is_a_merge_patch() {
    let emulator = Emulator::start().await.unwrap();
    let sent = async |method, path: &str, media_type: &str| {
        let mut call = Call::new(&emulator, method, path, PREVIEW, "{}");
        call.more = vec![("Content-Type", media_type.into())];
        call.send(&emulator).await.error()
    };
    let refused =
        |media_type| format!("415 UnsupportedMediaType: The media type \"{media_type}\" is not supported. (-)");
    let (json, patch) = ("application/json", "application/merge-patch+json");
    assert_eq!(sent("POST", "/identities", patch).await, refused(patch));
    assert_eq!(sent("PUT", "/access/entra/assignments/o", patch).await, refused(patch));
    assert_eq!(sent("PATCH", "/access/entra/assignments", json).await, refused(json));
    assert!(emulator.users().is_empty());
}

#[tokio::test]
async fn a_seed_must_fit_the_resource() {
    use acs_identity_emulator::Seed;
    let start = async |seed: Seed| Emulator::builder().resource_id("r").seed(seed).start().await;
    let id = |text: &str| text.parse().unwrap();
    let seed = Seed::default().user(id("8:acs:r_1")).user_with_custom_id("bob", None);
    let users = start(seed.clone()).await.unwrap().users();
    assert_eq!(users[0].id().as_str(), "8:acs:r_1");
    assert_eq!((users.len(), users[1].custom_id()), (2, Some("bob")));
    for (wrong, why) in [
        (seed.clone().user(id("8:acs:r_1")), "user 3 of the seed is there twice"),
        (seed.clone().user(id(FOREIGN)), "user 3 of the seed is not of the form 8:acs:r_<user>"),
        (seed.clone().user_with_custom_id("bob", None), "user 3 of the seed has the customId of another one"),
        (seed.clone().user_with_custom_id("", None), "user 3 of the seed has a customId that is empty or too long"),
    ] {
        let error = start(wrong).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (acs_identity_core::ErrorKind::InvalidInput, why));
    }
    for resource in ["", "a_b", "a/b", "ü"] {
        assert!(Emulator::builder().resource_id(resource).start().await.is_err(), "{resource}");
    }
}
