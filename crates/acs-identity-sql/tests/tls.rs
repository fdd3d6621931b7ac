//! TLS to real servers: who is trusted, what is refused, and what is said of it.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::error::Error as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acs_identity_core::{AcsId, CustomerId, Error, ErrorKind, Link, Namespace};
use acs_identity_servers::Server;
use acs_identity_servers::proxy::Proxy;
use acs_identity_sql::{MySqlStore, PostgresStore};
use by_hand::ByHand;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use sqlx::Connection;
use store::Store;

/// Long enough that an error which comes well before it was not waited for.
const DEADLINE: Duration = Duration::from_secs(20);

const UNKNOWN_AUTHORITY: &str = "the server's certificate is not from an authority that is trusted here";
const OTHER_HOST: &str = "the server's certificate is for another host than the URL's";
const EXPIRED: &str = "the server's certificate is expired or not valid yet";
const UNUSABLE: &str = "the server offers no TLS, or a certificate or key that the URL names cannot be used";
const NOTHING_IN_COMMON: &str = "no TLS connection that both sides accept could be made";
const MISSING_FILE: &str = "a file that the URL names for TLS cannot be read";

/// What differs from server to server.
trait Tls: Store {
    /// The parameters of URLs: without TLS, with it but whoever answers, with a certificate of the right authority, and with one for
    /// the right host.
    const MODES: [&'static str; 4];
    /// The parameter that names the file of an authority.
    const AUTHORITY: &'static str;
    /// What is said to a client who wants to do without TLS where it is demanded.
    const INSECURE: &'static str;
    /// Settings of a server that only speaks what TLS was long ago.
    const OLD: &'static [(&'static str, &'static str)];
    /// How many connections of clients besides the asker's are or were encrypted.
    const ENCRYPTED: &'static str;

    /// Sets a server up so that it takes nothing but TLS.
    fn demand(server: &mut Server, certificate: &Path, key: &Path);
}

impl Tls for PostgresStore {
    const MODES: [&'static str; 4] = ["sslmode=disable", "sslmode=require", "sslmode=verify-ca", "sslmode=verify-full"];
    const AUTHORITY: &'static str = "sslrootcert";
    const OLD: &'static [(&'static str, &'static str)] =
        &[("ssl_min_protocol_version", "TLSv1"), ("ssl_max_protocol_version", "TLSv1.1")];
    const ENCRYPTED: &'static str = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE ssl AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    const INSECURE: &'static str =
        "the server takes no such connection: TLS, another host, user or database may be demanded";

    fn demand(server: &mut Server, certificate: &Path, key: &Path) {
        let rules = server.write("rules", "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        server.set("ssl", "on");
        for (name, file) in [("ssl_cert_file", certificate), ("ssl_key_file", key), ("hba_file", &rules)] {
            server.set(name, file.to_str().unwrap());
        }
    }
}

impl Tls for MySqlStore {
    const MODES: [&'static str; 4] =
        ["ssl-mode=DISABLED", "ssl-mode=REQUIRED", "ssl-mode=VERIFY_CA", "ssl-mode=VERIFY_IDENTITY"];
    const AUTHORITY: &'static str = "ssl-ca";
    const OLD: &'static [(&'static str, &'static str)] = &[("tls-version", "TLSv1.1")];
    const ENCRYPTED: &'static str = "SELECT CAST(variable_value AS INT) - 1 \
        FROM information_schema.global_status WHERE variable_name = 'SSL_FINISHED_ACCEPTS'";
    const INSECURE: &'static str = "the server refuses the credentials, or a connection without TLS";

    fn demand(server: &mut Server, certificate: &Path, key: &Path) {
        server.set("require-secure-transport", "ON");
        for (name, file) in [("ssl-cert", certificate), ("ssl-key", key)] {
            server.set(name, file.to_str().unwrap());
        }
    }
}

/// A private certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }
}

/// A server's certificate for this host.
fn of_this_host() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()]).unwrap()
}

/// A private server.
struct Private {
    server: Server,
    /// Of an empty database, without parameters.
    url: String,
}

impl Private {
    /// Starts one without TLS.
    async fn start<S: Tls>() -> Self {
        let server = Server::start(S::KIND).unwrap();
        S::Connection::connect(&server.url()).await.unwrap().run("CREATE DATABASE app").await;
        let url = format!("{}/app", server.url().rsplit_once('/').unwrap().0);
        Self { server, url }
    }

    /// Starts one that demands TLS and has this certificate of an authority of its own, whose own is in the file.
    async fn start_secured<S: Tls>(certificate: CertificateParams) -> (Self, PathBuf) {
        let mut private = Self::start::<S>().await;
        let (authority, key) = (Authority::new("the server's authority"), KeyPair::generate().unwrap());
        let server = &mut private.server;
        let write = |name: &str, content: String| server.write(name, content).unwrap();
        let certificate = write("server.pem", certificate.signed_by(&key, &authority.0).unwrap().pem());
        let key = write("server.key", key.serialize_pem());
        let authority = write("authority.pem", authority.0.pem());
        S::demand(server, &certificate, &key);
        server.restart().unwrap();
        (private, authority)
    }

    /// The URL with a mode and the authority to trust.
    fn url<S: Tls>(&self, mode: usize, authority: &Path) -> String {
        format!("{}?{}&{}={}", self.url, S::MODES[mode], S::AUTHORITY, authority.display())
    }
}

// Places in `Tls::MODES`.
const PLAIN: usize = 0;
const REQUIRED: usize = 1;
const VERIFY_AUTHORITY: usize = 2;
const VERIFY_HOST: usize = 3;

async fn open<S: Store>(url: &str) -> Result<S, Error> {
    S::connect(url, Namespace::default(), 3, DEADLINE).await
}

/// Opening is refused at once, for a reason that trying again does not change, in these words.
async fn refused<S: Store>(url: &str, kind: ErrorKind, what: &str) {
    let start = Instant::now();
    let error = open::<S>(url).await.expect_err("not refused");
    assert!(start.elapsed() < DEADLINE / 2, "tried again and again: {error}");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!error.is_transient());
    assert!(error.to_string().contains(what), "{error}, {:?}", error.source());
    // No word of whom, by which password, or which files.
    let source = error.source().map(|source| format!("{source} {source:?}"));
    let said = format!("{error} {error:?} {source:?}");
    let (_, secret) = url.split_once("://").unwrap();
    for secret in secret.split(['@', ':', '?', '/', '=', '&']).filter(|part| part.len() > 8) {
        assert!(!said.contains(secret), "{said}");
    }
}

async fn links_and_resolves<S: Store>(store: &S, id: &str) {
    let (id, bob): (AcsId, CustomerId) = (id.parse().unwrap(), "bob@contoso.com".parse().unwrap());
    assert!(store.link(Link::create(id.clone(), bob.clone())).await.unwrap().changed);
    assert_eq!(store.resolve(&id).await.unwrap().unwrap().customer_id(), &bob);
}

async fn with_the_right_authority_all_is_encrypted<S: Tls>() {
    let (private, authority) = Private::start_secured::<S>(of_this_host()).await;
    let url = private.url::<S>(VERIFY_HOST, &authority);
    // It cuts a connection on which it can read a commit.
    let proxy = Proxy::start((Ipv4Addr::LOCALHOST, private.server.port()).into()).unwrap();
    proxy.cut_after_request(S::COMMIT, Duration::ZERO);
    let store = open::<S>(&proxy.url(&url)).await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    assert!(S::Connection::connect(&url).await.unwrap().number(S::ENCRYPTED).await > 0);
    // By its name as well, where nobody asks whose certificate it is, and by default where TLS is offered.
    let other = private.server.write("other.pem", Authority::new("another").0.pem()).unwrap();
    let (by_name, unasked) = (url.replace("127.0.0.1", "localhost"), private.url::<S>(REQUIRED, &other));
    for (id, url) in [("8:acs:r_2", &by_name), ("8:acs:r_3", &unasked), ("8:acs:r_4", &private.url)] {
        links_and_resolves(&open::<S>(url).await.unwrap(), id).await;
    }
}

async fn another_authority_is_refused_at_once<S: Tls>() {
    let (private, authority) = Private::start_secured::<S>(of_this_host()).await;
    // Of the same name, which proves nothing.
    let other = Authority::new("the server's authority").0.pem();
    let other = private.server.write("other.pem", other).unwrap();
    for mode in [VERIFY_AUTHORITY, VERIFY_HOST] {
        refused::<S>(&private.url::<S>(mode, &other), ErrorKind::Misconfigured, UNKNOWN_AUTHORITY).await;
        // Nor do the system's authorities know it.
        let url = format!("{}?{}", private.url, S::MODES[mode]);
        refused::<S>(&url, ErrorKind::Misconfigured, UNKNOWN_AUTHORITY).await;
        links_and_resolves(&open::<S>(&private.url::<S>(mode, &authority)).await.unwrap(), &format!("{mode}")).await;
    }
}

async fn a_certificate_for_another_host_is_refused_at_once<S: Tls>() {
    let other_host = CertificateParams::new(["db.example.com".to_owned()]).unwrap();
    let (private, authority) = Private::start_secured::<S>(other_host).await;
    refused::<S>(&private.url::<S>(VERIFY_HOST, &authority), ErrorKind::Misconfigured, OTHER_HOST).await;
    // Here the question is the authority alone.
    let store = open::<S>(&private.url::<S>(VERIFY_AUTHORITY, &authority)).await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
}

async fn an_expired_certificate_is_refused_at_once<S: Tls>() {
    let mut expired = of_this_host();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let (private, authority) = Private::start_secured::<S>(expired).await;
    refused::<S>(&private.url::<S>(VERIFY_HOST, &authority), ErrorKind::Misconfigured, EXPIRED).await;
}

async fn a_client_without_tls_is_refused_at_once_by_a_server_that_demands_it<S: Tls>() {
    let (private, authority) = Private::start_secured::<S>(of_this_host()).await;
    refused::<S>(&private.url::<S>(PLAIN, &authority), ErrorKind::Denied, S::INSECURE).await;
}

async fn a_server_without_tls_is_refused_at_once_by_a_client_that_demands_it<S: Tls>() {
    let private = Private::start::<S>().await;
    let authority = private.server.write("authority.pem", Authority::new("any").0.pem()).unwrap();
    for mode in [REQUIRED, VERIFY_AUTHORITY, VERIFY_HOST] {
        refused::<S>(&private.url::<S>(mode, &authority), ErrorKind::Misconfigured, UNUSABLE).await;
    }
    let mode = S::MODES[VERIFY_HOST];
    refused::<S>(&format!("{}?{mode}er", private.url), ErrorKind::InvalidInput, "the URL cannot be read").await;
    // By default it is used only where it is offered. So it is by a parameter that is spelled wrong.
    for url in [private.url.clone(), format!("{}?tls-{mode}", private.url)] {
        open::<S>(&url).await.unwrap();
    }
}

async fn a_server_whose_tls_is_too_old_is_refused_at_once<S: Tls>() {
    let (mut private, authority) = Private::start_secured::<S>(of_this_host()).await;
    for (name, value) in S::OLD {
        private.server.set(name, value);
    }
    private.server.restart().unwrap();
    refused::<S>(&private.url::<S>(VERIFY_HOST, &authority), ErrorKind::Misconfigured, NOTHING_IN_COMMON).await;
}

async fn a_file_of_authorities_that_cannot_be_used_is_told_at_once<S: Tls>() {
    let (private, _) = Private::start_secured::<S>(of_this_host()).await;
    let missing = private.server.folder().join("missing.pem");
    refused::<S>(&private.url::<S>(VERIFY_HOST, &missing), ErrorKind::Misconfigured, MISSING_FILE).await;
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (content, what) in [("", UNKNOWN_AUTHORITY), (broken, UNUSABLE)] {
        let file = private.server.write("useless.pem", content).unwrap();
        refused::<S>(&private.url::<S>(VERIFY_HOST, &file), ErrorKind::Misconfigured, what).await;
    }
}

macro_rules! tls {
    ($module:ident, $store:ty) => {
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn with_the_right_authority_all_is_encrypted() {
                super::with_the_right_authority_all_is_encrypted::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn another_authority_is_refused_at_once() {
                super::another_authority_is_refused_at_once::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_certificate_for_another_host_is_refused_at_once() {
                super::a_certificate_for_another_host_is_refused_at_once::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn an_expired_certificate_is_refused_at_once() {
                super::an_expired_certificate_is_refused_at_once::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_client_without_tls_is_refused_at_once_by_a_server_that_demands_it() {
                super::a_client_without_tls_is_refused_at_once_by_a_server_that_demands_it::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_server_without_tls_is_refused_at_once_by_a_client_that_demands_it() {
                super::a_server_without_tls_is_refused_at_once_by_a_client_that_demands_it::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_server_whose_tls_is_too_old_is_refused_at_once() {
                super::a_server_whose_tls_is_too_old_is_refused_at_once::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_file_of_authorities_that_cannot_be_used_is_told_at_once() {
                super::a_file_of_authorities_that_cannot_be_used_is_told_at_once::<$store>().await;
            }
        }
    };
}

tls!(mysql, MySqlStore);
tls!(postgres, PostgresStore);
