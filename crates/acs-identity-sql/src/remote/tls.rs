//! What can be wrong with TLS. Trying again would be of no use, so it is told apart from a connection that is lost.

use std::fs::File;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::error::{Code, Failure};

/// The driver's own complaint, made before a handshake.
pub(crate) const UNUSABLE: Failure =
    Failure::Setup("the server offers no TLS, or a certificate or key that the URL names cannot be used");

/// What trouble with a connection means. The handshake's failures come as I/O errors, too.
pub(crate) fn broken(io: &io::Error) -> Failure {
    let error = io.get_ref().and_then(|error| error.downcast_ref());
    let what = match error {
        Some(Error::InvalidCertificate(error)) => certificate(error),
        Some(Error::PeerIncompatible(_)) => NOTHING_IN_COMMON,
        Some(Error::AlertReceived(alert)) if ends_handshakes(*alert) => NOTHING_IN_COMMON,
        _ => return Failure::Cut { source: Some(Code::from(io)) },
    };
    Failure::Setup(what)
}

const NOTHING_IN_COMMON: &str = "no TLS connection that both sides accept could be made";

fn certificate(error: &CertificateError) -> &'static str {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match error {
        // A bad signature: by an authority of the same name as one that is trusted.
        UnknownIssuer | BadSignature => "the server's certificate is not from an authority that is trusted here",
        NotValidForName | NotValidForNameContext { .. } => {
            "the server's certificate is for another host than the URL's"
        }
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            "the server's certificate is expired or not valid yet"
        }
        _ => "the server's certificate is not accepted",
    }
}

/// Whether a server says by this that it will not have this client. Others may be of a server in trouble.
fn ends_handshakes(alert: AlertDescription) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateUnknown, HandshakeFailure,
        InsufficientSecurity, ProtocolVersion, UnknownCA, UnsupportedCertificate,
    };
    matches!(
        alert,
        AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateUnknown
            | HandshakeFailure
            | InsufficientSecurity
            | ProtocolVersion
            | UnknownCA
            | UnsupportedCertificate
    )
}

/// The parameters of a URL that name files, of all drivers.
const FILES: [&str; 8] =
    ["sslrootcert", "ssl-root-cert", "sslca", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// Refuses a URL with a file that is not there. The driver reads them for each connection, and says no more than that
/// something is missing, which could be the socket of a server that restarts.
pub(super) fn check_files(url: &str) -> Result<(), Failure> {
    let (_, parameters) = url.split_once('?').unwrap_or_default();
    let mut parameters = parameters.split('&').filter_map(|parameter| parameter.split_once('='));
    // What is written in another way, such as the certificate itself, is left to the driver.
    let missing = parameters
        .any(|(name, file)| FILES.contains(&name) && !file.contains(['%', '+', '#']) && File::open(file).is_err());
    match missing {
        true => Err(Failure::Setup("a file that the URL names for TLS cannot be read")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: Error) -> Failure {
        broken(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn what_cannot_change_is_not_tried_again() {
        for error in [
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::InvalidCertificate(CertificateError::Revoked),
            Error::AlertReceived(AlertDescription::ProtocolVersion),
        ] {
            assert!(matches!(said(error), Failure::Setup(_)));
        }
    }

    #[test]
    fn a_connection_that_broke_or_was_garbled_is() {
        for error in [Error::DecryptError, Error::AlertReceived(AlertDescription::InternalError)] {
            assert!(said(error).is_repeatable());
        }
        assert!(broken(&io::ErrorKind::ConnectionReset.into()).is_repeatable());
    }

    #[test]
    fn only_files_that_can_be_told_from_a_url_are_looked_for() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let inline = "-----BEGIN%20CERTIFICATE-----";
        for fine in ["mysql://h/d", "mysql://h/d?ssl-mode=REQUIRED&ssl", "mysql://h/d?socket=/nowhere"] {
            check_files(fine).unwrap();
        }
        for file in [here, inline, "/nowhere%2Fca.pem"] {
            check_files(&format!("postgres://h/d?sslmode=verify-full&sslrootcert={file}")).unwrap();
        }
        for name in FILES {
            check_files(&format!("mysql://h/d?{name}=/nowhere/ca.pem")).unwrap_err();
        }
    }
}
