//! The stores on a server: each check has an empty database of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{ChangeFeed, MappingStore, Namespace};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{PostgresOptions, PostgresStore};
use acs_identity_testkit::Fixture;
use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::lock;

/// What differs from store to store.
#[async_trait]
pub(crate) trait Store: MappingStore + ChangeFeed + Clone + 'static {
    const NAME: &'static str;
    const KIND: Kind;

    async fn connect(url: &str, namespace: Namespace) -> Self;
    fn in_use(&self) -> u32;
}

/// Long for a machine that has other things to do; what it may not do is never come back.
const PATIENCE: Duration = Duration::from_secs(20);

#[async_trait]
impl Store for PostgresStore {
    const NAME: &'static str = "postgres";
    const KIND: Kind = Kind::Postgres;

    async fn connect(url: &str, namespace: Namespace) -> Self {
        let options = PostgresOptions::url(url).namespace(namespace).max_connections(5);
        let patient = options.acquire_timeout(PATIENCE).call_deadline(PATIENCE);
        patient.open().await.expect("the store opens")
    }

    fn in_use(&self) -> u32 {
        self.connections_in_use()
    }
}

pub(crate) struct Server<S> {
    database: OnceCell<Database>,
    opened: Mutex<Vec<S>>,
}

impl<S: Store> Server<S> {
    pub(crate) fn new() -> Self {
        Self { database: OnceCell::new(), opened: Mutex::default() }
    }

    async fn client(&self, namespace: Namespace) -> S {
        let database = self.database.get_or_init(|| database(S::KIND)).await;
        let store = S::connect(database.url(), namespace).await;
        lock(&self.opened).push(store.clone());
        store
    }
}

#[async_trait]
impl<S: Store> Fixture for Server<S> {
    fn name(&self) -> &str {
        S::NAME
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        Arc::new(self.client(namespace).await)
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(self.client(namespace).await))
    }

    fn feed_keeps(&self) -> Option<u32> {
        Some(10_000)
    }

    fn connections(&self) -> Option<u32> {
        Some(lock(&self.opened).iter().map(S::in_use).sum())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}
