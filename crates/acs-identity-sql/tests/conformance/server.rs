//! The stores on a server: each check has an empty database of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{ChangeFeed, MappingStore, Namespace};
use acs_identity_servers::{Database, database};
use acs_identity_testkit::Fixture;
use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::lock;
use crate::store::Store;

/// Long for a machine that has other things to do; what it may not do is never come back.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server<S> {
    name: &'static str,
    database: OnceCell<Database>,
    opened: Mutex<Vec<S>>,
}

impl<S: Store> Server<S> {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, database: OnceCell::new(), opened: Mutex::default() }
    }

    async fn client(&self, namespace: Namespace) -> S {
        let database = self.database.get_or_init(|| database(S::KIND)).await;
        let store = S::connect(database.url(), namespace, 5, PATIENCE).await.expect("the store opens");
        lock(&self.opened).push(store.clone());
        store
    }
}

#[async_trait]
impl<S: Store> Fixture for Server<S> {
    fn name(&self) -> &str {
        self.name
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
