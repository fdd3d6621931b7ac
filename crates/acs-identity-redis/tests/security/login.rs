//! Users and passwords.

use acs_identity_core::ErrorKind::{Denied, Misconfigured};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Cluster, Sentinel, Server};

use super::{PASSWORD, ask, links_and_resolves, refused};

const CREDENTIALS: &str = "the server refuses the credentials";

/// A server's URL with a user and a password.
fn login(url: &str, login: &str) -> String {
    url.replace("redis://", &format!("redis://{login}@"))
}

async fn let_in(url: &str) {
    ask::<()>(url, &["ACL", "SETUSER", "app-user", "on", &format!(">{PASSWORD}"), "~*", "+@all"]).await;
    ask::<()>(url, &["ACL", "SETUSER", "default", &format!(">{PASSWORD}x"), "resetpass", "off"]).await;
}

#[tokio::test]
async fn wrong_credentials_are_denied_at_once() {
    let server = Server::start(acs_identity_servers::Kind::Redis).unwrap();
    let url = server.url();
    let_in(&url).await;
    links_and_resolves(
        &RedisOptions::url(login(&url, &format!("app-user:{PASSWORD}"))).open().await.unwrap(),
        "8:acs:r_1",
    )
    .await;
    for wrong in [format!("app-user:{PASSWORD}x"), format!("somebody:{PASSWORD}"), format!(":{PASSWORD}")] {
        refused(RedisOptions::url(login(&url, &wrong)), Denied, CREDENTIALS).await;
    }
    refused(RedisOptions::url(&*url), Denied, CREDENTIALS).await;
    // A name without a password would not be said, and whoever needs none be taken for it.
    for nothing in ["app-user", "app-user:"] {
        let options = RedisOptions::url(login(&url, nothing));
        refused(options, Misconfigured, "a URL with a user needs a password").await;
    }
}

#[tokio::test]
async fn a_cluster_denies_wrong_credentials_at_once() {
    let cluster = Cluster::start().unwrap();
    let urls = cluster.urls();
    for url in &urls {
        let_in(url).await;
    }
    let with = |text: &str| RedisOptions::cluster(urls.iter().map(|url| login(url, text)));
    links_and_resolves(&with(&format!("app-user:{PASSWORD}")).open().await.unwrap(), "8:acs:r_1").await;
    refused(with(&format!("app-user:{PASSWORD}x")), Denied, CREDENTIALS).await;
    refused(RedisOptions::cluster(urls), Denied, CREDENTIALS).await;
}

#[tokio::test]
async fn behind_sentinel_wrong_credentials_are_denied_at_once() {
    let sentinel = Sentinel::start().unwrap();
    for server in 0..2 {
        let url = sentinel.server(server).url();
        ask::<()>(&url, &["ACL", "SETUSER", "app-user", "on", &format!(">{PASSWORD}"), "~*", "+@all"]).await;
    }
    let with =
        |text: &str| RedisOptions::sentinel(format!("redis://{text}@primary"), Sentinel::MASTER_NAME, sentinel.urls());
    links_and_resolves(&with(&format!("app-user:{PASSWORD}")).open().await.unwrap(), "8:acs:r_1").await;
    refused(with(&format!("app-user:{PASSWORD}x")), Denied, CREDENTIALS).await;
}

#[tokio::test]
async fn a_password_that_changes_denies_the_next_connection() {
    use acs_identity_core::{MappingStore, Resolver};

    let server = Server::start(acs_identity_servers::Kind::Redis).unwrap();
    let url = server.url();
    ask::<()>(&url, &["ACL", "SETUSER", "app-user", "on", &format!(">{PASSWORD}"), "~*", "+@all"]).await;
    let store = RedisOptions::url(login(&url, &format!("app-user:{PASSWORD}"))).open().await.unwrap();
    ask::<()>(&url, &["ACL", "SETUSER", "app-user", "resetpass", ">another"]).await;
    ask::<i64>(&url, &["CLIENT", "KILL", "USER", "app-user"]).await;
    // The first may find that the connection is gone, and then makes another.
    let start = std::time::Instant::now();
    let error = store.resolve(&super::id("8:acs:r_1")).await.unwrap_err();
    assert_eq!(error.kind(), Denied, "{error}");
    assert_eq!(store.ping().await.unwrap_err().kind(), Denied);
    assert!(start.elapsed() < std::time::Duration::from_secs(3));
    assert!(!super::said(&error).contains(PASSWORD));
    // And when it is right again, the store works again.
    ask::<()>(&url, &["ACL", "SETUSER", "app-user", "resetpass", &format!(">{PASSWORD}")]).await;
    let start = std::time::Instant::now();
    while store.ping().await.is_err() {
        assert!(start.elapsed() < std::time::Duration::from_secs(3));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
