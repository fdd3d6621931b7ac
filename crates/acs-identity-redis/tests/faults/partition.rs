//! A master that the others do not reach any more, while clients reach them all.
//!
//! All of 127.0.0.0/8 has to be this machine, so that each node has an address of its own to connect from.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use acs_identity_redis::RedisOptions;
use acs_identity_servers::Cluster;
use redis::cmd;
use tokio::time::sleep;

use crate::by_hand::ByHand;
use crate::load::{Load, Losses};
use crate::recovery::recovery;
use crate::{finished, ids, namespace, opened};

/// After which time a master that does not reach most others serves no more; it is the cluster's `cluster-node-timeout`.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks again and again whether a node answers itself about a key until told otherwise; with when it first and last did.
async fn answering(url: String, key: String, until: impl Fn(&str) -> bool) -> (Option<Instant>, Option<Instant>) {
    let (mut first, mut last) = (None, None);
    let client = redis::Client::open(url.clone()).unwrap();
    while !until(&url) {
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await
            && cmd("GET").arg(&key).exec_async(&mut connection).await.is_ok()
        {
            last = Some(Instant::now());
            first = first.or(last);
        }
        sleep(Duration::from_millis(10)).await;
    }
    (first, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_cut_off_gives_two_views_no_longer_than_the_node_timeout() {
    const RUN: &str = "partition";
    let cluster = Cluster::start_divisible(&[("cluster-node-timeout", "2000")]).unwrap();
    let store = opened(RedisOptions::cluster(cluster.urls()), RUN).await;
    let load = Load::start(&store, ids(200));
    sleep(Duration::from_millis(700)).await;
    let master = cluster.masters()[0];
    let replica = cluster.replicas_of(master)[0];
    let key =
        (0..).map(|n| format!("probe:{n}")).find(|key| cluster.master_of(ByHand::slot(key)) == Some(master)).unwrap();

    cluster.cut_off(master);
    let cut = Instant::now();
    let end = cut + 4 * NODE_TIMEOUT;
    let over = move |_: &str| Instant::now() > end;
    let [old, new] = [master, replica].map(|node| tokio::spawn(answering(cluster.node(node).url(), key.clone(), over)));
    let ((_, old_last), (new_first, _)) = (old.await.unwrap(), new.await.unwrap());
    let (old_last, new_first) = (old_last.expect("clients reach it"), new_first.expect("it takes the other's place"));
    assert!(old_last - cut < 3 * NODE_TIMEOUT, "it serves for {:?}", old_last - cut);
    let both = old_last.saturating_duration_since(new_first);
    assert!(both < 3 * NODE_TIMEOUT, "{both:?}");

    let others = (0..6).filter(|node| *node != master).map(|node| cluster.node(node).url()).collect();
    let took = recovery(&store, ByHand::new(others, &namespace(RUN))).await;
    cluster.reunite();
    cluster.wait_until_ready().unwrap();
    let what = format!(
        "a master cut off from the others, which served for {} ms then, and {} ms beside another one",
        (old_last - cut).as_millis(),
        both.as_millis()
    );
    let report = finished(&what, took, load, Losses::Any).await;
    // What it acknowledged while it was alone is gone, and nothing else.
    let (first, last) = report.lost_at.expect("it acknowledged nothing while it was alone");
    assert!(first + Duration::from_secs(1) > cut && last < cut + 3 * NODE_TIMEOUT, "{report}");
}
