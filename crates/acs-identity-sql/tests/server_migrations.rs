//! The schema is made by one process at a time, for as long as it takes, and nothing is left locked.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::time::Duration;

use acs_identity_core::ErrorKind;
use acs_identity_servers::{Kind, Server, database};
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore};
use by_hand::ByHand;
use sqlx::{Connection, Executor, MySqlConnection, PgConnection};
use store::{Settings, Store, database_on};

const DEADLINE: Duration = Duration::from_secs(1);

/// Far longer than opening may take without a change of the schema.
const SLOW: Duration = Duration::from_secs(4);

const MYSQL_LOCK: &str = "GET_LOCK(CONCAT('acs_identity:', SHA1(DATABASE())), 0)";

async fn somebody_elses_change_of_the_schema_is_waited_for<S: Store>(lock: &str, unlock: &str) {
    let database = database(S::KIND).await;
    let mut other = S::Connection::connect(database.url()).await.unwrap();
    other.run(lock).await;
    let settings = Settings { deadline: DEADLINE, ..Settings::default() };
    let opened = tokio::spawn(S::open(S::options(database.url(), settings)));
    tokio::time::sleep(SLOW).await;
    assert!(!opened.is_finished());
    other.run(unlock).await;
    opened.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_waits_for_somebody_elses_change_of_the_schema() {
    let lock = format!("DO {MYSQL_LOCK}");
    somebody_elses_change_of_the_schema_is_waited_for::<MySqlStore>(&lock, "DO RELEASE_ALL_LOCKS()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_waits_for_somebody_elses_change_of_the_schema() {
    // `acs-iden` in ASCII.
    let lock = format!("SELECT pg_advisory_lock({})", i64::from_be_bytes(*b"acs-iden"));
    somebody_elses_change_of_the_schema_is_waited_for::<PostgresStore>(&lock, "SELECT pg_advisory_unlock_all()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_schema_has_its_own_deadline() {
    let database = database(Kind::Postgres).await;
    let mut hand = PgConnection::connect(database.url()).await.unwrap();
    hand.run(
        "CREATE FUNCTION slowly() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); END'; \
        CREATE EVENT TRIGGER slowly ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION slowly()",
    )
    .await;
    let options = || PostgresOptions::url(database.url()).call_deadline(DEADLINE);
    let error = options().migration_deadline(2 * DEADLINE).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    options().open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_for_changes_of_the_schema_has_limits() {
    for deadline in [Duration::ZERO, Duration::MAX] {
        let wrong = MySqlOptions::url("mysql://localhost/d").migration_deadline(deadline);
        assert_eq!(wrong.open().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_keeps_no_lock_on_the_schema() {
    let server = Server::start(Kind::MariaDb).unwrap();
    let url = database_on::<MySqlStore>(&server.url(), "locks").await;
    let mut root = MySqlConnection::connect(&server.url()).await.unwrap();
    let mut hand = MySqlConnection::connect(&url).await.unwrap();
    hand.run("CREATE USER app@'%' IDENTIFIED BY 'secret'; GRANT ALL ON locks.* TO app@'%'").await;
    root.run("SET GLOBAL read_only = 1").await;
    // An application's own pool, which goes on after the store could not be opened.
    let address = url.rsplit_once('@').unwrap().1;
    let pool = acs_identity_sql::sqlx::mysql::MySqlPoolOptions::new().max_connections(1);
    let pool = pool.connect(&format!("mysql://app:secret@{address}")).await.unwrap();
    let error = MySqlOptions::from_pool(pool.clone()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let free = MYSQL_LOCK.replace("GET_LOCK", "IS_FREE_LOCK").replace(", 0)", ")");
    let mut lent = pool.acquire().await.unwrap();
    assert_eq!(hand.number(&format!("SELECT {free}")).await, 1);
    root.run("SET GLOBAL read_only = 0").await;
    (&mut *lent).execute("DO 1").await.unwrap();
    drop(lent);
    MySqlOptions::from_pool(pool).open().await.unwrap();
    assert_eq!(hand.number(&format!("SELECT {free}")).await, 1);
}
