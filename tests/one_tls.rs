//! TLS to Redis, to a database and to the Identity service from one process, with all features of the facade: all three bring rustls,
//! and have to find the same provider of cryptography, which is theirs to find without the application's help.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use acs_identity::client::azure_core::credentials::Secret;
use acs_identity::client::{IdentityClient, IdentityClientOptions, TokenScope};
use acs_identity::emulator::Emulator;
use acs_identity::redis::RedisOptions;
use acs_identity::sql::PostgresOptions;
use acs_identity::{ErrorKind, Link, MappingStore};
use acs_identity_servers::{Kind, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The PEM of a certificate for this host, of its key, and of its authority.
fn certified() -> [String; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap().pem();
    [certificate, key.serialize_pem(), authority.pem()]
}

/// A server that has a certificate for this host, with the files of its certificate, its key and its authority.
fn secured(kind: Kind) -> (Server, [PathBuf; 3]) {
    let [certificate, key, authority] = certified();
    let server = Server::start(kind).unwrap();
    let files = [("own.pem", certificate), ("own.key", key), ("authority.pem", authority)]
        .map(|(name, content)| server.write(name, content).unwrap());
    (server, files)
}

/// An endpoint with TLS in front of an emulator, and the PEM of its authority.
async fn encrypted(emulator: &Emulator) -> (String, String) {
    let [certificate, key, authority] = certified();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let target = emulator.endpoint().strip_prefix("http://").unwrap().to_owned();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate leaves here.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (endpoint, authority)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn works(store: &dyn MappingStore) {
    let (id, bob) = ("8:acs:r_1".parse().unwrap(), "bob".parse().unwrap());
    store.link(Link::replace(id, bob)).await.unwrap();
    let found = store.resolve(&"8:acs:r_1".parse().unwrap()).await.unwrap();
    assert_eq!(found.unwrap().customer_id().as_str(), "bob");
}

#[tokio::test]
async fn redis_postgres_and_the_identity_service_are_spoken_to_in_tls_by_one_process() {
    let (mut redis, [certificate, key, authority]) = secured(Kind::Redis);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    for (name, value) in [
        ("tls-port", &*port.to_string()),
        ("tls-cert-file", text(&certificate)),
        ("tls-key-file", text(&key)),
        ("tls-ca-cert-file", text(&authority)),
        ("tls-auth-clients", "no"),
    ] {
        redis.set(name, value);
    }
    redis.restart().unwrap();
    let options = || RedisOptions::url(format!("rediss://127.0.0.1:{port}")).certificate_authority(&authority);

    let (mut postgres, [certificate, key, roots]) = secured(Kind::Postgres);
    for (name, value) in [("ssl", "on"), ("ssl_cert_file", text(&certificate)), ("ssl_key_file", text(&key))] {
        postgres.set(name, value);
    }
    postgres.restart().unwrap();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), text(&roots));

    let emulator = Emulator::start().await.unwrap();
    let (endpoint, authority_of_service) = encrypted(&emulator).await;
    let client = |certificate_authority| {
        let options = IdentityClientOptions { certificate_authority, ..Default::default() };
        IdentityClient::with_key(&endpoint, Secret::new(emulator.key().to_owned()), Some(options)).unwrap()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority_of_service).unwrap();

    // Redis first, whose driver asks for the process's provider; then both once more, side by side.
    works(&options().open().await.unwrap()).await;
    works(&PostgresOptions::url(&*url).open().await.unwrap()).await;
    let trusting = client(Some(file.path().to_owned()));
    let bob = trusting.create_user(None).await.unwrap();
    let chat = [TokenScope::CHAT];
    let (redis, postgres, token) =
        tokio::join!(options().open(), PostgresOptions::url(&*url).open(), trusting.issue_token(&bob.id, &chat, None));
    works(&redis.unwrap()).await;
    works(&postgres.unwrap()).await;
    assert!(emulator.is_token_valid(token.unwrap().token.secret()));
    // With the system's authorities the certificate is not trusted, and so nothing was sent.
    let error = client(None).create_user(None).await.unwrap_err();
    assert_eq!((error.kind(), emulator.users().len()), (ErrorKind::Unavailable, 1), "{error}");
}

#[test]
fn there_is_one_provider_of_cryptography_in_the_workspace() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--workspace", "--all-features", "--edges", "normal,build,dev", "--prefix", "none"])
        .args(["--offline", "--locked", "--target", "all"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.lines().any(|line| line.starts_with("ring v")), "{tree}");
    for other in ["aws-lc-rs v", "openssl v", "native-tls v"] {
        assert!(!tree.lines().any(|line| line.starts_with(other)), "{other}");
    }
}
