//! A client that knows no more than HTTP and how to sign.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use acs_identity_core::{Clock, SystemClock, Timestamp};
use acs_identity_emulator::{Emulator, TokenState};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const STABLE: &str = "2023-10-01";
pub(crate) const PREVIEW: &str = "2025-03-02-preview";
/// An ID of another resource.
pub(crate) const FOREIGN: &str = "8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000";

/// An answer of the emulator.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Its body as JSON; null if it has none.
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { serde_json::from_str(&self.body).expect("JSON") }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Status, code, message and target of an error, as one line.
    pub(crate) fn error(&self) -> String {
        let error = &self.json()["error"];
        let text = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
        format!("{} {}: {} ({})", self.status, text("code"), text("message"), text("target"))
    }
}

/// A request to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) body: String,
    pub(crate) key: String,
    pub(crate) date_header: &'static str,
    pub(crate) date: Timestamp,
    /// Headers besides.
    pub(crate) more: Vec<(&'static str, String)>,
}

impl Call {
    /// A call that is in order.
    pub(crate) fn new(emulator: &Emulator, method: &'static str, path: &str, version: &str, body: &str) -> Self {
        Self {
            method,
            target: format!("{path}?api-version={version}"),
            body: body.to_owned(),
            key: emulator.key().to_owned(),
            date_header: "x-ms-date",
            date: SystemClock.now(),
            more: vec![("Content-Type", "application/json".into())],
        }
    }

    /// Signs and sends it; `None` if the connection ends without an answer.
    pub(crate) async fn try_send(&self, emulator: &Emulator) -> Option<Answer> {
        let host = emulator.endpoint().strip_prefix("http://").expect("http");
        let format =
            format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
        let date = OffsetDateTime::from(std::time::SystemTime::from(self.date)).format(&format).expect("a date");
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, self.body.as_bytes()));
        let to_sign = format!("{}\n{}\n{date};{host};{hash}", self.method, self.target);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(&self.key).expect("base64"));
        let signature = STANDARD.encode(hmac::sign(&key, to_sign.as_bytes()));
        let signed_headers = format!("{};host;x-ms-content-sha256", self.date_header);
        let mut headers = vec![
            (self.date_header, date),
            ("x-ms-content-sha256", hash),
            ("Authorization", format!("HMAC-SHA256 SignedHeaders={signed_headers}&Signature={signature}")),
        ];
        headers.extend(self.more.clone());
        send(emulator, self.method, &self.target, &headers, &self.body).await
    }

    pub(crate) async fn send(&self, emulator: &Emulator) -> Answer {
        self.try_send(emulator).await.expect("an answer")
    }
}

/// Sends a request as it is; `None` if the connection ends without an answer.
pub(crate) async fn send(
    emulator: &Emulator,
    method: &str,
    target: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Option<Answer> {
    let host = emulator.endpoint().strip_prefix("http://").expect("http");
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    raw(emulator, request.as_bytes()).await
}

/// Sends bytes and reads one answer.
pub(crate) async fn raw(emulator: &Emulator, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(emulator.endpoint().strip_prefix("http://").expect("http")).await.ok()?;
    // The emulator may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8(text).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// The path of a user, its colons encoded as most official clients do it.
pub(crate) fn path(id: &str, verb: &str) -> String {
    format!("/identities/{}{verb}", id.replace(':', "%3A"))
}

/// Creates a user and returns its ID.
pub(crate) async fn created(emulator: &Emulator) -> String {
    let answer = Call::new(emulator, "POST", "/identities", STABLE, "{}").send(emulator).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["identity"]["id"].as_str().expect("an ID").to_owned()
}

pub(crate) async fn post(emulator: &Emulator, path: &str, version: &str, body: &str) -> Answer {
    Call::new(emulator, "POST", path, version, body).send(emulator).await
}

/// Issues a token with the scope `chat`, and returns it.
pub(crate) async fn issued(emulator: &Emulator, id: &str) -> String {
    let answer = post(emulator, &path(id, "/:issueAccessToken"), STABLE, r#"{"scopes":["chat"]}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["token"].as_str().expect("a token").to_owned()
}

pub(crate) fn states(emulator: &Emulator, id: &str) -> Vec<TokenState> {
    emulator.tokens_of(id).iter().map(acs_identity_emulator::IssuedToken::state).collect()
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// The claims in a token.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&payload).expect("JSON")
}
