//! A store in each of the databases whose time stands still until a test moves it, as if it were one.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{ChangeFeed, Clock, MappingStore, Namespace, Timestamp};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore};
use acs_identity_testkit::ManualClock;
use async_trait::async_trait;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, MySqlPool, PgConnection, PgPool, SqliteConnection};
use tempfile::TempDir;

use crate::by_hand::ByHand;

/// An empty database, a store in it, and a clock that is the store's.
#[async_trait]
pub(crate) trait Still: Sized + Send + Sync {
    type Store: MappingStore + ChangeFeed + Clone + Debug + 'static;
    type Connection: ByHand;

    /// Makes the entries of the log an hour older.
    const AGE_THE_LOG: &'static str;

    async fn new() -> Self;
    fn store(&self) -> &Self::Store;
    fn in_namespace(&self, namespace: Namespace) -> Self::Store;
    fn clock(&self) -> &ManualClock;
    fn in_use(&self) -> u32;
    /// Lets the store see what the clock shows now.
    async fn show(&self);
    /// Somebody else's connection.
    async fn by_hand(&self) -> Self::Connection;

    async fn advance(&self, time: Duration) {
        self.clock().advance(time);
        self.show().await;
    }

    async fn set(&self, now: Timestamp) {
        self.clock().set(now);
        self.show().await;
    }

    /// Waits until the store does nothing in the background any more.
    async fn settle(&self) {
        let mut quiet = 0;
        while quiet < 10 {
            tokio::time::sleep(POLL).await;
            quiet = if self.in_use() == 0 { quiet + 1 } else { 0 };
        }
    }
}

const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// In a file, with the clock as an option.
pub(crate) struct InSqlite {
    folder: TempDir,
    clock: ManualClock,
    store: SqliteStore,
}

#[async_trait]
impl Still for InSqlite {
    type Store = SqliteStore;
    type Connection = SqliteConnection;

    const AGE_THE_LOG: &'static str = "UPDATE acs_identity_changes SET at = at - 3600";

    async fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
        let options = SqliteOptions::file(folder.path().join("a.db")).clock(Arc::new(clock.clone()));
        let store = options.poll_interval(POLL).call_deadline(DEADLINE).open().await.unwrap();
        Self { folder, clock, store }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    fn in_namespace(&self, namespace: Namespace) -> SqliteStore {
        self.store.in_namespace(namespace)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn in_use(&self) -> u32 {
        self.store.connections_in_use()
    }

    async fn show(&self) {}

    async fn by_hand(&self) -> SqliteConnection {
        let url = format!("sqlite:{}", self.folder.path().join("a.db").display());
        SqliteConnection::connect(&url).await.unwrap()
    }
}

/// With functions in place of the server's own.
pub(crate) struct InPostgres {
    database: Database,
    clock: ManualClock,
    pool: PgPool,
    store: PostgresStore,
}

#[async_trait]
impl Still for InPostgres {
    type Store = PostgresStore;
    type Connection = PgConnection;

    const AGE_THE_LOG: &'static str = "UPDATE acs_identity_changes SET at = at - interval '1 hour'";

    async fn new() -> Self {
        let (database, clock) = (database(Kind::Postgres).await, ManualClock::new());
        let mut hand = PgConnection::connect(database.url()).await.unwrap();
        hand.run("CREATE SCHEMA still; CREATE TABLE still.clock (micros bigint); INSERT INTO still.clock VALUES (0)")
            .await;
        for name in ["clock_timestamp", "statement_timestamp"] {
            hand.run(&format!(
                "CREATE FUNCTION still.{name}() RETURNS timestamptz LANGUAGE sql STABLE AS $$ \
                    SELECT timestamptz 'epoch' + micros * interval '1 microsecond' FROM still.clock $$"
            ))
            .await;
        }
        // Functions are looked for there first.
        hand.run(&format!("ALTER DATABASE {} SET search_path = still, pg_catalog, public", database.name())).await;
        let pool = PgPoolOptions::new().max_connections(4).connect(database.url()).await.unwrap();
        let options = PostgresOptions::from_pool(pool.clone()).notifications(false).poll_interval(POLL);
        let options = options.call_deadline(DEADLINE);
        let still = Self { store: options.open().await.unwrap(), database, clock, pool };
        still.show().await;
        still
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    fn in_namespace(&self, namespace: Namespace) -> PostgresStore {
        self.store.in_namespace(namespace)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn in_use(&self) -> u32 {
        self.store.connections_in_use()
    }

    async fn show(&self) {
        let sql = format!("UPDATE still.clock SET micros = {}", self.clock.now().as_micros());
        self.pool.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    async fn by_hand(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }
}

/// With the session variable that sets the time of a connection, on the only one.
pub(crate) struct InMySql {
    database: Database,
    clock: ManualClock,
    pool: MySqlPool,
    store: MySqlStore,
}

fn timestamp(clock: &ManualClock) -> String {
    let micros = clock.now().as_micros();
    format!("SET timestamp = {}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[async_trait]
impl Still for InMySql {
    type Store = MySqlStore;
    type Connection = MySqlConnection;

    const AGE_THE_LOG: &'static str = "UPDATE acs_identity_changes SET at = at - 3600000000";

    async fn new() -> Self {
        let (database, clock) = (database(Kind::MariaDb).await, ManualClock::new());
        let pool = MySqlPoolOptions::new().max_connections(1).after_connect({
            let clock = clock.clone();
            move |connection, _| {
                let sql = timestamp(&clock);
                Box::pin(async move { connection.execute(AssertSqlSafe(sql)).await.map(drop) })
            }
        });
        let pool = pool.connect(database.url()).await.unwrap();
        let options = MySqlOptions::from_pool(pool.clone()).poll_interval(POLL).call_deadline(DEADLINE);
        Self { store: options.open().await.unwrap(), database, clock, pool }
    }

    fn store(&self) -> &MySqlStore {
        &self.store
    }

    fn in_namespace(&self, namespace: Namespace) -> MySqlStore {
        self.store.in_namespace(namespace)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn in_use(&self) -> u32 {
        self.store.connections_in_use()
    }

    async fn show(&self) {
        self.pool.execute(AssertSqlSafe(timestamp(&self.clock))).await.unwrap();
    }

    async fn by_hand(&self) -> MySqlConnection {
        MySqlConnection::connect(self.database.url()).await.unwrap()
    }
}
