//! HTTP/1.1 with TLS by rustls and ring: what requests are sent by, unless the options say otherwise.
//!
//! Not `azure_core`'s own: that one writes addresses, and so ACS IDs, into logs and errors, and chooses another provider of
//! cryptography than the rest of this workspace has.

use std::fmt::Display;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Error, ErrorKind, Result};
use azure_core::Bytes;
use azure_core::error::{Error as TransportError, ErrorKind as TransportKind};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, AsyncResponseBody, Request};
use futures::TryStreamExt;
use http_body_util::{BodyExt, Full};
use hyper::Method;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::endpoint::Endpoint;
use crate::names::Names;

/// The longest that a connection may take before TLS, to all addresses of a host together.
const CONNECT: Duration = Duration::from_secs(5);

/// Below the four minutes after which Azure's load balancers forget a connection.
const IDLE: Duration = Duration::from_secs(90);

/// No answer of the service has more bytes by far.
const MAX_ANSWER: usize = 1 << 20;

/// A pool of connections.
#[derive(Debug)]
pub(crate) struct Http(Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>);

/// A request as it goes over the wire.
pub(crate) struct Message(hyper::Request<Full<Bytes>>);

impl Http {
    /// A transport for an endpoint with or without encryption.
    ///
    /// No proxy is looked for: requests without encryption must not leave this machine.
    pub(crate) fn new(plain: bool, authority: Option<&Path>, try_timeout: Duration) -> Result<Self> {
        let mut connector = HttpConnector::new_with_resolver(Names(GaiResolver::new()));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // Before the try ends, so that the reason is told.
        connector.set_connect_timeout(Some(CONNECT.min(try_timeout / 2)));
        let builder = HttpsConnectorBuilder::new();
        let builder = match (plain, authority) {
            (true, _) => builder.with_tls_config(config(RootCertStore::empty())?),
            (false, Some(file)) => builder.with_tls_config(config(authorities(file)?)?),
            (false, None) => builder
                .with_provider_and_native_roots(ring::default_provider())
                .map_err(|_| misconfigured("this system has no certificate authorities that could be read"))?,
        };
        let connector = match plain {
            true => builder.https_or_http().enable_http1().wrap_connector(connector),
            false => builder.https_only().enable_http1().wrap_connector(connector),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        Ok(Self(client))
    }

    /// Sends it; the body of the answer is left to be read.
    pub(crate) async fn send(&self, message: Message) -> azure_core::Result<AsyncRawResponse> {
        let response = self.0.request(message.0).await.map_err(|error| {
            // Connections are made before anything is sent.
            let kind = if error.is_connect() { TransportKind::Connection } else { TransportKind::Io };
            TransportError::new(kind, error)
        })?;
        let (head, body) = response.into_parts();
        let body = body.map_err(|error| TransportError::new(TransportKind::Io, error));
        let mut headers = Headers::new();
        for (name, value) in &head.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(AsyncRawResponse::new(head.status.as_u16().into(), headers, Box::pin(body.into_data_stream())))
    }
}

impl Message {
    /// A request with all of its headers, to `target` at the endpoint.
    pub(crate) fn new(
        request: &Request,
        endpoint: &Endpoint,
        target: &PathAndQuery,
        body: Bytes,
    ) -> azure_core::Result<Self> {
        let mut message = Self(hyper::Request::new(Full::new(body)));
        *message.0.method_mut() =
            Method::from_bytes(request.method().as_str().as_bytes()).map_err(|_| bad("a method"))?;
        *message.0.uri_mut() = endpoint.uri(target.clone()).map_err(|_| bad("the address"))?;
        // With room for those that come later: the signature's, and hyper's for the length.
        message.0.headers_mut().reserve(request.headers().iter().count() + 5);
        // The one that is signed, whatever a policy says; first, as is the custom.
        message.0.headers_mut().insert(HOST, endpoint.host().clone());
        for (name, value) in request.headers().iter().filter(|(name, _)| name.as_str() != HOST.as_str()) {
            message.insert(name.as_str(), value.as_str().to_owned())?;
        }
        Ok(message)
    }

    pub(crate) fn insert(&mut self, name: &str, value: String) -> azure_core::Result<()> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("a header's name"))?;
        self.0.headers_mut().insert(name, HeaderValue::try_from(value).map_err(|_| bad("a header"))?);
        Ok(())
    }

    /// What there is of a connection as soon as one is found or made for it, right before it is sent.
    pub(crate) fn connection(&mut self) -> CaptureConnection {
        capture_connection(&mut self.0)
    }
}

/// Reads the body of an answer to its end: a `DataConversion` error if it is too long, and an `Io` error whatever else befalls it.
pub(crate) async fn whole(body: AsyncResponseBody) -> azure_core::Result<Bytes> {
    let (mut body, mut parts, mut left) = (pin!(body), Vec::new(), MAX_ANSWER);
    while let Some(part) = body.try_next().await.map_err(|error| no_whole(TransportKind::Io, &error))? {
        let after = left.checked_sub(part.len());
        left = after.ok_or_else(|| no_whole(TransportKind::DataConversion, &"it is too long"))?;
        parts.push(part);
    }
    // Most come in one part, which is not copied.
    Ok(if parts.len() > 1 { parts.concat().into() } else { parts.pop().unwrap_or_default() })
}

fn no_whole(kind: TransportKind, why: &dyn Display) -> TransportError {
    TransportError::with_message(kind, format!("no whole answer: {why}"))
}

fn bad(what: &str) -> TransportError {
    TransportError::with_message(TransportKind::Other, format!("{what} is not allowed in HTTP"))
}

/// Of this crate's own provider, whatever the process has chosen.
fn config(roots: RootCertStore) -> Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| misconfigured("this build of TLS has no version in common with anybody"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(file: &Path) -> Result<RootCertStore> {
    const BAD: &str = "the file of the certificate authority cannot be read as PEM";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|_| misconfigured(BAD))? {
        let certificate = certificate.map_err(|_| misconfigured(BAD))?;
        roots.add(certificate).map_err(|_| misconfigured("a certificate in the file of the authority is not valid"))?;
    }
    if roots.is_empty() {
        return Err(misconfigured("the file of the certificate authority has no certificate in it"));
    }
    Ok(roots)
}

fn misconfigured(what: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, what)
}
