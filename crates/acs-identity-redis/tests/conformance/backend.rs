//! The servers of this process that a check may break: one alone, and a cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use acs_identity_core::{Link, Namespace};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Cluster, Kind, Server};
use acs_identity_testkit::{NotApplicable, Verdict};
use tokio::sync::RwLock;

use crate::by_hand::ByHand;

/// So that what was acknowledged is there after a restart.
const KEPT: [(&str, &str); 2] = [("appendonly", "yes"), ("appendfsync", "always")];

/// How many masters a cluster has, and how many nodes.
const NODES: usize = 6;

pub(crate) trait Backend: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    /// The name with the cache in front.
    const CACHED: &'static str;

    /// Those of this process. Whoever uses them reads; whoever breaks them writes, and so waits for all others.
    fn shared() -> &'static Arc<RwLock<Self>>;
    fn options(&self) -> RedisOptions;
    fn proxies(&self) -> Vec<&Proxy>;
    fn restart(&mut self);
    fn stop_after(&self, steps: u32, namespace: &Namespace, link: &Link) -> Verdict;
}

pub(crate) struct Standalone {
    server: Server,
    proxy: Proxy,
}

impl Backend for Standalone {
    const NAME: &'static str = "redis";
    const CACHED: &'static str = "redis_cached";

    fn shared() -> &'static Arc<RwLock<Self>> {
        static SHARED: LazyLock<Arc<RwLock<Standalone>>> = LazyLock::new(|| {
            let server = Server::start_with(Kind::Redis, &KEPT).unwrap_or_else(|error| panic!("{error}"));
            let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).expect("a proxy");
            Arc::new(RwLock::new(Standalone { server, proxy }))
        });
        &SHARED
    }

    fn options(&self) -> RedisOptions {
        RedisOptions::url(self.proxy.url(&self.server.url()))
    }

    fn proxies(&self) -> Vec<&Proxy> {
        vec![&self.proxy]
    }

    fn restart(&mut self) {
        self.server.restart().unwrap_or_else(|error| panic!("{error}"));
    }

    fn stop_after(&self, _: u32, _: &Namespace, _: &Link) -> Verdict {
        Err(NotApplicable("on one server a write is one script, which is one step"))
    }
}

impl Backend for Cluster {
    const NAME: &'static str = "redis_cluster";
    const CACHED: &'static str = "redis_cluster_cached";

    fn shared() -> &'static Arc<RwLock<Self>> {
        static SHARED: LazyLock<Arc<RwLock<Cluster>>> = LazyLock::new(|| {
            // A restart is not to be taken for the loss of a node.
            let settings = [&KEPT[..], &[("cluster-node-timeout", "15000")]].concat();
            let cluster = Cluster::start_behind_proxies(&settings).unwrap_or_else(|error| panic!("{error}"));
            Arc::new(RwLock::new(cluster))
        });
        &SHARED
    }

    fn options(&self) -> RedisOptions {
        RedisOptions::cluster(self.urls())
    }

    fn proxies(&self) -> Vec<&Proxy> {
        (0..NODES).map(|node| self.proxy(node)).collect()
    }

    fn restart(&mut self) {
        (0..NODES).for_each(|node| self.kill(node));
        (0..NODES).for_each(|node| Cluster::restart(self, node).unwrap_or_else(|error| panic!("{error}")));
        self.wait_until_ready().unwrap_or_else(|error| panic!("{error}"));
    }

    fn stop_after(&self, steps: u32, namespace: &Namespace, link: &Link) -> Verdict {
        match ByHand::new(self.urls(), namespace).first_steps(steps, link) {
            true => Ok(()),
            false => Err(NotApplicable("a write has four steps")),
        }
    }
}
