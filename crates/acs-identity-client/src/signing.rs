//! HMAC-SHA256: how a request is signed with an access key.
//!
//! [Source](https://learn.microsoft.com/azure/communication-services/tutorials/hmac-header-tutorial).

use std::fmt;

use acs_identity_core::{Error, Result};
use azure_core::credentials::Secret;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, MS_DATE};
use azure_core::http::{Body, Request};
use azure_core::time::{OffsetDateTime, to_rfc7231};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::{digest, hmac};

const CONTENT_HASH: HeaderName = HeaderName::from_static("x-ms-content-sha256");

/// Written with padding, read with or without: it is easily lost in copying.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// An access key of an ACS resource.
pub(crate) struct AccessKey(hmac::Key);

impl AccessKey {
    /// From its Base64, as the portal shows it.
    pub(crate) fn new(key: &Secret) -> Result<Self> {
        let bytes = BASE64
            .decode(key.secret().trim())
            .map_err(|_| Error::invalid_input("the access key is not Base64; copy it whole from the portal"))?;
        if bytes.is_empty() {
            return Err(Error::invalid_input("the access key is empty"));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Puts date, hash and signature into the headers, in place of those that are there.
    pub(crate) fn sign(&self, request: &mut Request, now: OffsetDateTime) -> azure_core::Result<()> {
        let Body::Bytes(body) = request.body() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "a body that is a stream cannot be signed"));
        };
        let date = to_rfc7231(&now);
        let hash = content_hash(body);
        let url = request.url();
        let host = url.host_str().unwrap_or_default();
        let mut text = format!("{}\n{}", request.method().as_ref(), url.path());
        if let Some(query) = url.query() {
            text.push('?');
            text.push_str(query);
        }
        // A port that is the scheme's own is not in the address, nor in the header.
        match url.port() {
            Some(port) => text.push_str(&format!("\n{date};{host}:{port};{hash}")),
            None => text.push_str(&format!("\n{date};{host};{hash}")),
        }
        let signature = self.signature(text.as_bytes());
        request.insert_header(MS_DATE, date);
        request.insert_header(CONTENT_HASH, hash);
        request.insert_header(
            AUTHORIZATION,
            format!("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"),
        );
        Ok(())
    }

    fn signature(&self, text: &[u8]) -> String {
        BASE64.encode(hmac::sign(&self.0, text))
    }
}

fn content_hash(body: &[u8]) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, body))
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey")
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;
    use azure_core::time::parse_rfc7231;

    use super::*;

    fn key(text: &'static str) -> AccessKey {
        AccessKey::new(&Secret::new(text)).unwrap()
    }

    fn header(request: &Request, name: &'static str) -> String {
        request.headers().get_str(&HeaderName::from_static(name)).unwrap().to_owned()
    }

    fn signed(key: &AccessKey, method: Method, url: &str, body: &'static str, date: &str) -> (String, String) {
        let mut request = Request::new(url.parse().unwrap(), method);
        request.set_body(body);
        key.sign(&mut request, parse_rfc7231(date).unwrap()).unwrap();
        assert_eq!(header(&request, "x-ms-date"), date);
        let authorization = header(&request, "authorization");
        let signature =
            authorization.strip_prefix("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=");
        (header(&request, "x-ms-content-sha256"), signature.unwrap().to_owned())
    }

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    // The vectors of the JavaScript SDK's communicationKeyCredentialPolicy.spec.ts and cryptoUtils.spec.ts.
    #[test]
    fn the_vectors_of_the_javascript_sdk_hold() {
        let key = key("pw==");
        let date = "Wed, 13 Apr 2022 18:09:12 GMT";
        for (url, signature) in [
            ("https://example.com/testPath?testQuery=test", "DGdgwggJWnQyc6EHjR/Vbqg1ES64KpD6U2XwTDDj3tU="),
            ("https://example.com/testPath", "+6tWkg3lNKVjQHHmxkdGQcJjUgzclsWTMebnuCz1ngU="),
            ("https://example.com:443/testPath", "+6tWkg3lNKVjQHHmxkdGQcJjUgzclsWTMebnuCz1ngU="),
        ] {
            assert_eq!(signed(&key, Method::Get, url, "", date), (EMPTY.into(), signature.into()));
        }
        assert_eq!(key.signature(b"banana"), "88EC05aAS9iXnaimtNO78JLjiPtfWryQB/5QYEzEsu8=");
        assert_eq!(key.signature("😀".as_bytes()), "1rudJKjn2Zi+3hRrBG29wIF6pD6YyAeQR1ZcFtXoKAU=");
        assert_eq!(content_hash(b"banana"), "tJPUg2Sv5E0RwBZc9HCkFk0eJgmRHvmYvoaNRq3j3k4=");
        assert_eq!(content_hash("😀".as_bytes()), "8EQ6NCxe9UeDoRG1G6Vsk45HTDIyTZDDpgycjjo34tk=");
    }

    #[test]
    fn the_requests_of_this_service_are_signed_as_elsewhere() {
        let key = key("c2VjcmV0LWtleS1mb3ItdGVzdHM=");
        let id = "8:acs:11111111-1111-1111-1111-111111111111_22222222-2222-2222-2222-222222222222";
        let encoded = id.replace(':', "%3A");
        let (issue, delete) = (format!("/identities/{encoded}/:issueAccessToken"), format!("/identities/{encoded}"));
        for (method, path, body, hash, signature) in [
            (
                Method::Post,
                "/identities",
                r#"{"createTokenWithScopes":["chat"],"expiresInMinutes":60}"#,
                "kET9vD/6sAVRB6ISkrpOL44L0M1olvugZ/QYxlSQK9k=",
                "ASRAkA+Njcc/I4h3kyVlQzDUgdUIY0FEknvSNlFrUCQ=",
            ),
            (Method::Delete, &delete, "", EMPTY, "nuPoPSItMDYBxeZuu+n9nA8fSJE0v9MoOtGtOsP5z08="),
            (Method::Delete, &format!("/identities/{id}"), "", EMPTY, "33y5aSsXTa6U9NxeFwewEU+6NbOznKwC8h2ZGIedpOw="),
            (
                Method::Post,
                &issue,
                r#"{"scopes":["chat"]}"#,
                "J+doRQjtFVYLx3qOvzptwBLjQWqy6OEWEEk1TY1+rT4=",
                "3/Zxp6DdKAeFz561by9UOiUeY/TMc5PvEO+42vBfsvE=",
            ),
        ] {
            let url = format!("https://contoso.communication.azure.com{path}?api-version=2023-10-01");
            let found = signed(&key, method, &url, body, "Mon, 01 Jan 2024 00:00:00 GMT");
            assert_eq!(found, (hash.into(), signature.into()), "{path}");
        }
    }

    #[test]
    fn another_port_is_signed_and_another_try_is_signed_anew() {
        let key = key("pw==");
        let date = "Wed, 13 Apr 2022 18:09:12 GMT";
        let at = |url| signed(&key, Method::Get, url, "", date).1;
        assert_ne!(at("http://localhost:8080/x"), at("http://localhost/x"));

        let mut request = Request::new("https://example.com/testPath".parse().unwrap(), Method::Get);
        key.sign(&mut request, OffsetDateTime::UNIX_EPOCH).unwrap();
        let first = header(&request, "authorization");
        key.sign(&mut request, parse_rfc7231(date).unwrap()).unwrap();
        assert_eq!(header(&request, "x-ms-date"), date);
        assert_ne!(header(&request, "authorization"), first);
    }

    #[test]
    fn a_key_is_read_with_or_without_padding_and_never_shown() {
        assert_eq!(key("c2VjcmV0LQ==").signature(b"x"), key(" c2VjcmV0LQ ").signature(b"x"));
        for bad in ["", "  ", "hidden!", "hidden\u{e9}"] {
            let error = AccessKey::new(&Secret::new(bad)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"), "{error}");
        }
        assert_eq!(format!("{:?}", key("pw==")), "AccessKey");
    }
}
