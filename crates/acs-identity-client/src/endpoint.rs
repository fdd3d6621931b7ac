//! Where the service is: the address of an ACS resource.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use acs_identity_core::{AcsId, CommunicationIdentifier, Error, Excerpt, Result};
use azure_core::http::Url;

use crate::ApiVersion;

/// The address of an ACS resource: `https`, or `http` to this machine; without path or login, and with the api-version that is
/// spoken there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    /// What is wrong is said without the text, in which there may be more than an address.
    pub(crate) fn parse(text: &str, version: &ApiVersion) -> Result<Self> {
        const FORM: &str = "such as https://contoso.communication.azure.com";
        let bad = |what: &str| Err(Error::invalid_input(format!("the endpoint {what}; it is an address {FORM}")));
        let Ok(mut url) = Url::parse(text.trim()) else { return bad("is not an address") };
        if !url.username().is_empty() || url.password().is_some() {
            return bad("has a user or a password in it");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return bad("has more than scheme, host and port");
        }
        match (url.scheme(), is_loopback(&url)) {
            (_, None) => bad("has no host"),
            ("https", _) | ("http", Some(true)) => {
                url.set_query(Some(&format!("api-version={version}")));
                Ok(Self(url))
            }
            ("http", Some(false)) => {
                Err(Error::invalid_input("the endpoint is http, without encryption, which is for this machine alone"))
            }
            _ => bad("is neither https nor http"),
        }
    }

    /// Whether it is without encryption, to this machine.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The address of an operation; `path` as it goes on the wire.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

fn is_loopback(url: &Url) -> Option<bool> {
    let host = url.host_str()?;
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    Some(
        host == "localhost"
            || inner.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || inner.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()),
    )
}

/// An ACS ID as a segment of a path: percent-encoded but for unreserved characters, as the official SDKs do.
///
/// `InvalidInput` for IDs that are not of users of the Identity service, about whom it refuses every question.
pub(crate) fn segment(user: &AcsId) -> Result<String> {
    if !matches!(user.identifier(), CommunicationIdentifier::CommunicationUser { .. }) {
        return Err(Error::invalid_input(format!(
            "the ACS ID is not of a communication user (such as 8:acs:…) but {}: {}",
            user.identifier().kind(),
            Excerpt(&user.as_str().as_bytes()[..user.as_str().len().min(8)])
        )));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut rest = user.as_str();
    let mut segment = String::with_capacity(rest.len() + 16);
    while let Some(at) = rest.bytes().position(|byte| !plain(byte)) {
        segment.push_str(&rest[..at]);
        // A character of several bytes is encoded as a whole, so that the rest begins with a character.
        let one = rest[at..].chars().next().map_or(1, char::len_utf8);
        for byte in rest[at..at + one].bytes() {
            segment.push_str(&format!("%{byte:02X}"));
        }
        rest = &rest[at + one..];
    }
    segment.push_str(rest);
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Endpoint> {
        Endpoint::parse(text, &ApiVersion::default())
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for good in ["http://localhost:8080", "http://127.0.0.1/", "http://127.9.9.9:1", "http://[::1]:80"] {
            assert!(parse(good).unwrap().is_plain(), "{good}");
        }
        for bad in
            ["http://contoso.communication.azure.com", "http://localhost.evil.com", "http://10.0.0.1", "http://0.0.0.0"]
        {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("without encryption"), "{error}");
        }
        assert!(!parse("https://contoso.communication.azure.com:443/").unwrap().is_plain());
    }

    #[test]
    fn what_is_no_endpoint_is_refused_without_being_quoted() {
        for bad in [
            "",
            "contoso",
            "ftp://localhost",
            "https://user:hidden@contoso.communication.azure.com",
            "https://contoso.communication.azure.com/hidden",
            "https://contoso.communication.azure.com?hidden",
            "https://contoso.communication.azure.com#hidden",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("endpoint") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn an_id_is_one_segment_whatever_is_in_it() {
        let endpoint = parse("https://contoso.communication.azure.com/").unwrap();
        let url = |id: &str| {
            let path = format!("/identities/{}", segment(&AcsId::new(id).unwrap()).unwrap());
            endpoint.url(&path).to_string()
        };
        let base = "https://contoso.communication.azure.com/identities/8%3Aacs%3A";
        assert_eq!(url("8:acs:a-1_b"), format!("{base}a-1_b?api-version=2023-10-01"));
        assert_eq!(url("8:acs:../x?y#z%é"), format!("{base}..%2Fx%3Fy%23z%25%C3%A9?api-version=2023-10-01"));
    }

    proptest! {
        #[test]
        fn an_encoded_id_is_read_back_whole(rest in "\\PC{1,60}") {
            let text = format!("8:acs:{}", rest.replace([':', '_'], "-"));
            let encoded = segment(&AcsId::new(text.as_str()).unwrap()).unwrap();
            let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            prop_assert!(encoded.bytes().all(unreserved));
            let mut bytes = Vec::new();
            let mut parts = encoded.split('%');
            bytes.extend(parts.next().unwrap().bytes());
            for part in parts {
                bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
                bytes.extend(part[2..].bytes());
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }

    #[test]
    fn only_communication_users_are_asked_about() {
        for good in ["8:acs:a_b", "8:gcch-acs:a_b", "8:dod-acs:a_b", "8:spool:a_b", "8:acs:a_wf_b_c"] {
            assert!(segment(&AcsId::new(good).unwrap()).is_ok(), "{good}");
        }
        for bad in
            ["4:+14255550123", "8:orgid:private", "28:orgid:private", "8:acs:a_b_private", "48:private", "private-text"]
        {
            let error = segment(&AcsId::new(bad).unwrap()).unwrap_err().to_string();
            assert!(error.contains("not of a communication user"), "{error}");
            assert!(!error.contains("private\"") && !error.contains("5550123"), "{error}");
        }
    }
}
