//! The check of a signature: HMAC-SHA256 over method, path and query as they were sent, date, host and hash of the
//! body.

use std::time::Duration;

use acs_identity_core::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::dates;
use crate::keys::{KeyType, Keys};
use crate::refusal::Refusal;
use crate::request::Request;

const CONTENT_HASH: &str = "x-ms-content-sha256";

/// Refuses a request that is not signed with one of the keys, now; and says with which it is.
///
/// The two forms of the official clients are taken: with the date in `x-ms-date`, and with it in `Date`.
pub(crate) fn check(keys: &Keys, request: &Request, now: Timestamp, skew: Duration) -> Result<KeyType, Refusal> {
    let (date_header, signature) = authorization(request.header("authorization"))
        .ok_or_else(|| Refusal::denied("there is no HMAC-SHA256 authorization header in one of the two known forms"))?;
    if request.is_repeated(date_header) || request.is_repeated(CONTENT_HASH) {
        return Err(Refusal::denied("a header that is signed is there more than once"));
    }
    let date = request.header(date_header);
    let said_hash = request.header(CONTENT_HASH);
    let host = request.header("host");
    // Java's client signs the host without its port.
    let signer = [host, without_port(host)].iter().find_map(|host| {
        let signed = string_to_sign(request, date, host, said_hash);
        keys.signer(signed.as_bytes(), &signature)
    });
    let signer = signer.ok_or_else(|| {
        Refusal::denied("the signature differs: another key, host, method, path or query, or a header missing")
    })?;
    let date = dates::from_http(date).ok_or_else(|| Refusal::denied("the date is not in the form of RFC 1123"))?;
    if now.since(date).max(date.since(now)) > skew {
        return Err(Refusal::denied("the date is too far from the emulator's clock"));
    }
    // No secret, so it may be compared as texts are.
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, &request.body));
    if hash != said_hash {
        return Err(Refusal::wrong_content_hash());
    }
    Ok(signer)
}

/// What looks like one at the end of an IPv6 address ends in a bracket.
fn without_port(host: &str) -> &str {
    let parts = host.rsplit_once(':');
    let parts = parts.filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    parts.map_or(host, |(name, _)| name)
}

/// The name of the date's header and the signature, from the value of `Authorization`.
fn authorization(value: &str) -> Option<(&'static str, Vec<u8>)> {
    let mut signed_headers = None;
    let mut signature = None;
    for part in value.strip_prefix("HMAC-SHA256 ")?.split('&') {
        let is_repeated = match part.split_once('=')? {
            ("SignedHeaders", names) => signed_headers.replace(names).is_some(),
            ("Signature", text) => signature.replace(STANDARD.decode(text).ok()?).is_some(),
            _ => return None,
        };
        if is_repeated {
            return None;
        }
    }
    let date_header = match signed_headers? {
        "x-ms-date;host;x-ms-content-sha256" => "x-ms-date",
        "date;host;x-ms-content-sha256" => "date",
        _ => return None,
    };
    Some((date_header, signature?))
}

fn string_to_sign(request: &Request, date: &str, host: &str, hash: &str) -> String {
    let path_and_query = request.uri.path_and_query().map_or("/", |text| text.as_str());
    format!("{}\n{path_and_query}\n{date};{host};{hash}", request.method)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;
    use ring::hmac;

    use super::*;

    const EMPTY_HASH: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    const SKEW: Duration = Duration::from_secs(900);

    /// A request as an official client signs it, with `x-ms-date` or `date` as the name of the date's header.
    fn signed(
        date_header: &str,
        method: &str,
        url: &str,
        date: &str,
        body: &str,
        hash: &str,
        signature: &str,
    ) -> Request {
        let (host, path) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
        let authorization =
            format!("HMAC-SHA256 SignedHeaders={date_header};host;x-ms-content-sha256&Signature={signature}");
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("host", host), (CONTENT_HASH, hash), ("authorization", &authorization), (date_header, date)]
        {
            headers.insert(hyper::header::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        Request {
            method: method.parse().unwrap(),
            uri: format!("/{path}").parse().unwrap(),
            headers,
            body: body.to_owned().into(),
        }
    }

    fn key(base64: &str) -> Keys {
        Keys::new(base64, b"another").unwrap()
    }

    /// The key, method, URL, date, body, hash and signature of vectors of the official JavaScript client, and of more
    /// that were made with its rules.
    fn vectors() -> Vec<[String; 7]> {
        let own = "c2VjcmV0LWtleS1mb3ItdGVzdHM=";
        let id = "8:acs:11111111-1111-1111-1111-111111111111_22222222-2222-2222-2222-222222222222";
        let encoded = id.replace(':', "%3A");
        let url = |path: &str| format!("https://contoso.communication.azure.com/{path}?api-version=2023-10-01");
        let sdk_date = "Wed, 13 Apr 2022 18:09:12 GMT";
        let own_date = "Mon, 01 Jan 2024 00:00:00 GMT";
        [
            [
                "pw==",
                "GET",
                "https://example.com/testPath?testQuery=test",
                sdk_date,
                "",
                EMPTY_HASH,
                "DGdgwggJWnQyc6EHjR/Vbqg1ES64KpD6U2XwTDDj3tU=",
            ],
            [
                "pw==",
                "GET",
                "https://example.com/testPath",
                sdk_date,
                "",
                EMPTY_HASH,
                "+6tWkg3lNKVjQHHmxkdGQcJjUgzclsWTMebnuCz1ngU=",
            ],
            [
                own,
                "POST",
                &url("identities"),
                own_date,
                r#"{"createTokenWithScopes":["chat"],"expiresInMinutes":60}"#,
                "kET9vD/6sAVRB6ISkrpOL44L0M1olvugZ/QYxlSQK9k=",
                "ASRAkA+Njcc/I4h3kyVlQzDUgdUIY0FEknvSNlFrUCQ=",
            ],
            [
                own,
                "DELETE",
                &url(&format!("identities/{encoded}")),
                own_date,
                "",
                EMPTY_HASH,
                "nuPoPSItMDYBxeZuu+n9nA8fSJE0v9MoOtGtOsP5z08=",
            ],
            [
                own,
                "DELETE",
                &url(&format!("identities/{id}")),
                own_date,
                "",
                EMPTY_HASH,
                "33y5aSsXTa6U9NxeFwewEU+6NbOznKwC8h2ZGIedpOw=",
            ],
            [
                own,
                "POST",
                &url(&format!("identities/{encoded}/:issueAccessToken")),
                own_date,
                r#"{"scopes":["chat"]}"#,
                "J+doRQjtFVYLx3qOvzptwBLjQWqy6OEWEEk1TY1+rT4=",
                "3/Zxp6DdKAeFz561by9UOiUeY/TMc5PvEO+42vBfsvE=",
            ],
        ]
        .map(|vector| vector.map(str::to_owned))
        .into()
    }

    fn reason(result: Result<KeyType, Refusal>) -> String {
        format!("{:?}", result.expect_err("a refusal"))
    }

    #[test]
    fn every_vector_is_accepted_under_both_names_of_the_date() {
        for [secret, method, url, date, body, hash, signature] in vectors() {
            for header in ["x-ms-date", "date"] {
                let request = signed(header, &method, &url, &date, &body, &hash, &signature);
                let now = dates::from_http(&date).unwrap();
                assert!(check(&key(&secret), &request, now, SKEW).is_ok(), "{method} {url}");
            }
        }
    }

    #[test]
    fn every_vector_is_refused_with_any_part_changed() {
        for [secret, method, url, date, body, hash, signature] in vectors() {
            let now = dates::from_http(&date).unwrap();
            let right = || signed("x-ms-date", &method, &url, &date, &body, &hash, &signature);
            let refused = |request: &Request| reason(check(&key(&secret), request, now, SKEW));
            assert!(reason(check(&key("c2VjcmV0"), &right(), now, SKEW)).contains("signature differs"));
            let mut request = right();
            request.method = hyper::Method::PUT;
            assert!(refused(&request).contains("signature differs"));
            let mut request = right();
            request.uri = format!("{}x", request.uri).parse().unwrap();
            assert!(refused(&request).contains("signature differs"));
            let mut request = right();
            request.headers.insert("host", "example.org".parse().unwrap());
            assert!(refused(&request).contains("signature differs"));
            let mut request = right();
            request.headers.insert("x-ms-date", "Wed, 13 Apr 2022 18:09:13 GMT".parse().unwrap());
            assert!(refused(&request).contains("signature differs"));
            let mut request = right();
            request.body = format!("{body} ").into();
            assert!(refused(&request).contains("differs from generated content hash"));
            for header in ["x-ms-date", "host", CONTENT_HASH] {
                let mut request = right();
                request.headers.remove(header);
                assert!(refused(&request).contains("signature differs"), "{header}");
            }
        }
    }

    #[test]
    fn the_bare_hmac_and_hash_vectors_hold() {
        for (text, mac, hash) in [
            ("banana", "88EC05aAS9iXnaimtNO78JLjiPtfWryQB/5QYEzEsu8=", "tJPUg2Sv5E0RwBZc9HCkFk0eJgmRHvmYvoaNRq3j3k4="),
            (
                "\u{1f600}",
                "1rudJKjn2Zi+3hRrBG29wIF6pD6YyAeQR1ZcFtXoKAU=",
                "8EQ6NCxe9UeDoRG1G6Vsk45HTDIyTZDDpgycjjo34tk=",
            ),
        ] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &[0xa7]);
            assert!(hmac::verify(&key, text.as_bytes(), &STANDARD.decode(mac).unwrap()).is_ok());
            assert_eq!(STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())), hash);
        }
    }

    #[test]
    fn the_clock_may_differ_by_the_skew_and_no_more() {
        let [secret, method, url, date, body, hash, signature] = vectors().swap_remove(0);
        let request = signed("x-ms-date", &method, &url, &date, &body, &hash, &signature);
        let date = dates::from_http(&date).unwrap().as_micros();
        let at = |micros: u64| check(&key(&secret), &request, Timestamp::from_micros(micros), SKEW);
        let skew = 900_000_000;
        assert!(at(date + skew).is_ok() && at(date - skew).is_ok());
        assert!(reason(at(date + skew + 1)).contains("clock") && reason(at(date - skew - 1)).contains("clock"));
    }

    #[test]
    fn a_host_may_be_signed_without_its_port() {
        let [secret, method, url, date, body, hash, signature] = vectors().swap_remove(0);
        let mut request = signed("x-ms-date", &method, &url, &date, &body, &hash, &signature);
        request.headers.insert("host", "example.com:8443".parse().unwrap());
        assert!(check(&key(&secret), &request, dates::from_http(&date).unwrap(), SKEW).is_ok());
    }

    #[test]
    fn only_a_port_is_left_out_of_a_host() {
        for (host, bare) in [
            ("example.com:8443", "example.com"),
            ("example.com", "example.com"),
            ("[::1]:8443", "[::1]"),
            ("[::1]", "[::1]"),
            ("example.com:", "example.com:"),
        ] {
            assert_eq!(without_port(host), bare);
        }
    }

    #[test]
    fn other_authorizations_are_none() {
        let right = "HMAC-SHA256 SignedHeaders=date;host;x-ms-content-sha256&Signature=AAAA";
        assert_eq!(authorization(right), Some(("date", vec![0, 0, 0])));
        for wrong in [
            "",
            "HMAC-SHA256",
            "HMAC-SHA256 ",
            "Bearer x",
            "hmac-sha256 Signature=AAAA",
            "HMAC-SHA256 SignedHeaders=date;host;x-ms-content-sha256",
            "HMAC-SHA256 Signature=AAAA",
            "HMAC-SHA256 SignedHeaders=host;x-ms-content-sha256&Signature=AAAA",
            "HMAC-SHA256 SignedHeaders=date;host;x-ms-content-sha256&Signature=A",
            "HMAC-SHA256 SignedHeaders=date;host;x-ms-content-sha256&Signature=AAAA&Extra=1",
            "HMAC-SHA256 SignedHeaders=date;host;x-ms-content-sha256&Signature=BBBB&Signature=AAAA",
            "HMAC-SHA256 SignedHeaders=host&SignedHeaders=date;host;x-ms-content-sha256&Signature=AAAA",
        ] {
            assert_eq!(authorization(wrong), None, "{wrong}");
        }
    }
}
