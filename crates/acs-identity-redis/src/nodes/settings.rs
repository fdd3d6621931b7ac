//! How servers are connected to.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, TlsCertificates,
};

use tokio::time::Instant;

use crate::error::Failure;
use crate::tls;

/// What all connections have in common.
pub(crate) struct Settings {
    /// User, password and database, and RESP3, which tells when a connection ends.
    login: RedisConnectionInfo,
    /// `None`: without TLS.
    tls: Option<TlsCertificates>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    /// By how many replicas a write has to be acknowledged, and how long to wait for them.
    pub(crate) acknowledged: Option<(u32, Duration)>,
    /// Whether a server that says it is a replica is not taken.
    pub(crate) primary_only: bool,
}

/// Without the user and the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// How long a connection may be quiet before it is asked whether it is there: less than load balancers take for its
/// end.
const QUIET: Duration = Duration::from_secs(60);

fn tcp() -> TcpSettings {
    // The last part of a pipeline must not wait until what was sent before is acknowledged.
    TcpSettings::default().set_nodelay(true).set_keepalive(TcpKeepalive::new().with_time(QUIET))
}

/// A host and a port.
pub(crate) type Address = (String, u16);

impl Settings {
    /// Of URLs, the first of which says how all are connected to, with how long that and an answer may take.
    pub(crate) fn new(
        urls: &[String],
        certificates: &TlsCertificates,
        (connect_timeout, response_timeout): (Duration, Duration),
    ) -> Result<(Self, Vec<Address>), Failure> {
        const BAD: Failure =
            Failure::Setup("a URL has to be like `redis://user:password@host:6379/0`, or `rediss://` for TLS");
        let mut settings = None;
        let mut addresses = Vec::with_capacity(urls.len());
        for url in urls {
            let info = url.as_str().into_connection_info().map_err(|_| BAD)?;
            if info.redis_settings().username().is_some() && info.redis_settings().password().is_none() {
                // The driver would not say the name either.
                return Err(Failure::Setup("a URL with a user needs a password"));
            }
            let (address, tls) = match info.addr() {
                ConnectionAddr::Tcp(host, port) => ((host.clone(), *port), None),
                ConnectionAddr::TcpTls { insecure: true, .. } => {
                    return Err(Failure::Setup("certificates are always checked: `#insecure` is not possible"));
                }
                ConnectionAddr::TcpTls { host, port, .. } => {
                    tls::provide();
                    ((host.clone(), *port), Some(certificates.clone()))
                }
                _ => return Err(BAD),
            };
            addresses.push(address);
            settings.get_or_insert_with(|| Self {
                login: info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3),
                tls,
                connect_timeout,
                response_timeout,
                acknowledged: None,
                primary_only: false,
            });
        }
        Ok((settings.ok_or(Failure::Setup("a URL is needed"))?, addresses))
    }

    pub(super) fn client(&self, host: &str, port: u16) -> Result<Client, Failure> {
        const BAD: Failure = Failure::Setup("the connection's options or certificates cannot be used");
        let info = |address: ConnectionAddr| -> Result<ConnectionInfo, Failure> {
            let info = address.into_connection_info().map_err(|_| BAD)?;
            Ok(info.set_redis_settings(self.login.clone()).set_tcp_settings(tcp()))
        };
        match &self.tls {
            None => Client::open(info(ConnectionAddr::Tcp(host.to_owned(), port))?).map_err(|_| BAD),
            Some(certificates) => {
                let host = host.to_owned();
                let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
                Client::build_with_tls(info(address)?, certificates.clone()).map_err(|_| BAD)
            }
        }
    }

    /// When a question that is asked now is answered at the latest, with a new connection.
    pub(crate) fn latest(&self) -> Instant {
        Instant::now() + self.connect_timeout + self.response_timeout
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the URL names a database other than the first, which a cluster does not have.
    pub(crate) fn has_database(&self) -> bool {
        self.login.db() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_on_a_connection_until_there_is_more_to_be_sent() {
        for url in ["redis://127.0.0.1", "rediss://127.0.0.1"] {
            let certificates = TlsCertificates { client_tls: None, root_cert: None };
            let timeouts = (Duration::from_secs(1), Duration::from_secs(1));
            let (settings, _) = Settings::new(&[url.to_owned()], &certificates, timeouts).unwrap();
            let client = settings.client("127.0.0.1", 1).unwrap();
            let tcp = client.get_connection_info().tcp_settings();
            assert!(tcp.nodelay() && tcp.keepalive().is_some(), "{url}");
        }
    }
}
