//! Servers and options that are refused, and what options and stores show of themselves.

use std::time::Duration;

use acs_identity_core::ErrorKind::Misconfigured;
use acs_identity_core::MappingStore;
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Kind, Sentinel, Server, cluster_urls, url};

use super::{PASSWORD, ask, links_and_resolves, refused};

const EVICTION: &str = "its maxmemory-policy is not noeviction";

#[tokio::test]
async fn a_server_that_may_throw_mappings_away_is_refused_unless_that_is_allowed() {
    let server = Server::start(Kind::Redis).unwrap();
    let url = server.url();
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"] {
        ask::<()>(&url, &["CONFIG", "SET", "maxmemory-policy", policy]).await;
        refused(RedisOptions::url(&*url), Misconfigured, EVICTION).await;
        refused(RedisOptions::url(&*url).allow_eviction(false), Misconfigured, EVICTION).await;
        let store = RedisOptions::url(&*url).allow_eviction(true).open().await.unwrap();
        links_and_resolves(&store, &format!("8:acs:r_{policy}")).await;
    }
    ask::<()>(&url, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    RedisOptions::url(&*url).open().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_which_one_node_may_throw_mappings_away_is_refused() {
    let cluster = acs_identity_servers::Cluster::start().unwrap();
    ask::<()>(&cluster.urls()[2], &["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await;
    refused(RedisOptions::cluster(cluster.urls()), Misconfigured, EVICTION).await;
    RedisOptions::cluster(cluster.urls()).allow_eviction(true).open().await.unwrap();
}

#[tokio::test]
async fn the_wrong_kind_of_deployment_is_refused() {
    for url in cluster_urls() {
        refused(RedisOptions::url(url), Misconfigured, "the server is part of a cluster; name it as one").await;
    }
    refused(RedisOptions::cluster([url(Kind::Redis)]), Misconfigured, "the server is not part of a cluster").await;
    let sentinel = Sentinel::start().unwrap();
    refused(RedisOptions::url(&sentinel.urls()[0]), Misconfigured, "a sentinel").await;
    refused(RedisOptions::cluster(sentinel.urls()), Misconfigured, "the server is not part of a cluster").await;
    refused(RedisOptions::sentinel("redis://primary", "any", [url(Kind::Redis)]), Misconfigured, "is not a sentinel")
        .await;
    // It may be a primary again in a moment, so this is worth another try.
    let primary = sentinel.primary().unwrap();
    let error = RedisOptions::url(sentinel.server(1 - primary).url()).open().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("the server is a replica"), "{error}");
}

#[tokio::test]
async fn nonsense_is_refused_before_anybody_is_asked() {
    // Nobody is there: who asked would say so.
    let nobody = "redis://127.0.0.1:1";
    const URL: &str = "a URL has to be like";
    for url in ["", "redis", "redis://", "http://127.0.0.1", "redis://127.0.0.1:port", "redis://127.0.0.1/one"] {
        refused(RedisOptions::url(url), Misconfigured, URL).await;
        refused(RedisOptions::cluster([nobody, url]), Misconfigured, URL).await;
        refused(RedisOptions::sentinel(nobody, "app", [url]), Misconfigured, URL).await;
        refused(RedisOptions::sentinel(url, "app", [nobody]), Misconfigured, URL).await;
    }
    for socket in ["unix:///run/redis.sock", "redis+unix:///run/redis.sock"] {
        refused(RedisOptions::url(socket), Misconfigured, URL).await;
    }
    refused(RedisOptions::url(format!("redis://app-user:{PASSWORD}@:x")), Misconfigured, URL).await;
    refused(RedisOptions::cluster(Vec::<String>::new()), Misconfigured, "a URL is needed").await;
    refused(RedisOptions::sentinel(nobody, "app", Vec::<String>::new()), Misconfigured, "a URL is needed").await;
    refused(RedisOptions::sentinel(nobody, "", [nobody]), Misconfigured, "a name").await;
    refused(RedisOptions::cluster([format!("{nobody}/3")]), Misconfigured, "no databases but the first").await;
    refused(RedisOptions::url("rediss://127.0.0.1:1/#insecure"), Misconfigured, "certificates are always checked")
        .await;

    const LENGTH: &str = "a deadline of no length";
    let options = || RedisOptions::url(nobody);
    refused(options().connect_timeout(Duration::ZERO), Misconfigured, LENGTH).await;
    refused(options().response_timeout(Duration::ZERO), Misconfigured, LENGTH).await;
    let error = options().call_deadline(Duration::ZERO).open().await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains(LENGTH)), (Misconfigured, true), "{error}");
    for patience in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(2)] {
        refused(options().replica_acknowledgements(1, patience), Misconfigured, "waiting for replicas").await;
    }
    const FILE: &str = "a file with a certificate or a key cannot be read";
    refused(options().certificate_authority("/nowhere/authority.pem"), Misconfigured, FILE).await;
    refused(options().client_certificate("/nowhere/own.pem", "/nowhere/own.key"), Misconfigured, FILE).await;
    // The same with what makes sense is not: nobody is there.
    let error =
        options().connect_timeout(Duration::MAX).call_deadline(Duration::from_millis(200)).open().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    // A deadline that will never come is one of a year.
    let options = RedisOptions::url(url(Kind::Redis)).response_timeout(Duration::MAX).call_deadline(Duration::MAX);
    let store = options.open().await.unwrap();
    store.ping().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn replicas_that_a_server_does_not_have_are_missed_by_writes_and_not_by_reads() {
    use acs_identity_core::{ErrorKind, Link, Resolver};

    let server = Server::start(Kind::Redis).unwrap();
    let options = RedisOptions::url(server.url()).replica_acknowledgements(1, Duration::from_millis(100));
    let store = options.open().await.unwrap();
    let id = super::id("8:acs:r_1");
    let error = store.link(Link::create(id.clone(), super::customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(store.resolve(&id).await.unwrap().unwrap().customer_id().as_str(), "bob");
}

#[tokio::test]
async fn options_and_stores_show_no_secret() {
    let url = format!("redis://app-user:{PASSWORD}@redis.example.com");
    let options = RedisOptions::url(&*url).client_certificate("/etc/app/own.pem", "/etc/app/own.key");
    for options in [options, RedisOptions::cluster([&*url]), RedisOptions::sentinel(&*url, "app", [&*url])] {
        let shown = format!("{options:?}");
        for secret in [PASSWORD, "app-user", "example", "own"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let store = RedisOptions::url(acs_identity_servers::url(Kind::Redis)).open().await.unwrap();
    let shown = format!("{store:?}");
    assert!(shown.contains("RedisStore") && !shown.contains("127.0.0.1"), "{shown}");
}
