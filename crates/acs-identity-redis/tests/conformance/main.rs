//! The conformance suite on Redis: on one server, and on a cluster.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use acs_identity_core::{MappingStore, Namespace};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Kind, cluster_urls, url};
use acs_identity_testkit::{Fixture, conformance_main};
use async_trait::async_trait;

struct Standalone;

#[async_trait]
impl Fixture for Standalone {
    fn name(&self) -> &str {
        "redis"
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        let url = url(Kind::Redis);
        Arc::new(RedisOptions::url(url).namespace(namespace).open().await.unwrap())
    }
}

struct OnCluster;

#[async_trait]
impl Fixture for OnCluster {
    fn name(&self) -> &str {
        "redis_cluster"
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        let urls = cluster_urls();
        Arc::new(RedisOptions::cluster(urls).namespace(namespace).open().await.unwrap())
    }
}

conformance_main!(Standalone, OnCluster);
