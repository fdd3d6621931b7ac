//! The stores on a server, as one.

use std::time::Duration;

use acs_identity_core::{ChangeFeed, MappingStore, Namespace, Result};
use acs_identity_servers::Kind;
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore};
use async_trait::async_trait;

/// What differs from store to store.
#[async_trait]
pub(crate) trait Store: MappingStore + ChangeFeed + Clone + 'static {
    const KIND: Kind;
    /// A commit as it goes over the wire.
    const COMMIT: &'static [u8];

    async fn connect(url: &str, namespace: Namespace, connections: u32, deadline: Duration) -> Result<Self>;
    fn in_use(&self) -> u32;
}

macro_rules! store {
    ($store:ty, $options:ty, $kind:expr, $commit:literal) => {
        #[async_trait]
        impl Store for $store {
            const KIND: Kind = $kind;
            const COMMIT: &'static [u8] = $commit;

            async fn connect(url: &str, namespace: Namespace, connections: u32, deadline: Duration) -> Result<Self> {
                let options = <$options>::url(url).namespace(namespace).max_connections(connections);
                options.acquire_timeout(deadline).call_deadline(deadline).open().await
            }

            fn in_use(&self) -> u32 {
                self.connections_in_use()
            }
        }
    };
}

store!(MySqlStore, MySqlOptions, Kind::MariaDb, b"\x03COMMIT");
store!(PostgresStore, PostgresOptions, Kind::Postgres, b"COMMIT\0");
