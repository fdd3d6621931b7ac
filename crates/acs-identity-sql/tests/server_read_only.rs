//! A server that takes no writes is still read from, and left as soon as a write was refused, since another may take them.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use acs_identity_core::{AcsId, ErrorKind, Link, MappingStore};
use acs_identity_servers::{Kind, Server};
use acs_identity_sql::sqlx::mysql::MySqlPoolOptions;
use acs_identity_sql::sqlx::postgres::PgPoolOptions;
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore};
use by_hand::ByHand;
use sqlx::{Connection, MySqlConnection};
use store::database_on;

fn link(id: &str) -> Link {
    Link::create(id.parse().unwrap(), "bob".parse().unwrap())
}

async fn reads_and_writes_not<S: MappingStore>(store: &S) {
    let linked: AcsId = "a".parse().unwrap();
    assert!(store.resolve(&linked).await.unwrap().is_some());
    let error = store.link(link("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("takes no writes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_that_takes_no_writes_is_read_and_its_connection_closed() {
    let server = Server::start(Kind::MariaDb).unwrap();
    let url = database_on::<MySqlStore>(&server.url(), "reading").await;
    let mut hand = MySqlConnection::connect(&url).await.unwrap();
    hand.run("CREATE USER app@'%' IDENTIFIED BY 'secret'; GRANT ALL ON reading.* TO app@'%'").await;
    let (_, address) = url.rsplit_once('@').unwrap();
    let pool = MySqlPoolOptions::new().max_connections(1);
    let pool = pool.connect(&format!("mysql://app:secret@{address}")).await.unwrap();
    let connection = async || sqlx::query_scalar::<_, u64>("SELECT CONNECTION_ID()").fetch_one(&pool).await.unwrap();
    let store = MySqlOptions::from_pool(pool.clone()).open().await.unwrap();
    store.link(link("a")).await.unwrap();
    hand.run("SET GLOBAL read_only = 1").await;
    let before = connection().await;
    reads_and_writes_not(&store).await;
    assert_ne!(connection().await, before);
    hand.run("SET GLOBAL read_only = 0").await;
    assert!(store.link(link("b")).await.unwrap().changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_postgres_is_read_and_its_connection_closed() {
    let mut server = Server::start(Kind::Postgres).unwrap();
    let url = database_on::<PostgresStore>(&server.url(), "reading").await;
    let store = PostgresOptions::url(&url).open().await.unwrap();
    store.link(link("a")).await.unwrap();
    store.close().await;
    server.write(STANDBY, "").unwrap();
    server.kill();
    // A standby never says that it takes writes, which is what is waited for; the pool waits for less.
    std::thread::spawn(move || server.restart());
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let connection = async || sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&pool).await.unwrap();
    let store = PostgresOptions::from_pool(pool.clone()).open().await.unwrap();
    let before = connection().await;
    reads_and_writes_not(&store).await;
    assert_ne!(connection().await, before);
}

/// https://www.postgresql.org/docs/current/warm-standby.html
const STANDBY: &str = "data/standby.signal";
