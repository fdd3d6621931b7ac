//! Faults while writers and readers are at work. No answer is ever one that was not written; what was acknowledged is there
//! afterwards, unless Redis itself may lose it, and then it is counted; both directions agree; calls end in time, with an error that says
//! what became of them; and all is well again soon.
//!
//! Each run prints one line, with what the checker has counted, also where the tests' own output is not shown.
#![allow(clippy::unwrap_used)]

#[path = "../common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
mod cluster;
mod history;
mod load;
mod partition;
mod recovery;
mod standalone;

use std::io::Write as _;
use std::time::Duration;

use acs_identity_core::{AcsId, Namespace};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::proxy::Proxy;

use load::{DEADLINE, Load, Losses, Report};
use recovery::RECOVERY;

fn ids(count: usize) -> Vec<AcsId> {
    (0..count).map(|n| AcsId::new(format!("8:acs:r_{n}")).unwrap()).collect()
}

fn namespace(run: &str) -> Namespace {
    Namespace::new(run).unwrap()
}

async fn opened(options: RedisOptions, run: &str) -> RedisStore {
    let options = options.connect_timeout(DEADLINE / 2).response_timeout(DEADLINE * 7 / 10).call_deadline(DEADLINE);
    options.namespace(namespace(run)).open().await.unwrap()
}

/// Checks that the recovery took no longer than it may; and a little later ends a load and prints its line.
async fn finished(what: &str, took: Duration, load: Load, losses: Losses) -> Report {
    assert!(took < RECOVERY, "{what}: the servers serve, and the store does so {took:?} later");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let report = load.finish(losses).await;
    let line = format!("{what}: recovered in {} ms; {report}\n", took.as_millis());
    // Past what captures the output of a test.
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    report
}

/// Everything that a network does, to one server.
async fn trouble(proxy: &Proxy) {
    let pause = async |millis| tokio::time::sleep(Duration::from_millis(millis)).await;
    proxy.cut();
    pause(150).await;
    proxy.half_close();
    pause(150).await;
    proxy.delay(Duration::from_millis(40));
    pause(400).await;
    proxy.refuse();
    pause(300).await;
    proxy.heal();
    pause(200).await;
    // Longer than a call may take.
    proxy.stall();
    pause(1300).await;
    proxy.heal();
    pause(100).await;
    proxy.stall_answers();
    pause(300).await;
    proxy.cut();
    proxy.heal();
}
