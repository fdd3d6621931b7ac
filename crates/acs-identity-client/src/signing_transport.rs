//! The last policy: puts in the true address, signs what is now final, and sends it.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::{Error as TransportError, ErrorKind as TransportKind};
use azure_core::http::headers::AUTHORIZATION;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Body, Context, Request, Transport};
use azure_core::time::OffsetDateTime;
use tokio::time::timeout_at;

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::service_error::scrubbed;
use crate::signing::AccessKey;
use crate::transport::{Http, Message, whole};

/// Who carries requests to the service.
#[derive(Debug)]
pub(crate) enum Carrier {
    Own(Http),
    Given(Transport),
}

#[derive(Debug)]
pub(crate) struct SigningTransport {
    pub(crate) endpoint: Endpoint,
    /// `None` if the request has a bearer token.
    pub(crate) key: Option<AccessKey>,
    pub(crate) carrier: Carrier,
}

#[async_trait]
impl Policy for SigningTransport {
    async fn send(&self, context: &Context, request: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
        let Some(call) = context.value::<Arc<Call>>() else {
            return Err(TransportError::with_message(TransportKind::Other, "a policy has replaced the context"));
        };
        let Body::Bytes(body) = request.body() else {
            return Err(TransportError::with_message(TransportKind::Other, "a body that is a stream cannot be signed"));
        };
        let signature = self.key.as_ref().map(|key| {
            let method = request.method().as_str();
            key.sign(method, self.endpoint.authority(), call.target.as_str(), body, OffsetDateTime::now_utc())
        });
        if let Some([_, (_, hash), (_, authorization)]) = &signature {
            // Whoever has the hash can find out by trying what a short body was.
            call.scrubber.add(hash);
            call.scrubber.add(secret(authorization));
        } else if let Some(authorization) = request.headers().get_optional_str(&AUTHORIZATION) {
            call.scrubber.add(secret(authorization));
        }
        // What is final is a copy: the other policies never see what is in it, also if this is dropped half-way.
        let response = match &self.carrier {
            Carrier::Own(http) => {
                let mut message = Message::new(request, &self.endpoint, &call.target, body.clone())?;
                for (name, value) in signature.into_iter().flatten() {
                    message.insert(name, value)?;
                }
                call.connecting(message.connection());
                http.send(message).await?
            }
            Carrier::Given(transport) => {
                let mut request = request.clone();
                *request.url_mut() = self.endpoint.url(call.target.path());
                for (name, value) in signature.into_iter().flatten() {
                    request.insert_header(name, value);
                }
                call.sent();
                transport.send(context, &mut request).await?
            }
        };
        let (status, mut headers, body) = response.deconstruct();
        let body = match status.is_success() {
            true => whole(body).await?,
            false => {
                headers = scrubbed(&headers, &call.scrubber);
                // A refusal is one also if the rest of it is cut, too long, or does not come.
                timeout_at(call.end(), whole(body)).await.ok().and_then(Result::ok).unwrap_or_default()
            }
        };
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

/// What nobody else may read of an `authorization` header: the signature or the token.
fn secret(authorization: &str) -> &str {
    let parts = authorization.split_once("&Signature=").or_else(|| authorization.split_once(' '));
    parts.map_or(authorization, |(_, secret)| secret)
}
