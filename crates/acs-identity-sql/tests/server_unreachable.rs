//! What a caller is told of a server that can't be had, and that one which is away only for a moment is waited for.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::error::Error as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use acs_identity_core::{AcsId, Error, ErrorKind, Link};
use acs_identity_servers::database;
use acs_identity_servers::proxy::Proxy;
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore};
use store::{Settings, Store, address};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn id(n: u64) -> AcsId {
    AcsId::new(format!("8:acs:r_{n}")).unwrap()
}

/// What an error says, and all its sources.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text += &format!("; {next}");
        source = next.source();
    }
    text
}

async fn refused<S: Store>(url: &str) -> Error {
    let settings = Settings { deadline: Duration::from_millis(500), ..Settings::default() };
    let start = Instant::now();
    let error = S::open(S::options(url, settings)).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10), "{error}");
    error
}

async fn the_cause_is_told_when_a_server_cannot_be_reached<S: Store>() {
    let scheme = S::SCHEME;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused::<S>(&format!("{scheme}://u:p@127.0.0.1:{port}/d")).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(told(&error).ends_with("connection refused"), "{}", told(&error));
    // A name that never exists: https://www.rfc-editor.org/rfc/rfc6761#section-6.4
    let error = refused::<S>(&format!("{scheme}://u:p@host.invalid/d")).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(told(&error).ends_with("the host's address cannot be found"), "{}", told(&error));
    assert!(!format!("{error:?}").contains("host.invalid"));
}

#[tokio::test]
async fn the_cause_is_told_when_mysql_cannot_be_reached() {
    the_cause_is_told_when_a_server_cannot_be_reached::<MySqlStore>().await;
}

#[tokio::test]
async fn the_cause_is_told_when_postgres_cannot_be_reached() {
    the_cause_is_told_when_a_server_cannot_be_reached::<PostgresStore>().await;
}

/// A server that gives each client the same answer, if it is spoken to or not.
async fn server_that_says(answer: &'static [u8], waits_for_a_request: bool) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                if waits_for_a_request {
                    let _ = client.read(&mut buffer).await;
                }
                let _ = client.write_all(answer).await;
                while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    port
}

/// A handshake that names another method than the driver knows.
/// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
const HANDSHAKE: &[u8] = b"\x53\0\0\0\x0a8.0.36\0\x01\0\0\0abcdefgh\0\x08\x82\x2d\x02\0\x08\0\x15\
    \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0authentication_kerberos_client\0";

#[tokio::test]
async fn an_authentication_that_is_not_supported_is_told_at_once() {
    // AuthenticationGSS: https://www.postgresql.org/docs/current/protocol-message-formats.html
    let port = server_that_says(b"R\0\0\0\x08\0\0\0\x07", true).await;
    let start = Instant::now();
    let url = format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable");
    let error = PostgresOptions::url(url).call_deadline(Duration::from_secs(30)).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let port = server_that_says(HANDSHAKE, false).await;
    let url = format!("mysql://u:p@127.0.0.1:{port}/d");
    let error = MySqlOptions::url(url).call_deadline(Duration::from_secs(30)).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

async fn a_server_that_is_away_for_less_than_the_deadline_is_waited_for<S: Store>(from: fn(&str) -> S::Options) {
    let database = database(S::KIND).await;
    let proxy = Proxy::start(address(database.url())).unwrap();
    let store = S::open(from(&proxy.url(database.url()))).await.unwrap();
    store.link(Link::create(id(0), "bob".parse().unwrap())).await.unwrap();
    proxy.cut();
    proxy.refuse();
    let calls = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.resolve(&id(0)).await })
    });
    let calls: Vec<_> = calls.collect();
    tokio::time::sleep(2 * SHORT).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    proxy.heal();
    for call in calls {
        assert!(call.await.unwrap().unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_that_is_away_for_less_than_the_deadline_is_waited_for() {
    let from = |url: &str| MySqlOptions::url(url).acquire_timeout(SHORT).call_deadline(LONG);
    a_server_that_is_away_for_less_than_the_deadline_is_waited_for::<MySqlStore>(from).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_away_for_less_than_the_deadline_is_waited_for() {
    let from = |url: &str| PostgresOptions::url(url).acquire_timeout(SHORT).call_deadline(LONG);
    a_server_that_is_away_for_less_than_the_deadline_is_waited_for::<PostgresStore>(from).await;
}

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up_is_a_timeout_before_the_deadline() {
    let database = database(PostgresStore::KIND).await;
    let pool = acs_identity_sql::sqlx::postgres::PgPoolOptions::new().max_connections(1).acquire_timeout(SHORT);
    let pool = pool.connect(database.url()).await.unwrap();
    let store = PostgresOptions::from_pool(pool.clone()).call_deadline(LONG).open().await.unwrap();
    let taken = pool.acquire().await.unwrap();
    let start = Instant::now();
    let error = acs_identity_core::Resolver::resolve(&store, &id(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < LONG / 2, "{error}");
    drop(taken);
}
