//! Where the service is: the address of an ACS resource.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use acs_identity_core::{AcsId, CommunicationIdentifier, Error, Redacted, Result};
use azure_core::http::Url;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, InvalidUri, Parts, PathAndQuery, Scheme};
use hyper::{Uri, http};

use crate::ApiVersion;

/// The address of an ACS resource: `https`, or `http` to this machine; without path or login, and with the api-version that is
/// spoken there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    url: Url,
    scheme: Scheme,
    /// Without a port that is the scheme's own.
    authority: Authority,
    host: HeaderValue,
}

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
        let Some(host) = url.host_str() else { return bad("has no host") };
        let scheme = match url.scheme() {
            "https" => Scheme::HTTPS,
            "http" if is_loopback(host) => Scheme::HTTP,
            "http" => {
                let message = "the endpoint is http, without encryption, which is for this machine alone";
                return Err(Error::invalid_input(message));
            }
            _ => return bad("is neither https nor http"),
        };
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let (Ok(host), Ok(authority)) = (HeaderValue::from_str(&authority), Authority::try_from(authority)) else {
            return bad("has a host that is not allowed in HTTP");
        };
        url.set_query(Some(&format!("api-version={version}")));
        Ok(Self { url, scheme, authority, host })
    }

    /// Whether it is without encryption, to this machine.
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == Scheme::HTTP
    }

    /// Host, and port if it is not the scheme's own.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The same, as a header.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// A path, in parts as they go on the wire, with the query. Put together in one piece, as all texts of a request are: one that
    /// has to grow takes a lock in glibc, which threads that send at once wait for.
    pub(crate) fn target(&self, [before, id, after]: [&str; 3]) -> std::result::Result<PathAndQuery, InvalidUri> {
        PathAndQuery::try_from([before, id, after, "?", self.url.query().unwrap_or_default()].concat())
    }

    /// The address of what has this path and query.
    pub(crate) fn uri(&self, target: PathAndQuery) -> http::Result<Uri> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target);
        Ok(Uri::from_parts(parts)?)
    }

    /// The address of an operation; `path` as it goes on the wire.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

fn is_loopback(host: &str) -> bool {
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || inner.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || inner.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// An ACS ID as a segment of a path.
///
/// `InvalidInput` for what is certainly no user of an ACS resource: a phone, a Teams user, a bot. All else is left to the service:
/// official SDKs take it for the ID of a communication user, in [some](CommunicationIdentifier::TeamsExtensionUser) releases, or once
/// ACS makes IDs of a form that is not known here.
pub(crate) fn segment(user: &AcsId) -> Result<String> {
    let identifier = user.identifier();
    match identifier {
        CommunicationIdentifier::PhoneNumber { .. }
        | CommunicationIdentifier::MicrosoftTeamsUser { .. }
        | CommunicationIdentifier::MicrosoftTeamsApp { .. } => Err(Error::invalid_input(format!(
            "the ACS ID is not of a communication user (such as 8:acs:…) but {}: {}",
            identifier.kind(),
            Redacted(user.as_str())
        ))),
        // In an address they are not names but steps.
        _ if matches!(user.as_str(), "." | "..") => Err(Error::invalid_input("the ACS ID is only dots")),
        _ => Ok(encoded(user.as_str())),
    }
}

/// Percent-encoded but for unreserved characters, as the official SDKs do.
pub(crate) fn encoded(text: &str) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    encoded
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
        let target = |id: &str| {
            let path = ["/identities/", &segment(&AcsId::new(id).unwrap()).unwrap(), ""];
            let target = endpoint.target(path).unwrap();
            let address = endpoint.uri(target.clone()).unwrap().to_string();
            assert_eq!(address, format!("https://contoso.communication.azure.com{target}"));
            assert_eq!(address, endpoint.url(&path.concat()).to_string());
            target.to_string()
        };
        let base = "/identities/8%3Aacs%3A";
        assert_eq!(target("8:acs:a-1_b"), format!("{base}a-1_b?api-version=2023-10-01"));
        assert_eq!(target("8:acs:../x?y#z%é"), format!("{base}..%2Fx%3Fy%23z%25%C3%A9?api-version=2023-10-01"));
    }

    #[test]
    fn a_port_that_is_the_schemes_own_is_not_in_the_authority() {
        for (endpoint, authority) in [
            ("https://contoso.communication.azure.com:443/", "contoso.communication.azure.com"),
            ("http://localhost:80", "localhost"),
            ("http://localhost:443", "localhost:443"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            let endpoint = parse(endpoint).unwrap();
            assert_eq!((endpoint.authority(), endpoint.host().to_str().unwrap()), (authority, authority));
        }
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
    fn what_is_certainly_no_user_of_a_resource_is_not_asked_about() {
        for good in [
            "8:acs:a_b",
            "8:gcch-acs:a_b",
            "8:dod-acs:a_b",
            "8:spool:a_b",
            "8:acs:a_wf_b_c",
            "8:acs:a_b_c",
            "48:x",
            "...",
        ] {
            assert!(segment(&AcsId::new(good).unwrap()).is_ok(), "{good}");
        }
        for bad in ["4:+14255550123", "4:911", "8:orgid:u", "8:dod:u", "8:teamsvisitor:u", "28:orgid:a"] {
            let error = segment(&AcsId::new(bad).unwrap()).unwrap_err().to_string();
            assert!(error.contains("not of a communication user") && !error.contains(bad), "{error}");
        }
        for bad in [".", ".."] {
            assert!(segment(&AcsId::new(bad).unwrap()).is_err());
        }
    }
}
