//! Users of Entra ID and of Teams, over HTTP.

mod common;

use acs_identity_emulator::Emulator;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Answer, Call, MINUTE, PREVIEW, STABLE, claims, created, post, send};
use serde_json::{Value, json};

const DENIED: &str = "401 Denied: Denied by the resource provider. (-)";
const EXTENSION: &str = "/access/teamsExtension/tenants/t/assignments/o";
const ENTRA: &str = "/access/entra/assignments";

async fn exchange(emulator: &Emulator, path: &str, token: &str) -> Answer {
    let target = format!("{path}?api-version={PREVIEW}");
    let headers = [("Authorization", format!("Bearer {token}")), ("Content-Type", "application/json".into())];
    send(emulator, "POST", &target, &headers, "{}").await.expect("an answer")
}

async fn call(emulator: &Emulator, method: &'static str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut call = Call::new(emulator, method, path, PREVIEW, &body);
    if method == "PATCH" {
        call.more = vec![("Content-Type", "application/merge-patch+json".into())];
    }
    call.send(emulator).await
}

#[tokio::test]
async fn a_teams_token_is_exchanged_for_one_that_expires_with_it() {
    let emulator = Emulator::start().await.unwrap();
    let token = emulator.entra_token("t", "o", "a", 90 * MINUTE);
    let body = |token: &str, app: &str, user: &str| json!({ "token": token, "appId": app, "userId": user }).to_string();
    let exchange = async |body: &str| post(&emulator, "/teamsUser/:exchangeAccessToken", STABLE, body).await;
    let answer = exchange(&body(&token, "a", "o")).await;
    assert_eq!(answer.status, 200);
    let exchanged = answer.json()["token"].as_str().unwrap().to_owned();
    assert!(emulator.is_token_valid(&exchanged));
    assert_eq!(claims(&exchanged)["exp"], claims(&token)["exp"]);
    assert_eq!(claims(&exchanged)["skypeid"], "orgid:o");
    assert!(answer.json()["expiresOn"].as_str().unwrap().ends_with(".0000000+00:00"));
    // Nobody of the resource was created.
    assert!(emulator.users().is_empty());
    assert_eq!(emulator.tokens_of("8:orgid:o").len(), 1);

    // A date in a JWT may have a fraction (RFC 7519, section 2).
    let exp = claims(&token)["exp"].as_u64().unwrap();
    let payload = URL_SAFE_NO_PAD.encode(json!({ "exp": exp as f64 + 0.5 }).to_string());
    let answer = exchange(&body(&format!("e30.{payload}.x"), "a", "o")).await;
    assert_eq!(claims(answer.json()["token"].as_str().unwrap())["exp"], exp);
    assert!(answer.json()["expiresOn"].as_str().unwrap().ends_with(".5000000+00:00"), "{answer:?}");

    let expired = emulator.entra_token("t", "o", "a", std::time::Duration::ZERO);
    for wrong in ["", "text", "a.b", "a.b.c", &format!("{token}.x"), &expired] {
        assert_eq!(exchange(&body(wrong, "a", "o")).await.error(), DENIED, "{wrong}");
    }
    assert_eq!(exchange(r#"{"appId":"a","userId":"o"}"#).await.error(), DENIED);
    for (app, user, target) in [("", "o", "appId"), ("a", "", "userId"), ("b", "o", "appId"), ("a", "p", "userId")] {
        let refused = exchange(&body(&token, app, user)).await;
        assert_eq!((refused.status, refused.json()["error"]["target"].as_str()), (400, Some(target)));
    }
}

#[tokio::test]
async fn a_teams_phone_assignment_lets_a_user_in() {
    let emulator = Emulator::start().await.unwrap();
    let token = emulator.entra_token("t", "o", "a", 60 * MINUTE);
    let path = "/access/teamsExtension/:exchangeAccessToken";
    assert_eq!(exchange(&emulator, path, &token).await.error(), DENIED);
    let missing = "404 AssignmentNotFound: The assignment doesn't exist. (-)";
    assert_eq!(call(&emulator, "GET", EXTENSION, &Value::Null).await.error(), missing);

    let request = json!({ "principalType": "user", "clientIds": ["a"] });
    let stored = json!({ "objectId": "o", "tenantId": "t", "principalType": "user", "clientIds": ["a"] });
    for status in [201, 200] {
        let answer = call(&emulator, "PUT", EXTENSION, &request).await;
        assert_eq!((answer.status, answer.json()), (status, stored.clone()));
    }
    assert_eq!(call(&emulator, "GET", EXTENSION, &Value::Null).await.json(), stored);

    for _ in 0..2 {
        let answer = exchange(&emulator, path, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = format!("8:acs:{}_t_o", emulator.resource_id());
        assert_eq!(answer.json()["identity"], json!({ "id": id }));
        assert!(emulator.is_token_valid(answer.json()["accessToken"]["token"].as_str().unwrap()));
        assert_eq!(emulator.users()[0].id().as_str(), id);
    }
    assert_eq!(emulator.users().len(), 1);
    for (tenant, object, client) in [("u", "o", "a"), ("t", "p", "a"), ("t", "o", "b")] {
        let other = emulator.entra_token(tenant, object, client, 60 * MINUTE);
        assert_eq!(exchange(&emulator, path, &other).await.error(), DENIED);
    }
    // A signature is no token of a user.
    assert_eq!(call(&emulator, "POST", path, &json!({})).await.error(), DENIED);

    assert_eq!(call(&emulator, "PUT", EXTENSION, &json!({ "principalType": "group" })).await.status, 400);
    assert_eq!(call(&emulator, "PUT", EXTENSION, &json!({})).await.status, 400);
    for _ in 0..2 {
        assert_eq!(call(&emulator, "DELETE", EXTENSION, &Value::Null).await.status, 204);
    }
    assert_eq!(exchange(&emulator, path, &token).await.error(), DENIED);
}

#[tokio::test]
async fn entra_assignments_are_listed_put_patched_and_deleted() {
    let emulator = Emulator::start().await.unwrap();
    let one = |kind: &str| json!({ "tenantId": "t", "principalType": kind, "clientIds": ["a"] });
    let of = |object: &str, kind: &str| {
        let mut stored = one(kind);
        stored["objectId"] = object.into();
        stored
    };
    let path = |object: &str| format!("{ENTRA}/{object}");
    assert_eq!(call(&emulator, "GET", ENTRA, &Value::Null).await.json(), json!({ "value": [] }));
    for status in [201, 200] {
        let answer = call(&emulator, "PUT", &path("o"), &one("user")).await;
        assert_eq!((answer.status, answer.json()), (status, of("o", "user")));
    }
    let patch = json!({ "o": null, "p": one("group"), "t": one("tenant") });
    let answer = call(&emulator, "PATCH", ENTRA, &patch).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "value": [of("p", "group"), of("t", "tenant")] })));
    assert_eq!(call(&emulator, "GET", ENTRA, &Value::Null).await.json(), answer.json());
    assert_eq!(call(&emulator, "GET", &path("p"), &Value::Null).await.json(), of("p", "group"));
    assert_eq!(call(&emulator, "GET", &path("o"), &Value::Null).await.status, 404);

    // One that is wrong leaves all as it was.
    let wrong = json!({ "p": null, "q": one("robot") });
    assert_eq!(call(&emulator, "PATCH", ENTRA, &wrong).await.status, 400);
    assert_eq!(call(&emulator, "PATCH", ENTRA, &json!({ "p": 1 })).await.status, 400);
    assert_eq!(call(&emulator, "PATCH", ENTRA, &json!({ "": one("user") })).await.status, 400);
    assert_eq!(call(&emulator, "GET", ENTRA, &Value::Null).await.json(), answer.json());
    assert_eq!(call(&emulator, "PATCH", ENTRA, &json!({ "p": null })).await.status, 204);
    assert_eq!(call(&emulator, "DELETE", &path("t"), &Value::Null).await.status, 204);
    assert_eq!(call(&emulator, "GET", ENTRA, &Value::Null).await.json(), json!({ "value": [] }));
}

#[tokio::test]
async fn an_entra_assignment_of_the_user_or_of_the_tenant_lets_a_user_in() {
    let emulator = Emulator::start().await.unwrap();
    let token = emulator.entra_token("t", "o", "a", 60 * MINUTE);
    let path = "/access/entra/:exchangeAccessToken";
    assert_eq!(exchange(&emulator, path, &token).await.error(), DENIED);
    for (object, kind, status) in [("o", "user", 200), ("t", "tenant", 200), ("o", "group", 401), ("p", "user", 401)] {
        let put = json!({ "tenantId": "t", "principalType": kind, "clientIds": ["a"] });
        let assignment = format!("{ENTRA}/{object}");
        call(&emulator, "PUT", &assignment, &put).await;
        let answer = exchange(&emulator, path, &token).await;
        assert_eq!(answer.status, status, "{object} {kind}");
        if status == 200 {
            let id = format!("8:acs:{}_wf_t_o", emulator.resource_id());
            assert_eq!(answer.json()["identity"]["id"], id.as_str());
        }
        call(&emulator, "DELETE", &assignment, &Value::Null).await;
    }
    assert_eq!(exchange(&emulator, path, "nonsense").await.error(), DENIED);
    created(&emulator).await;
}
