//! TLS to real servers: who is trusted, what is refused, and what is said of it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acs_identity_core::ErrorKind::Misconfigured;
use acs_identity_core::{Expect, MappingStore, PageRequest};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Cluster, Kind, Sentinel, Server};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

use super::{DEADLINE, links_and_resolves, refused};

const UNKNOWN_AUTHORITY: &str = "the server's certificate is not from an authority that is trusted here";
const OTHER_HOST: &str = "the server's certificate is for another host than the one that was asked";
const EXPIRED: &str = "the server's certificate is expired or not valid yet";
const NOTHING_IN_COMMON: &str = "no TLS connection that both sides accept could be made";
const NO_TLS: &str = "speak TLS on this port";
const ONLY_TLS: &str = "it may take only those with TLS";

/// A private certificate authority, with a folder of files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, content: String) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        file
    }

    /// Its own certificate.
    fn pem(&self) -> PathBuf {
        self.write("authority.pem", self.issuer.pem())
    }

    /// A certificate and its key.
    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server's certificate for this host.
fn of_this_host() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()]).unwrap()
}

/// A server that has this certificate, and also speaks TLS on a port of its own.
struct Secured {
    server: Server,
    port: u16,
    authority: Authority,
}

impl Secured {
    fn start(certificate: CertificateParams, settings: &[(&str, &str)]) -> Self {
        let authority = Authority::new("the server's authority");
        let (certificate, key) = authority.sign(certificate);
        let mut server = Server::start(Kind::Redis).unwrap();
        let port = free_port();
        let files = [
            ("tls-cert-file", server.write("server.pem", certificate).unwrap()),
            ("tls-key-file", server.write("server.key", key).unwrap()),
            ("tls-ca-cert-file", server.write("authority.pem", authority.issuer.pem()).unwrap()),
        ];
        for (name, file) in &files {
            server.set(name, file.to_str().unwrap());
        }
        for (name, value) in [&[("tls-port", &*port.to_string()), ("tls-auth-clients", "no")], settings].concat() {
            server.set(name, value);
        }
        server.restart().unwrap();
        Self { server, port, authority }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    fn options(&self) -> RedisOptions {
        RedisOptions::url(self.url()).certificate_authority(self.authority.pem())
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn with_the_right_authority_all_is_encrypted() {
    let secured = Secured::start(of_this_host(), &[]);
    // It cuts a connection on which it can read a command.
    let proxy = acs_identity_servers::proxy::Proxy::start((Ipv4Addr::LOCALHOST, secured.port).into()).unwrap();
    for word in [b"HELLO".as_slice(), b"GET", b"EVALSHA"] {
        proxy.cut_after_request(word, Duration::ZERO);
    }
    let options = |url: String| RedisOptions::url(url).certificate_authority(secured.authority.pem());
    let store = options(format!("rediss://127.0.0.1:{}", proxy.port())).open().await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    // By its name as well, and with an old version of TLS that is still safe.
    let by_name = options(format!("rediss://localhost:{}", secured.port)).open().await.unwrap();
    links_and_resolves(&by_name, "8:acs:r_2").await;
    super::ask::<()>(&secured.server.url(), &["CONFIG", "SET", "tls-protocols", "TLSv1.2"]).await;
    links_and_resolves(&options(secured.url()).open().await.unwrap(), "8:acs:r_3").await;
}

#[tokio::test]
async fn another_authority_is_refused_at_once() {
    let secured = Secured::start(of_this_host(), &[]);
    // Of the same name, which proves nothing.
    let other = Authority::new("the server's authority");
    refused(secured.options().certificate_authority(other.pem()), Misconfigured, UNKNOWN_AUTHORITY).await;
    // Nor do the system's authorities know it.
    refused(RedisOptions::url(secured.url()), Misconfigured, UNKNOWN_AUTHORITY).await;
    // With both in the file it is known.
    let both = other.write("both.pem", other.issuer.pem() + &secured.authority.issuer.pem());
    links_and_resolves(&secured.options().certificate_authority(both).open().await.unwrap(), "8:acs:r_1").await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_at_once() {
    let secured = Secured::start(CertificateParams::new(["redis.example.com".to_owned()]).unwrap(), &[]);
    refused(secured.options(), Misconfigured, OTHER_HOST).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_once() {
    let mut expired = of_this_host();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    refused(Secured::start(expired, &[]).options(), Misconfigured, EXPIRED).await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_at_once_by_a_server_that_demands_one() {
    let secured = Secured::start(of_this_host(), &[("tls-auth-clients", "yes")]);
    refused(secured.options(), Misconfigured, NOTHING_IN_COMMON).await;
    let own = |authority: &Authority| {
        let (certificate, key) = authority.sign(CertificateParams::new(["app".to_owned()]).unwrap());
        (authority.write("own.pem", certificate), authority.write("own.key", key))
    };
    // One of an authority that the server does not know is no better.
    let other = Authority::new("another");
    let (certificate, key) = own(&other);
    refused(secured.options().client_certificate(certificate, key), Misconfigured, NOTHING_IN_COMMON).await;
    let (certificate, key) = own(&secured.authority);
    let store = secured.options().client_certificate(&certificate, &key).open().await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    let another = own(&other).1;
    let mixed = secured.options().client_certificate(certificate, another);
    refused(mixed, Misconfigured, "options").await;
    super::ask::<()>(&secured.server.url(), &["CONFIG", "SET", "tls-protocols", "TLSv1.2"]).await;
    refused(secured.options(), Misconfigured, NOTHING_IN_COMMON).await;
}

#[tokio::test]
async fn a_server_whose_tls_is_too_old_is_refused_at_once() {
    let old = [("tls-protocols", "TLSv1.1"), ("tls-ciphers", "DEFAULT@SECLEVEL=0")];
    refused(Secured::start(of_this_host(), &old).options(), Misconfigured, NOTHING_IN_COMMON).await;
}

#[tokio::test]
async fn a_side_with_tls_and_one_without_are_told_so() {
    let secured = Secured::start(of_this_host(), &[]);
    // A server without TLS may wait for the end of what it takes for a line.
    let without = RedisOptions::url(secured.server.url().replace("redis://", "rediss://"))
        .certificate_authority(secured.authority.pem())
        .connect_timeout(Duration::from_millis(300))
        .call_deadline(Duration::from_secs(1));
    let error = without.open().await.unwrap_err();
    assert!(error.to_string().contains(NO_TLS), "{error}");
    // The server only ends the connection, as one that is ending does. So it is tried again, and then told.
    let without = RedisOptions::url(secured.url().replace("rediss://", "redis://"));
    let error = without.call_deadline(Duration::from_secs(1)).open().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(ONLY_TLS), "{error}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_at_once() {
    let secured = Secured::start(of_this_host(), &[]);
    let file = |content: &str| secured.authority.write("useless.pem", content.to_owned());
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for content in ["", "no certificate", broken] {
        refused(secured.options().certificate_authority(file(content)), Misconfigured, "certificate").await;
        let own = secured.options().client_certificate(file(content), file(content));
        refused(own, Misconfigured, "certificates cannot be used").await;
    }
    let missing: &Path = &secured.authority.folder.path().join("missing.pem");
    refused(secured.options().certificate_authority(missing), Misconfigured, "cannot be read").await;
}

#[tokio::test]
async fn an_end_of_trust_is_told_at_the_next_connection() {
    let mut secured = Secured::start(of_this_host(), &[]);
    let store = secured.options().call_deadline(DEADLINE).open().await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    let (certificate, key) = Authority::new("another").sign(of_this_host());
    secured.server.write("server.pem", certificate).unwrap();
    secured.server.write("server.key", key).unwrap();
    secured.server.restart().unwrap();
    let start = std::time::Instant::now();
    let error = store.ping().await.unwrap_err();
    assert!(start.elapsed() < DEADLINE / 2);
    assert_eq!(error.kind(), Misconfigured, "{error}");
}

/// Has a server speak TLS on a port of its own as well, to its clients and to its like.
fn secure(server: &mut Server, authority: &Authority, (certificate, key): &(String, String), to_its_like: &str) -> u16 {
    let files = [
        ("tls-cert-file", certificate.clone()),
        ("tls-key-file", key.clone()),
        ("tls-ca-cert-file", authority.issuer.pem()),
    ];
    for (name, content) in files {
        let file = server.write(name, content).unwrap();
        server.set(name, file.to_str().unwrap());
    }
    let port = free_port();
    for (name, value) in [("tls-port", &*port.to_string()), (to_its_like, "yes"), ("tls-auth-clients", "no")] {
        server.set(name, value);
    }
    port
}

#[tokio::test]
async fn a_primary_and_its_sentinels_are_spoken_to_with_tls_also_after_a_failover() {
    const NAME: &str = Sentinel::MASTER_NAME;
    let mut sentinel = Sentinel::start().unwrap();
    let authority = Authority::new("the authority of all");
    let signed = authority.sign(of_this_host());
    let servers = [0, 1].map(|n| secure(sentinel.server_mut(n), &authority, &signed, "tls-replication"));
    let sentinels = [0, 1, 2].map(|n| secure(sentinel.sentinel_mut(n), &authority, &signed, "tls-replication"));
    for n in 0..2 {
        sentinel.server_mut(n).restart().unwrap();
    }
    let (primary, replica) = (servers[0].to_string(), sentinel.server(1).url());
    super::ask::<()>(&replica, &["REPLICAOF", "127.0.0.1", &primary]).await;
    let begun = std::time::Instant::now();
    let wait = async || {
        assert!(begun.elapsed() < 6 * DEADLINE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    while !super::ask::<String>(&replica, &["INFO", "replication"]).await.contains("master_link_status:up") {
        wait().await;
    }
    for n in 0..3 {
        sentinel.sentinel_mut(n).restart().unwrap();
        let url = sentinel.sentinel(n).url();
        super::ask::<()>(&url, &["SENTINEL", "REMOVE", NAME]).await;
        super::ask::<()>(&url, &["SENTINEL", "MONITOR", NAME, "127.0.0.1", &primary, "2"]).await;
        super::ask::<()>(&url, &["SENTINEL", "SET", NAME, "down-after-milliseconds", "1000"]).await;
        super::ask::<()>(&url, &["SENTINEL", "SET", NAME, "failover-timeout", "3000"]).await;
    }
    for n in 0..3 {
        let url = sentinel.sentinel(n).url();
        while !{
            let info = super::ask::<String>(&url, &["INFO", "sentinel"]).await;
            info.contains("status=ok") && info.contains("slaves=1,sentinels=3")
        } {
            wait().await;
        }
    }
    let options = |authority: &Authority| {
        let urls = sentinels.map(|port| format!("rediss://127.0.0.1:{port}"));
        RedisOptions::sentinel("rediss://primary", NAME, urls).certificate_authority(authority.pem())
    };
    let store = options(&authority).open().await.unwrap();
    links_and_resolves(&store, "8:acs:r_1").await;
    refused(options(&Authority::new("the authority of all")), Misconfigured, UNKNOWN_AUTHORITY).await;

    sentinel.server_mut(0).kill();
    let first = sentinel.sentinel(0).url();
    let new = servers[1].to_string();
    while super::ask::<Vec<String>>(&first, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await[1] != new {
        wait().await;
    }
    let agreed = std::time::Instant::now();
    while store.ping().await.is_err() || store.unlink(&super::id("8:acs:r_1"), Expect::Any).await.is_err() {
        assert!(agreed.elapsed() < 3 * Duration::from_secs(2));
    }
    links_and_resolves(&store, "8:acs:r_2").await;
}

#[tokio::test]
async fn a_cluster_is_spoken_to_with_tls_at_each_of_its_nodes() {
    let mut cluster = Cluster::start().unwrap();
    let authority = Authority::new("the cluster's authority");
    let signed = authority.sign(of_this_host());
    let mut urls = Vec::new();
    for node in 0..6 {
        let server = cluster.node_mut(node);
        let port = secure(server, &authority, &signed, "tls-cluster");
        server.kill();
        urls.push(format!("rediss://127.0.0.1:{port}"));
    }
    for node in 0..6 {
        cluster.restart(node).unwrap();
    }
    let start = std::time::Instant::now();
    for node in 0..6 {
        let url = cluster.node(node).url();
        while !super::ask::<String>(&url, &["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
            assert!(start.elapsed() < 3 * DEADLINE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let options = |authority: &Authority| RedisOptions::cluster(&urls).certificate_authority(authority.pem());
    let store = options(&authority).open().await.unwrap();
    for n in 0..20 {
        links_and_resolves(&store, &format!("8:acs:r_{n}")).await;
    }
    assert_eq!(
        store.mappings_of(&super::customer("bob@contoso.com"), PageRequest::default()).await.unwrap().items.len(),
        20
    );
    refused(options(&Authority::new("the cluster's authority")), Misconfigured, UNKNOWN_AUTHORITY).await;
}
