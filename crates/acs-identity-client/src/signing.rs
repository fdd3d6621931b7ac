//! HMAC-SHA256: how a request is signed with an access key.
//!
//! [Source](https://learn.microsoft.com/azure/communication-services/tutorials/hmac-header-tutorial).

use std::fmt;

use acs_identity_core::{Error, Result};
use azure_core::credentials::Secret;
use azure_core::time::{OffsetDateTime, to_rfc7231};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac};

/// An access key of an ACS resource.
pub(crate) struct AccessKey(hmac::Key);

impl AccessKey {
    /// From its Base64, whole and with its padding, as the portal shows it.
    pub(crate) fn new(key: &Secret) -> Result<Self> {
        let bytes = BASE64_STANDARD
            .decode(key.secret().trim())
            .map_err(|_| Error::invalid_input("the access key is not Base64; copy it whole from the portal"))?;
        if bytes.is_empty() {
            return Err(Error::invalid_input("the access key is empty"));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The headers with date, hash and signature of a request. `target` is path and query, and `authority` the host and a port that
    /// is not the scheme's own, all as they go over the wire.
    pub(crate) fn sign(
        &self,
        method: &str,
        authority: &str,
        target: &str,
        body: &[u8],
        now: OffsetDateTime,
    ) -> [(&'static str, String); 3] {
        let date = to_rfc7231(&now);
        let hash = content_hash(body);
        let signature =
            self.signature([method, "\n", target, "\n", &date, ";", authority, ";", &hash].concat().as_bytes());
        let authorization =
            ["HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=", &signature].concat();
        [("x-ms-date", date), ("x-ms-content-sha256", hash), ("authorization", authorization)]
    }

    fn signature(&self, text: &[u8]) -> String {
        base64(hmac::sign(&self.0, text).as_ref())
    }
}

fn content_hash(body: &[u8]) -> String {
    base64(digest::digest(&digest::SHA256, body).as_ref())
}

/// Of 256 bits.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(44);
    BASE64_STANDARD.encode_string(bytes, &mut text);
    text
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey")
    }
}

#[cfg(test)]
mod tests {
    use azure_core::time::parse_rfc7231;

    use super::*;

    fn key(text: &'static str) -> AccessKey {
        AccessKey::new(&Secret::new(text)).unwrap()
    }

    /// The hash and the signature.
    fn signed(
        key: &AccessKey,
        method: &str,
        authority: &str,
        target: &str,
        body: &str,
        date: &str,
    ) -> (String, String) {
        let headers = key.sign(method, authority, target, body.as_bytes(), parse_rfc7231(date).unwrap());
        let [("x-ms-date", dated), ("x-ms-content-sha256", hash), ("authorization", authorization)] = headers else {
            panic!("other headers");
        };
        assert_eq!(dated, date);
        let signature =
            authorization.strip_prefix("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=");
        (hash, signature.unwrap().to_owned())
    }

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    // The vectors of the JavaScript SDK's communicationKeyCredentialPolicy.spec.ts and cryptoUtils.spec.ts.
    #[test]
    fn the_vectors_of_the_javascript_sdk_hold() {
        let key = key("pw==");
        let date = "Wed, 13 Apr 2022 18:09:12 GMT";
        for (target, signature) in [
            ("/testPath?testQuery=test", "DGdgwggJWnQyc6EHjR/Vbqg1ES64KpD6U2XwTDDj3tU="),
            ("/testPath", "+6tWkg3lNKVjQHHmxkdGQcJjUgzclsWTMebnuCz1ngU="),
        ] {
            assert_eq!(signed(&key, "GET", "example.com", target, "", date), (EMPTY.into(), signature.into()));
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
                "POST",
                "/identities",
                r#"{"createTokenWithScopes":["chat"],"expiresInMinutes":60}"#,
                "kET9vD/6sAVRB6ISkrpOL44L0M1olvugZ/QYxlSQK9k=",
                "ASRAkA+Njcc/I4h3kyVlQzDUgdUIY0FEknvSNlFrUCQ=",
            ),
            ("DELETE", &delete, "", EMPTY, "nuPoPSItMDYBxeZuu+n9nA8fSJE0v9MoOtGtOsP5z08="),
            ("DELETE", &format!("/identities/{id}"), "", EMPTY, "33y5aSsXTa6U9NxeFwewEU+6NbOznKwC8h2ZGIedpOw="),
            (
                "POST",
                &issue,
                r#"{"scopes":["chat"]}"#,
                "J+doRQjtFVYLx3qOvzptwBLjQWqy6OEWEEk1TY1+rT4=",
                "3/Zxp6DdKAeFz561by9UOiUeY/TMc5PvEO+42vBfsvE=",
            ),
        ] {
            let target = format!("{path}?api-version=2023-10-01");
            let host = "contoso.communication.azure.com";
            let found = signed(&key, method, host, &target, body, "Mon, 01 Jan 2024 00:00:00 GMT");
            assert_eq!(found, (hash.into(), signature.into()), "{path}");
        }
    }

    #[test]
    fn everything_that_is_signed_counts() {
        let key = key("pw==");
        let date = "Wed, 13 Apr 2022 18:09:12 GMT";
        let plain = signed(&key, "GET", "localhost", "/x", "", date).1;
        for other in [
            signed(&key, "PUT", "localhost", "/x", "", date),
            signed(&key, "GET", "localhost:8080", "/x", "", date),
            signed(&key, "GET", "localhost", "/y", "", date),
            signed(&key, "GET", "localhost", "/x", "{}", date),
            signed(&key, "GET", "localhost", "/x", "", "Wed, 13 Apr 2022 18:09:13 GMT"),
        ] {
            assert_ne!(other.1, plain);
        }
    }

    #[test]
    fn a_key_is_read_whole_and_never_shown() {
        assert_eq!(key("c2VjcmV0LQ==").signature(b"x"), key(" c2VjcmV0LQ==\n").signature(b"x"));
        for bad in ["", "  ", "hidden!", "hidden\u{e9}", "hiddenkeyQ", "hiddenkeyQ="] {
            let error = AccessKey::new(&Secret::new(bad)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"), "{error}");
        }
        assert_eq!(format!("{:?}", key("pw==")), "AccessKey");
    }
}
