//! The Redis store keeps the promises of a store: on one server, in a cluster, and with the cache in front of each.

mod backend;
#[path = "../common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{ChangeFeed, Link, MappingStore, Namespace};
use acs_identity_redis::RedisStore;
use acs_identity_servers::Cluster;
use acs_identity_testkit::{Faults, Fixture, Verdict, conformance_main};
use async_trait::async_trait;
use backend::{Backend, Standalone};
use tokio::sync::{Mutex, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

type Cache = ReadThrough<Arc<RedisStore>>;

/// The servers, for the time of one check.
///
/// How many connections are in use is not told: the calls of a client share one to each server, so none is taken out that
/// could fail to come back.
struct On<B: Backend> {
    held: Mutex<Option<Held<B>>>,
    /// With the cache in front, a cache for each namespace, whose clones are the clients: what others write is seen at once only
    /// by a feed.
    caches: Option<Mutex<HashMap<Namespace, Cache>>>,
    servers: PhantomData<B>,
}

enum Held<B> {
    Used(OwnedRwLockReadGuard<B>),
    Broken(OwnedRwLockWriteGuard<B>),
}

impl<B> std::ops::Deref for Held<B> {
    type Target = B;

    fn deref(&self) -> &B {
        match self {
            Self::Used(servers) => servers,
            Self::Broken(servers) => servers,
        }
    }
}

impl<B: Backend> On<B> {
    fn plain() -> Self {
        Self { held: Mutex::new(None), caches: None, servers: PhantomData }
    }

    fn cached() -> Self {
        Self { held: Mutex::new(None), caches: Some(Mutex::default()), servers: PhantomData }
    }

    async fn client(&self, namespace: Namespace) -> RedisStore {
        let mut held = self.held.lock().await;
        if held.is_none() {
            *held = Some(Held::Used(B::shared().clone().read_owned().await));
        }
        let options = held.as_ref().expect("they are held").options();
        drop(held);
        options.namespace(namespace).open().await.expect("the store opens")
    }

    /// Has the servers alone, and does something bad to them.
    async fn break_with(&self, bad: impl FnOnce(&mut B)) {
        let mut held = self.held.lock().await;
        drop(held.take());
        let mut servers = B::shared().clone().write_owned().await;
        bad(&mut servers);
        *held = Some(Held::Broken(servers));
    }

    /// Caches know nothing of what was done behind their backs.
    async fn forget(&self) {
        if let Some(caches) = &self.caches {
            caches.lock().await.clear();
        }
    }
}

/// Also where a check has panicked while they were broken.
impl<B: Backend> Drop for On<B> {
    fn drop(&mut self) {
        if let Some(Held::Broken(servers)) = self.held.get_mut() {
            servers.proxies().into_iter().for_each(|proxy| proxy.heal());
        }
    }
}

#[async_trait]
impl<B: Backend> Fixture for On<B> {
    fn name(&self) -> &str {
        if self.caches.is_some() { B::CACHED } else { B::NAME }
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        let Some(caches) = &self.caches else { return Arc::new(self.client(namespace).await) };
        let mut caches = caches.lock().await;
        if !caches.contains_key(&namespace) {
            let store = Arc::new(self.client(namespace.clone()).await);
            caches.insert(namespace.clone(), ReadThrough::builder(store).build());
        }
        Arc::new(caches[&namespace].clone())
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

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[async_trait]
impl<B: Backend> Faults for On<B> {
    async fn cut(&self) -> Verdict {
        self.break_with(|servers| servers.proxies().into_iter().for_each(|proxy| proxy.refuse())).await;
        Ok(())
    }

    async fn hang(&self) -> Verdict {
        self.break_with(|servers| servers.proxies().into_iter().for_each(|proxy| proxy.stall())).await;
        Ok(())
    }

    async fn restore(&self) {
        let mut held = self.held.lock().await;
        if let Some(Held::Broken(servers)) = held.take() {
            servers.proxies().into_iter().for_each(|proxy| proxy.heal());
            *held = Some(Held::Used(servers.downgrade()));
        }
    }

    async fn restart(&self) -> Verdict {
        self.break_with(B::restart).await;
        self.restore().await;
        self.forget().await;
        Ok(())
    }

    async fn stop_after(&self, steps: u32, namespace: &Namespace, link: &Link) -> Verdict {
        self.forget().await;
        let held = self.held.lock().await;
        held.as_ref().expect("a client was opened").stop_after(steps, namespace, link)
    }
}

conformance_main!(
    On::<Standalone>::plain(),
    On::<Cluster>::plain(),
    On::<Standalone>::cached(),
    On::<Cluster>::cached(),
);
