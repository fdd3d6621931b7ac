//! What a server does with a statement that nobody waits for any more.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::time::{Duration, Instant};

use acs_identity_core::{AcsId, CustomerId, Error, ErrorKind, Link, Namespace};
use acs_identity_servers::{Database, database};
use acs_identity_sql::{MySqlStore, PostgresStore};
use by_hand::ByHand;
use sqlx::Connection;
use store::Store;

const DEADLINE: Duration = Duration::from_secs(1);

/// Three times what is promised and more, since the machine may have other things to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// What differs from server to server.
trait Statements: Store {
    /// Makes each new mapping take ages, in a way that no look at the client's connection ends.
    const BUSY: &'static str;
    /// Begins a transaction that holds the table, or the rows that are there.
    const HOLD_TABLE: &'static str;
    const HOLD_ROWS: &'static str = "START TRANSACTION; UPDATE acs_identity_mappings SET revision = revision + 1";
    /// How many statements of others are under way in the database.
    const UNDER_WAY: &'static str;
}

impl Statements for PostgresStore {
    const BUSY: &'static str = "CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN LOOP END LOOP; END';
        CREATE TRIGGER busy BEFORE INSERT ON acs_identity_mappings FOR EACH ROW EXECUTE FUNCTION busy()";
    const HOLD_TABLE: &'static str = "START TRANSACTION; LOCK TABLE acs_identity_mappings";
    const UNDER_WAY: &'static str = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND state = 'active' AND backend_type = 'client backend' \
        AND pid <> pg_backend_pid()";
}

impl Statements for MySqlStore {
    const BUSY: &'static str = "CREATE TRIGGER busy BEFORE INSERT ON acs_identity_mappings FOR EACH ROW \
        SET @busy = BENCHMARK(1000000000000, MD5('x'))";
    const HOLD_TABLE: &'static str = "LOCK TABLES acs_identity_mappings WRITE";
    const UNDER_WAY: &'static str = "SELECT COUNT(*) FROM information_schema.processlist \
        WHERE db = DATABASE() AND command <> 'Sleep' AND id <> CONNECTION_ID()";
}

fn create(id: &str) -> Link {
    Link::create(id.parse::<AcsId>().unwrap(), "bob".parse::<CustomerId>().unwrap())
}

/// A store whose tables are there, and a connection of somebody else.
async fn opened<S: Statements>() -> (S, S::Connection, Database) {
    let database = database(S::KIND).await;
    let store = S::connect(database.url(), Namespace::default(), 3, DEADLINE).await.unwrap();
    store.link(create("there")).await.unwrap();
    let other = S::Connection::connect(database.url()).await.unwrap();
    (store, other, database)
}

/// The call fails in time, and the server does not go on with it for long.
async fn given_up<S: Statements, T>(call: impl Future<Output = Result<T, Error>>, database: &Database) {
    let error = call.await.err().expect("it cannot be done");
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error}");
    // Without an open transaction, in which PostgreSQL would go on to show what was under way at the first look.
    let mut looks = S::Connection::connect(database.url()).await.unwrap();
    let start = Instant::now();
    while looks.number(S::UNDER_WAY).await > 0 {
        assert!(start.elapsed() < PATIENCE, "the server still goes on with it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_statement_that_takes_ages_is_ended_by_the_server<S: Statements>() {
    let (store, mut other, database) = opened::<S>().await;
    other.run(S::BUSY).await;
    given_up::<S, _>(store.link(create("new")), &database).await;
    // Nothing came of it.
    assert_eq!(store.resolve(&"new".parse().unwrap()).await.unwrap(), None);
}

async fn a_statement_that_waits_for_a_row_is_ended_by_the_server<S: Statements>() {
    let (store, mut other, database) = opened::<S>().await;
    other.run(S::HOLD_ROWS).await;
    given_up::<S, _>(store.link(create("there")), &database).await;
}

async fn a_statement_that_waits_for_a_table_is_ended_by_the_server<S: Statements>() {
    let (store, mut other, database) = opened::<S>().await;
    other.run(S::HOLD_TABLE).await;
    given_up::<S, _>(store.resolve(&"there".parse().unwrap()), &database).await;
}

macro_rules! deadlines {
    ($module:ident, $store:ty) => {
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn a_statement_that_takes_ages_is_ended_by_the_server() {
                super::a_statement_that_takes_ages_is_ended_by_the_server::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_statement_that_waits_for_a_row_is_ended_by_the_server() {
                super::a_statement_that_waits_for_a_row_is_ended_by_the_server::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_statement_that_waits_for_a_table_is_ended_by_the_server() {
                super::a_statement_that_waits_for_a_table_is_ended_by_the_server::<$store>().await;
            }
        }
    };
}

deadlines!(mysql, MySqlStore);
deadlines!(postgres, PostgresStore);
