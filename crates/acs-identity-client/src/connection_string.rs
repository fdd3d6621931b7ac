//! `endpoint=…;accesskey=…`, as the portal shows it.

use acs_identity_core::{Error, Result};
use azure_core::credentials::Secret;

/// The endpoint and the access key in a connection string.
///
/// Keys in any case and order, spaces around them ignored; other parts are left alone, as the Python SDK does. No error
/// quotes the string, which holds a secret.
pub(crate) fn parse(text: &str) -> Result<(&str, Secret)> {
    let (mut endpoint, mut key) = (None, None);
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        // The first `=` splits: a key in Base64 may end with some.
        let Some((name, value)) = part.split_once('=') else {
            return bad("has a part without `=`");
        };
        let place = match name.trim_end() {
            name if name.eq_ignore_ascii_case("endpoint") => &mut endpoint,
            name if name.eq_ignore_ascii_case("accesskey") => &mut key,
            _ => continue,
        };
        if place.replace(value.trim_start()).is_some() {
            return bad("has the endpoint or the access key twice");
        }
    }
    match (endpoint, key) {
        (Some(endpoint), Some(key)) => Ok((endpoint, Secret::new(key.to_owned()))),
        (None, _) => bad("has no endpoint"),
        (_, None) => bad("has no access key"),
    }
}

fn bad<T>(what: &str) -> Result<T> {
    Err(Error::invalid_input(format!(
        "the connection string {what}; it is of the form endpoint=https://….communication.azure.com/;accesskey=…"
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_the_official_sdks_take_are_taken() {
        for (text, endpoint, key) in [
            (
                "endpoint=https://contoso.communicationservices.azure.com:443/;accesskey=secret",
                "https://contoso.communicationservices.azure.com:443/",
                "secret",
            ),
            ("endpoint=https://localhost/;accessKey=pw==", "https://localhost/", "pw=="),
            ("AccessKey = c2Vj ; Endpoint = https://a.b/ ;", "https://a.b/", "c2Vj"),
            ("future=1;endpoint=https://a.b;more=2;accesskey=a+/=", "https://a.b", "a+/="),
        ] {
            let (found, secret) = parse(text).unwrap();
            assert_eq!((found, secret.secret()), (endpoint, key));
        }
    }

    #[test]
    fn each_fault_is_named_and_nothing_quoted() {
        for (text, what) in [
            ("", "no endpoint"),
            ("accesskey=hidden", "no endpoint"),
            ("endpoint=https://hidden/", "no access key"),
            ("endpoint=https://hidden/;accesskeyy=hidden", "no access key"),
            ("endpoint=https://a/;accesskey=hidden;accesskey=hidden", "twice"),
            ("hidden", "without `=`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("hidden"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn order_case_and_spaces_do_not_matter(
            key in "[A-Za-z0-9+/]{1,90}={0,2}", swap: bool, upper: bool, space in " {0,2}",
        ) {
            let (endpoint, access) = if upper { ("ENDPOINT", "ACCESSKEY") } else { ("endpoint", "accessKey") };
            let mut parts = [format!("{endpoint}{space}={space}https://a.b/"), format!("{access}{space}={space}{key}{space}")];
            if swap {
                parts.reverse();
            }
            let text = parts.join(";");
            let (found, secret) = parse(&text).unwrap();
            prop_assert_eq!((found, secret.secret()), ("https://a.b/", key.as_str()));
        }

        #[test]
        fn no_text_panics_or_is_quoted(text in "[A-Za-z=; ]{0,60}", hidden in "[0-9]{6,12}") {
            if let Err(error) = parse(&format!("{text}{hidden}")) {
                prop_assert!(!error.to_string().contains(&hidden));
            }
        }
    }
}
