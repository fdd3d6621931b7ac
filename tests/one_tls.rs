//! TLS to Redis and to a database from one process, with all features of the facade: both drivers bring rustls, and both have to
//! find the same provider of cryptography, which is theirs to find without the application's help.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use acs_identity::redis::RedisOptions;
use acs_identity::sql::PostgresOptions;
use acs_identity::{Link, MappingStore};
use acs_identity_servers::{Kind, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

/// A server that has a certificate for this host, with the files of its certificate, its key and its authority.
fn secured(kind: Kind) -> (Server, [PathBuf; 3]) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap().pem();
    let server = Server::start(kind).unwrap();
    let files = [("own.pem", certificate), ("own.key", key.serialize_pem()), ("authority.pem", authority.pem())]
        .map(|(name, content)| server.write(name, content).unwrap());
    (server, files)
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
async fn redis_and_postgres_speak_tls_in_one_process() {
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

    // Redis first, whose driver asks for the process's provider; then both once more, side by side.
    works(&options().open().await.unwrap()).await;
    works(&PostgresOptions::url(&*url).open().await.unwrap()).await;
    let (redis, postgres) = tokio::join!(options().open(), PostgresOptions::url(&*url).open());
    works(&redis.unwrap()).await;
    works(&postgres.unwrap()).await;
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
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.lines().any(|line| line.starts_with("ring v")), "{tree}");
    for other in ["aws-lc-rs v", "openssl v", "native-tls v"] {
        assert!(!tree.lines().any(|line| line.starts_with(other)), "{other}");
    }
}
