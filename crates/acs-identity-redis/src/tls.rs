//! TLS: by what it is done, and what can be wrong with it. Trying again would be of no use then.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use redis::RedisError;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{AlertDescription, CertificateError, Error};

/// Sees to it that there is a provider of cryptography. The driver asks for the process's own, and where none was
/// chosen and the features of rustls in the program don't tell which, asking panics. What the application has chosen
/// stays.
pub(crate) fn provide() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster.
        let _ = ring::default_provider().install_default();
    }
}

/// Why a connection could not be made, if that was for TLS.
pub(crate) fn refused(error: &RedisError) -> Option<&'static str> {
    let error: &Arc<dyn std::error::Error + Send + Sync> = error.source()?.downcast_ref()?;
    let error: &io::Error = error.downcast_ref()?;
    match error.get_ref()?.downcast_ref()? {
        Error::InvalidCertificate(error) => Some(certificate(error)),
        Error::PeerIncompatible(_) => Some(NOTHING_IN_COMMON),
        Error::AlertReceived(alert) => wants_another_client(*alert).then_some(NOTHING_IN_COMMON),
        Error::InvalidMessage(_) => Some("the server does not speak TLS on this port; `redis://` is without it"),
        _ => None,
    }
}

const NOTHING_IN_COMMON: &str =
    "no TLS connection that both sides accept could be made; the server may ask for a certificate";

fn certificate(error: &CertificateError) -> &'static str {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match error {
        // A bad signature: by an authority of the same name as one that is trusted.
        UnknownIssuer | BadSignature => "the server's certificate is not from an authority that is trusted here",
        NotValidForName | NotValidForNameContext { .. } => {
            "the server's certificate is for another host than the one that was asked"
        }
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            "the server's certificate is expired or not valid yet"
        }
        _ => "the server's certificate is not accepted",
    }
}

/// Whether a server says by this that it will not have this client. Other alerts may be of a server in trouble.
fn wants_another_client(alert: AlertDescription) -> bool {
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
