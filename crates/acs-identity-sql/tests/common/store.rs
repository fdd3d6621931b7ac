//! The stores on a server, as one.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use acs_identity_core::{ChangeFeed, MappingStore, Namespace, Result};
use acs_identity_servers::Kind;
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore};
use async_trait::async_trait;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection};

use crate::by_hand::ByHand;

/// What differs from store to store.
#[async_trait]
pub(crate) trait Store: MappingStore + ChangeFeed + Clone + 'static {
    const KIND: Kind;
    const SCHEME: &'static str;
    /// The end of a statement that makes a database whose texts compare carelessly.
    const CARELESS: &'static str;
    /// A commit as it goes over the wire.
    const COMMIT: &'static [u8];

    type Options: Debug + Send;
    type Connection: ByHand;

    fn options(url: &str, settings: Settings) -> Self::Options;
    async fn open(options: Self::Options) -> Result<Self>;
    fn schema() -> String;
    fn in_use(&self) -> u32;

    /// With an application's pool, on each of whose connections a statement was run.
    async fn on_pool_set_up_by(url: &str, connections: u32, sql: &str) -> Result<Self>;

    async fn connect(url: &str, namespace: Namespace, connections: u32, deadline: Duration) -> Result<Self> {
        let settings = Settings { namespace, connections, deadline, ..Settings::default() };
        Self::open(Self::options(url, settings)).await
    }
}

/// The options that both have.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) namespace: Namespace,
    pub(crate) connections: u32,
    pub(crate) deadline: Duration,
    pub(crate) poll_interval: Duration,
    /// Whether changes are only found by looking, also where notifications would tell of them.
    pub(crate) polled: bool,
    pub(crate) migrate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: Namespace::default(),
            connections: 10,
            // Long for a machine that has other things to do.
            deadline: Duration::from_secs(30),
            poll_interval: Duration::from_millis(100),
            polled: false,
            migrate: true,
        }
    }
}

macro_rules! store {
    ($store:ty, $options:ty, $pool:ty, $connection:ty, $kind:expr, $scheme:literal, $careless:literal, $commit:literal, $poll:expr) => {
        #[async_trait]
        impl Store for $store {
            const KIND: Kind = $kind;
            const SCHEME: &'static str = $scheme;
            const CARELESS: &'static str = $careless;
            const COMMIT: &'static [u8] = $commit;

            type Options = $options;
            type Connection = $connection;

            fn options(url: &str, settings: Settings) -> $options {
                let Settings { namespace, connections, deadline, poll_interval, polled, migrate } = settings;
                let options = <$options>::url(url).namespace(namespace).max_connections(connections);
                let options = options.acquire_timeout(deadline).call_deadline(deadline).poll_interval(poll_interval);
                let listening: fn($options) -> $options = if polled { $poll } else { |options| options };
                listening(options).migrate(migrate)
            }

            async fn open(options: $options) -> Result<Self> {
                options.open().await
            }

            fn schema() -> String {
                Self::schema_sql()
            }

            fn in_use(&self) -> u32 {
                self.connections_in_use()
            }

            async fn on_pool_set_up_by(url: &str, connections: u32, sql: &str) -> Result<Self> {
                let sql = sql.to_owned();
                let pool = <$pool>::new().max_connections(connections).min_connections(connections);
                let pool = pool.after_connect(move |connection, _| {
                    let sql = AssertSqlSafe(sql.clone());
                    Box::pin(async move { connection.execute(sql).await.map(drop) })
                });
                let pool = pool.connect(url).await.expect("a server");
                <$options>::from_pool(pool).call_deadline(Settings::default().deadline).open().await
            }
        }
    };
}

store!(
    MySqlStore,
    MySqlOptions,
    MySqlPoolOptions,
    MySqlConnection,
    Kind::MariaDb,
    "mysql",
    "CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    b"\x03COMMIT",
    |options| options
);
store!(
    PostgresStore,
    PostgresOptions,
    PgPoolOptions,
    PgConnection,
    Kind::Postgres,
    "postgres",
    "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'und-u-ks-level1' LOCALE 'C'",
    b"COMMIT\0",
    |options| options.notifications(false)
);

/// Makes a database on a server of one's own, and says its URL.
pub(crate) async fn database_on<S: Store>(server: &str, name: &str) -> String {
    S::Connection::connect(server).await.expect("a server").run(&format!("CREATE DATABASE {name}")).await;
    let (address, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{address}/{name}")
}

/// The address of the server in a URL.
pub(crate) fn address(url: &str) -> SocketAddr {
    let (_, address) = url.rsplit_once('@').expect("a URL with a user");
    let (address, _) = address.split_once('/').expect("a URL with a database");
    address.parse().expect("an address in numbers")
}
