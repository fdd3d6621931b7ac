//! What happens to PostgreSQL's server and to the tables while the store is open, and what the store leaves in the server's log.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, ErrorKind, Link, MappingStore, Resolver};
use acs_identity_servers::{Kind, Server, database};
use acs_identity_sql::{PostgresOptions, PostgresStore};
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::{Connection, Executor, PgConnection};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn create(id: &str, customer: &str) -> Link {
    let customer: CustomerId = customer.parse().unwrap();
    Link::create(id.parse().unwrap(), customer)
}

async fn open(url: &str) -> PostgresStore {
    let options = PostgresOptions::url(url).notifications(false);
    options.acquire_timeout(Duration::from_secs(30)).call_deadline(Duration::from_secs(30)).open().await.unwrap()
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

/// Numbers of transactions that never reached the disk are given out again after a crash, and would seem to have been seen.
async fn crash(how: impl AsyncFnOnce(&mut Server)) {
    // Long, so that what was not committed is not on the disk when the server crashes.
    let mut server = Server::start_with(Kind::Postgres, &[("wal_writer_delay", "10000ms")]).unwrap();
    let store = open(&server.url()).await;
    store.link(create("8:acs:warm", "ann")).await.unwrap();
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    for _ in 0..20 {
        connection.execute("SELECT pg_current_xact_id()").await.unwrap();
    }
    // So that the subscriber has seen them: it looks ten times a second, and only when it is asked.
    assert!(tokio::time::timeout(Duration::from_millis(500), changes.next()).await.is_err());
    how(&mut server).await;
    let changed = Link::replace(id("8:acs:warm"), "bea".parse().unwrap());
    store.link(changed).await.unwrap();
    loop {
        match next(&mut changes).await {
            Change::Acs(changed, _) if changed == id("8:acs:warm") => break,
            Change::Lost(_) => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_change_after_a_crash_of_the_server_is_not_missed_unsaid() {
    crash(async |server| {
        server.kill();
        server.restart().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_change_after_a_crash_of_one_of_the_servers_processes_is_not_missed_unsaid() {
    crash(async |server| {
        // Its death makes the server end all others, and recover.
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        let (process,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
        assert!(std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn no_id_is_left_in_the_servers_log() {
    let server = Server::start(Kind::Postgres).unwrap();
    let store = open(&server.url()).await;
    store.link(create("4:+14255550123", "ann")).await.unwrap();
    // With one that is there, however many there are.
    for count in [1, 150] {
        let links: Vec<_> = (0..count).map(|n| create(&format!("8:acs:{count}_{n}"), "ann")).collect();
        let links: Vec<_> = links.into_iter().chain([create("4:+14255550123", "bob@contoso.com")]).collect();
        let answers = store.link_many(&links).await;
        assert_eq!(answers.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), count);
    }
    let writers = (0..16).map(|n| store.link(create("4:+14255550199", &format!("customer{n}"))));
    let won = futures::future::join_all(writers).await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(won, 1);
    let log = fs::read_to_string(server.folder().join("log")).unwrap();
    for private in ["4255550123", "4255550199", "bob@contoso.com", "duplicate key"] {
        assert!(!log.contains(private), "{private}");
    }
}

#[tokio::test]
async fn tables_that_were_changed_meanwhile_are_read_anew() {
    let database = database(Kind::Postgres).await;
    let store = open(database.url()).await;
    store.link(create("8:acs:a", "ann")).await.unwrap();
    store.resolve(&id("8:acs:a")).await.unwrap().unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute("ALTER TABLE acs_identity_mappings ALTER properties TYPE varchar(8000)").await.unwrap();
    assert_eq!(store.resolve(&id("8:acs:a")).await.unwrap().unwrap().customer_id().as_str(), "ann");
}

#[tokio::test]
async fn a_unique_key_of_somebody_elses_is_an_error_at_once() {
    let database = database(Kind::Postgres).await;
    let store = open(database.url()).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute("CREATE UNIQUE INDEX mine ON acs_identity_mappings (customer_id)").await.unwrap();
    store.link(create("8:acs:a", "ann")).await.unwrap();
    let started = std::time::Instant::now();
    assert_eq!(store.link(create("8:acs:b", "ann")).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_ping_finds_out_that_the_tables_are_gone() {
    let database = database(Kind::Postgres).await;
    let store = open(database.url()).await;
    store.ping().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute("DROP TABLE acs_identity_mappings").await.unwrap();
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Misconfigured);
}
