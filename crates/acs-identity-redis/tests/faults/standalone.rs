//! One server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Kind, Server};
use redis::cmd;
use tokio::time::{Instant, sleep};

use crate::by_hand::ByHand;
use crate::load::{Load, Losses};
use crate::recovery::{recovered, recovery};
use crate::{finished, ids, namespace, opened, trouble};

const RUN: &str = "standalone";

async fn started() -> (Server, RedisStore, Load) {
    let server = Server::start_with(Kind::Redis, &[("appendonly", "yes"), ("appendfsync", "always")]).unwrap();
    let store = opened(RedisOptions::url(server.url()), RUN).await;
    let load = Load::start(&store, ids(200));
    sleep(Duration::from_millis(500)).await;
    (server, store, load)
}

fn by_hand(server: &Server) -> ByHand {
    ByHand::new(vec![server.url()], &namespace(RUN))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_in_trouble_loses_nothing() {
    let server = Server::start(Kind::Redis).unwrap();
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).unwrap();
    let store = opened(RedisOptions::url(proxy.url(&server.url())), RUN).await;
    let load = Load::start(&store, ids(200));
    sleep(Duration::from_millis(300)).await;
    trouble(&proxy).await;
    let healed = Instant::now();
    let took = recovered(&store).await - healed;
    finished("a server behind a network in trouble", took, load, Losses::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_has_all_that_it_acknowledged() {
    let (mut server, store, load) = started().await;
    server.kill();
    sleep(Duration::from_millis(500)).await;
    server.restart().unwrap();
    let took = recovery(&store, by_hand(&server)).await;
    finished("a server killed and restarted", took, load, Losses::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_flushed_has_what_was_written_since() {
    let (server, store, load) = started().await;
    by_hand(&server).run::<()>(&mut cmd("FLUSHALL"));
    let took = recovery(&store, by_hand(&server)).await;
    let report = finished("a server flushed", took, load, Losses::Any).await;
    assert!(report.lost > 0, "the checker counts nothing: {report}");
    assert_eq!(report.unlisted, 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_has_what_was_written_since() {
    let (mut server, store, load) = started().await;
    server.restart_empty().unwrap();
    let took = recovery(&store, by_hand(&server)).await;
    let report = finished("a server restarted empty", took, load, Losses::Any).await;
    assert!(report.lost > 0, "the checker counts nothing: {report}");
    assert_eq!(report.unlisted, 0, "{report}");
}
