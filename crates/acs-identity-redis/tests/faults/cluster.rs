//! A cluster, which the runs use one after the other.

use std::sync::LazyLock;
use std::time::Duration;

use acs_identity_core::{AcsId, MappingStore, Resolver};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::Cluster;
use redis::cmd;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::by_hand::ByHand;
use crate::load::{Load, Losses};
use crate::recovery::{recovered, recovery, served};
use crate::{finished, ids, namespace, opened, trouble};

const NODES: usize = 6;
const IDS: usize = 200;

static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| Mutex::new(Cluster::start_behind_proxies(&[]).unwrap()));

/// By the other nodes than one, and past their proxies where that is possible.
fn by_others(cluster: &Cluster, node: usize, run: &str) -> ByHand {
    let others = (0..NODES).filter(|other| *other != node);
    ByHand::new(others.map(|node| cluster.node(node).url()).collect(), &namespace(run))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_promoted_has_all_but_the_last_writes() {
    const RUN: &str = "failover";
    let mut cluster = CLUSTER.lock().await;
    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, ids(IDS));
    sleep(Duration::from_millis(700)).await;
    let master = cluster.masters()[0];
    cluster.kill(master);
    let took = recovery(&store, by_others(&cluster, master, RUN)).await;
    finished("a master killed", took, load, Losses::Few).await;
    cluster.restart(master).unwrap();
    cluster.wait_until_ready().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_promoted_has_what_it_acknowledged() {
    const RUN: &str = "acknowledged";
    let mut cluster = CLUSTER.lock().await;
    let options = RedisOptions::cluster(cluster.urls());
    let store = opened(options.replica_acknowledgements(1, Duration::from_millis(300)), RUN).await;
    let load = Load::start(&store, ids(IDS));
    sleep(Duration::from_millis(700)).await;
    let master = cluster.masters()[0];
    cluster.kill(master);
    served(by_others(&cluster, master, RUN)).await.unwrap();
    // The one that was promoted has no replica, which could acknowledge anything, until the other comes back.
    cluster.restart(master).unwrap();
    cluster.wait_until_ready().unwrap();
    let ready = Instant::now();
    let took = recovered(&store).await - ready;
    let report = finished("a master killed, writes acknowledged by a replica", took, load, Losses::Few).await;
    // Each master had one replica, so what was acknowledged was on the one that was promoted.
    assert_eq!((report.lost, report.unlisted), (0, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_cut_off_and_comes_back_gives_way() {
    const RUN: &str = "paused";
    let mut cluster = CLUSTER.lock().await;
    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, ids(IDS));
    sleep(Duration::from_millis(700)).await;
    let master = cluster.masters()[0];
    cluster.pause(master);
    let took = recovery(&store, by_others(&cluster, master, RUN)).await;
    sleep(Duration::from_millis(300)).await;
    // It takes itself for the master still.
    cluster.resume(master);
    sleep(Duration::from_millis(1000)).await;
    let again = recovery(&store, by_others(&cluster, master, RUN)).await;
    finished("a master paused and resumed", took.max(again), load, Losses::Few).await;
    cluster.wait_until_ready().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_takes_its_mappings_with_it() {
    const RUN: &str = "moving";
    let cluster = CLUSTER.lock().await;
    let by_hand = ByHand::new(cluster.urls(), &namespace(RUN));
    // Many in one slot, so that it can be moved by half.
    let slot = ByHand::slot(&by_hand.record("8:acs:r_0"));
    let in_slot = (0..).map(|n| format!("8:acs:r_{n}")).filter(|id| ByHand::slot(&by_hand.record(id)) == slot);
    let together: Vec<AcsId> = in_slot.take(12).map(|id| AcsId::new(id).unwrap()).collect();
    let mut all = ids(IDS - together.len() + 1);
    all.extend_from_slice(&together[1..]);

    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, all);
    sleep(Duration::from_millis(700)).await;
    let from = cluster.master_of(slot).unwrap();
    let to = cluster.masters().into_iter().find(|node| *node != from).unwrap();
    // A part of an index moves, too.
    let other = ByHand::slot(&by_hand.index("8:acs:r_0", "customer-0"));
    let other_to = cluster.masters().into_iter().find(|node| Some(*node) != cluster.master_of(other)).unwrap();
    let migrations = [cluster.migrate_slot(slot, to).unwrap(), cluster.migrate_slot(other, other_to).unwrap()];
    for migration in &migrations {
        sleep(Duration::from_millis(300)).await;
        assert!(migration.move_keys(5).unwrap() > 0);
        // Half-way, every call is answered.
        for _ in 0..20 {
            store.resolve_many(&together).await.iter().for_each(|answer| drop(answer.clone().unwrap()));
            store.resolve(&together[0]).await.unwrap();
            store.ping().await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    }
    for migration in migrations {
        migration.finish().unwrap();
    }
    let moved = Instant::now();
    let took = recovered(&store).await - moved;
    finished("two slots moved", took, load, Losses::None).await;
    cluster.wait_until_ready().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_a_network_in_trouble_loses_nothing() {
    const RUN: &str = "trouble";
    let cluster = CLUSTER.lock().await;
    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, ids(IDS));
    sleep(Duration::from_millis(500)).await;
    trouble(cluster.proxy(cluster.masters()[0])).await;
    let healed = Instant::now();
    let took = recovered(&store).await - healed;
    finished("a node behind a network in trouble", took, load, Losses::None).await;
    cluster.wait_until_ready().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_flushed_has_what_was_written_since() {
    const RUN: &str = "flushed";
    let cluster = CLUSTER.lock().await;
    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, ids(IDS));
    sleep(Duration::from_millis(700)).await;
    // One after the other: records whose entries are gone, and the other way round.
    for master in cluster.masters() {
        ByHand::new(vec![cluster.node(master).url()], &namespace(RUN)).run::<()>(&mut cmd("FLUSHALL"));
        sleep(Duration::from_millis(100)).await;
    }
    let took = recovery(&store, ByHand::new(cluster.urls(), &namespace(RUN))).await;
    let report = finished("a cluster flushed", took, load, Losses::Any).await;
    assert!(report.lost > 0, "the checker counts nothing: {report}");
    cluster.wait_until_ready().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_comes_back_empty_has_what_was_written_since() {
    const RUN: &str = "empty";
    let mut cluster = CLUSTER.lock().await;
    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, ids(IDS));
    sleep(Duration::from_millis(700)).await;
    for node in 0..NODES {
        cluster.kill(node);
    }
    for node in 0..NODES {
        cluster.restart(node).unwrap();
    }
    let took = recovery(&store, ByHand::new(cluster.urls(), &namespace(RUN))).await;
    let report = finished("a cluster restarted empty", took, load, Losses::Any).await;
    assert!(report.lost > 0, "the checker counts nothing: {report}");
    cluster.wait_until_ready().unwrap();
}
