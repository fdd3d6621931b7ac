//! The stores on a server: each check has an empty database of its own, behind a proxy of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use acs_identity_core::{ChangeFeed, ErrorKind, Link, MappingStore, Namespace};
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Kind, Server as Process};
use acs_identity_testkit::{Faults, Fixture, NotApplicable, Verdict};
use async_trait::async_trait;
use tokio::sync::{OnceCell, OwnedRwLockReadGuard, RwLock};

use crate::lock;
use crate::store::{Store, address, database_on};

/// How long a call may take: what a store has unless told otherwise. Some checks wait for it several times.
const DEADLINE: Duration = Duration::from_secs(5);

/// A server of this process alone. Whoever uses it reads; whoever kills it writes, and so waits for all others.
struct Shared {
    process: Arc<RwLock<Process>>,
    databases: AtomicU32,
}

fn shared<S: Store>() -> &'static Shared {
    fn start(kind: Kind) -> Shared {
        let process = Process::start(kind).unwrap_or_else(|error| panic!("{error}"));
        Shared { process: Arc::new(RwLock::new(process)), databases: AtomicU32::new(0) }
    }
    static POSTGRES: LazyLock<Shared> = LazyLock::new(|| start(Kind::Postgres));
    static MARIADB: LazyLock<Shared> = LazyLock::new(|| start(Kind::MariaDb));
    if S::KIND == Kind::Postgres { &POSTGRES } else { &MARIADB }
}

pub(crate) struct Server<S> {
    name: &'static str,
    database: OnceCell<Database>,
    opened: Mutex<Vec<S>>,
}

/// The database of one check.
struct Database {
    url: String,
    proxy: Proxy,
    /// Given back only to kill the server.
    used: Mutex<Option<OwnedRwLockReadGuard<Process>>>,
}

impl Database {
    async fn new<S: Store>() -> Self {
        let shared = shared::<S>();
        let used = shared.process.clone().read_owned().await;
        let name = format!("check_{}", shared.databases.fetch_add(1, Ordering::Relaxed));
        let url = database_on::<S>(&used.url(), &name).await;
        let proxy = Proxy::start(address(&url)).expect("a proxy");
        Self { url, proxy, used: Mutex::new(Some(used)) }
    }
}

impl<S: Store> Server<S> {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, database: OnceCell::new(), opened: Mutex::default() }
    }

    async fn database(&self) -> &Database {
        self.database.get_or_init(Database::new::<S>).await
    }

    async fn client(&self, namespace: Namespace) -> S {
        let database = self.database().await;
        let url = database.proxy.url(&database.url);
        let store = S::connect(&url, namespace, 5, DEADLINE).await.expect("the store opens");
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

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }

    fn connections(&self) -> Option<u32> {
        Some(lock(&self.opened).iter().map(S::in_use).sum())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[async_trait]
impl<S: Store> Faults for Server<S> {
    async fn cut(&self) -> Verdict {
        self.database().await.proxy.refuse();
        Ok(())
    }

    async fn hang(&self) -> Verdict {
        self.database().await.proxy.stall();
        Ok(())
    }

    async fn restore(&self) {
        self.database().await.proxy.heal();
    }

    async fn restart(&self) -> Verdict {
        let database = self.database().await;
        drop(lock(&database.used).take());
        let process = &shared::<S>().process;
        let mut alone = process.clone().write_owned().await;
        alone.restart().unwrap_or_else(|error| panic!("{error}"));
        *lock(&database.used) = Some(alone.downgrade());
        Ok(())
    }

    /// A write is one transaction: its statements are one step, and its commit is the other.
    async fn stop_after(&self, steps: u32, namespace: &Namespace, link: &Link) -> Verdict {
        if steps > 1 {
            return Err(NotApplicable("a write is made whole by its commit"));
        }
        let database = self.database().await;
        let proxy = Proxy::start(address(&database.url)).expect("a proxy");
        let url = proxy.url(&database.url);
        let client = S::connect(&url, namespace.clone(), 1, DEADLINE).await.expect("the store opens");
        proxy.cut_before_request(S::COMMIT);
        let error = client.link(link.clone()).await.expect_err("its commit never comes there");
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        Ok(())
    }
}
