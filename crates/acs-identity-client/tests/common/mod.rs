//! What the tests share: clients of an emulator, and transports that listen in or interfere.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_client::azure_core::Result as AzureResult;
use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::azure_core::http::headers::Headers;
use acs_identity_client::azure_core::http::{
    AsyncRawResponse, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions, StatusCode, Transport,
};
use acs_identity_client::{ApiVersion, IdentityClient, IdentityClientOptions};
use acs_identity_core::AcsId;
use acs_identity_emulator::Emulator;
use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PREVIEW: ApiVersion = ApiVersion::V2025_03_02_PREVIEW;

/// Options with short pauses between tries.
pub(crate) fn quick() -> IdentityClientOptions {
    let retry = ExponentialRetryOptions {
        initial_delay: acs_identity_client::azure_core::time::Duration::milliseconds(1),
        ..Default::default()
    };
    IdentityClientOptions {
        client_options: ClientOptions { retry: RetryOptions::exponential(retry), ..Default::default() },
        ..Default::default()
    }
}

pub(crate) fn with_version(api_version: ApiVersion) -> IdentityClientOptions {
    IdentityClientOptions { api_version, ..quick() }
}

pub(crate) fn with_deadline(deadline: Duration) -> IdentityClientOptions {
    IdentityClientOptions { deadline, ..quick() }
}

pub(crate) fn with_transport(transport: impl HttpClient + 'static) -> IdentityClientOptions {
    let mut options = quick();
    options.client_options.transport = Some(Transport::new(Arc::new(transport)));
    options
}

pub(crate) fn client(emulator: &Emulator, options: IdentityClientOptions) -> IdentityClient {
    IdentityClient::from_connection_string(&emulator.connection_string(), Some(options)).unwrap()
}

/// A client of nobody, whose requests end in this transport.
pub(crate) fn client_on(transport: impl HttpClient + 'static, api_version: ApiVersion) -> IdentityClient {
    let options = IdentityClientOptions { api_version, ..with_transport(transport) };
    IdentityClient::with_key("https://contoso.communication.azure.com", Secret::new("c2VjcmV0"), Some(options)).unwrap()
}

pub(crate) fn id(text: &str) -> AcsId {
    AcsId::new(text).unwrap()
}

pub(crate) type Answer = AzureResult<AsyncRawResponse>;
pub(crate) type Script = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// Answers from a list, and notes what was asked. After the last one it repeats that.
#[derive(Clone)]
pub(crate) struct Canned(Arc<Inner>);

struct Inner {
    answers: Vec<Script>,
    seen: Mutex<Vec<Request>>,
}

impl Canned {
    pub(crate) fn new(answers: Vec<Script>) -> Self {
        Self(Arc::new(Inner { answers, seen: Mutex::default() }))
    }

    pub(crate) fn always(status: u16, body: &'static str) -> Self {
        Self::new(vec![answer(status, body)])
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.0.seen.lock().unwrap().clone()
    }
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

#[async_trait]
impl HttpClient for Canned {
    async fn execute_request(&self, request: &Request) -> Answer {
        let place = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.push(request.clone());
            (seen.len() - 1).min(self.0.answers.len() - 1)
        };
        (self.0.answers[place])(request)
    }
}

pub(crate) fn answer(status: u16, body: &'static str) -> Script {
    answer_with(status, &[], body)
}

pub(crate) fn answer_with(status: u16, headers: &'static [(&'static str, &'static str)], body: &'static str) -> Script {
    Box::new(move |_| {
        let mut map = Headers::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), map, body))
    })
}

/// Stands between a client and an emulator, and replaces each `from` in requests by `to`, which is as long. Its endpoint.
pub(crate) async fn meddling_proxy(emulator: &Emulator, from: &'static str, to: &'static str) -> String {
    assert_eq!(from.len(), to.len());
    let target = emulator.endpoint().strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            let ((mut requests, mut answers), (mut back, mut there)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut answers).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(length @ 1..) = requests.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]).replace(from, to);
                    there.write_all(text.as_bytes()).await.unwrap();
                }
            });
        }
    });
    endpoint
}
