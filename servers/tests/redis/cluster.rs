//! A cluster.

use std::time::Duration;

use acs_identity_servers::{Cluster, cluster_urls};
use redis::{ServerErrorKind, cmd};

use crate::support::{LONG, connect, eventually, get, replicated, set, setting};

/// A key in each third of the slots.
fn keys(cluster: &Cluster) -> [String; 3] {
    [0, 1, 2].map(|master| {
        let mut keys = (0..).map(|number| format!("key {number}"));
        keys.find(|key| cluster.master_of(cluster.slot_of(key)) == Some(master)).unwrap()
    })
}

#[test]
fn the_cluster_of_a_process_has_each_slot_and_six_nodes() {
    let urls = cluster_urls();
    assert_eq!(cluster_urls(), urls);
    for url in urls {
        let info: String = cmd("CLUSTER").arg("INFO").query(&mut connect(&url).unwrap()).unwrap();
        for line in ["cluster_state:ok", "cluster_slots_ok:16384"] {
            assert!(info.contains(line), "{info}");
        }
    }
}

#[test]
fn a_replica_takes_the_place_of_a_killed_master_and_the_master_comes_back_as_a_replica() {
    let mut cluster = Cluster::start().unwrap();
    assert_eq!((cluster.masters(), cluster.replicas_of(0), cluster.replicas_of(2)), (vec![0, 1, 2], vec![3], vec![5]));
    assert_eq!((cluster.slot_of("123456789"), cluster.slot_of("{123456789}x")), (12_739, 12_739));

    let keys = keys(&cluster);
    for (master, key) in keys.iter().enumerate() {
        let mut connection = connect(&cluster.urls()[master]).unwrap();
        cmd("SET").arg(key).arg("kept").exec(&mut connection).unwrap();
        replicated(&mut connection);
        let elsewhere = set(&cluster.urls()[(master + 1) % 3], key, "refused").unwrap_err();
        assert_eq!(elsewhere.kind(), ServerErrorKind::Moved.into());
        assert_eq!(elsewhere.redirect_node().unwrap().0, cluster.urls()[master].replace("redis://", ""));
    }

    cluster.kill(1);
    assert_eq!((cluster.masters(), cluster.master_of(8_000)), (vec![0, 2], None));
    cluster.wait_until_ready().unwrap();
    assert_eq!((cluster.masters(), cluster.master_of(8_000)), (vec![0, 2, 4], Some(4)));
    assert_eq!(get(&cluster.urls()[4], &keys[1]).unwrap().as_deref(), Some("kept"));

    cluster.restart(1).unwrap();
    cluster.wait_until_ready().unwrap();
    assert_eq!((cluster.masters(), cluster.replicas_of(4)), (vec![0, 2, 4], vec![1]));
    eventually("the old master has the key", || {
        cmd("DBSIZE").query::<i64>(&mut connect(&cluster.urls()[1]).unwrap()).unwrap() == 1
    });
}

#[test]
fn a_replica_takes_the_place_of_a_paused_master() {
    let mut cluster = Cluster::start().unwrap();
    let mut connection = connect(&cluster.urls()[0]).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    cluster.pause(0);
    assert!(cmd("PING").query::<String>(&mut connection).unwrap_err().is_timeout());
    cluster.wait_until_ready().unwrap();
    assert_eq!(cluster.masters(), [1, 2, 3]);
    cluster.resume(0);
    cluster.wait_until_ready().unwrap();
    assert_eq!((cluster.masters(), cluster.replicas_of(3)), (vec![1, 2, 3], vec![0]));
    // Dropped while it is stopped, it goes all the same.
    cluster.pause(0);
    let folder = cluster.node(0).folder().to_owned();
    drop(cluster);
    assert!(!folder.exists());
}

#[test]
fn a_slot_can_be_half_way_between_two_masters() {
    let cluster = Cluster::start_with(&[("cluster-node-timeout", "5000")]).unwrap();
    assert_eq!(setting(&cluster.node(5).url(), "cluster-node-timeout"), "5000");
    let (slot, urls) = (cluster.slot_of("{tag}"), cluster.urls());
    let from = cluster.master_of(slot).unwrap();
    let to = (from + 1) % 3;
    for number in 0..5 {
        set(&urls[from], &format!("{{tag}}{number}"), "kept").unwrap();
    }
    cluster.migrate_slot(slot, from).unwrap_err();

    let migration = cluster.migrate_slot(slot, to).unwrap();
    assert_eq!(migration.move_keys(2).unwrap(), 2);
    let mut there = 0;
    for number in 0..5 {
        let key = format!("{{tag}}{number}");
        match get(&urls[from], &key) {
            Ok(value) => assert_eq!(value.as_deref(), Some("kept")),
            Err(error) => {
                assert_eq!(error.kind(), ServerErrorKind::Ask.into());
                let mut connection = connect(&urls[to]).unwrap();
                cmd("ASKING").exec(&mut connection).unwrap();
                assert_eq!(cmd("GET").arg(&key).query::<String>(&mut connection).unwrap(), "kept");
                there += 1;
            }
        }
        assert_eq!(get(&urls[to], &key).unwrap_err().kind(), ServerErrorKind::Moved.into());
    }
    assert_eq!((there, cluster.master_of(slot)), (2, Some(from)));

    migration.finish().unwrap();
    cluster.wait_until_ready().unwrap();
    assert_eq!(cluster.master_of(slot), Some(to));
    for number in 0..5 {
        assert_eq!(get(&urls[to], &format!("{{tag}}{number}")).unwrap().as_deref(), Some("kept"));
    }
}

#[test]
fn a_master_that_comes_back_before_it_is_missed_is_empty() {
    let slow = format!("{}", 2 * LONG.as_millis());
    let mut cluster = Cluster::start_with(&[("cluster-node-timeout", &slow)]).unwrap();
    let keys = keys(&cluster);
    set(&cluster.urls()[0], &keys[0], "lost").unwrap();
    cluster.restart(0).unwrap();
    cluster.wait_until_ready().unwrap();
    assert_eq!(cluster.masters(), [0, 1, 2]);
    assert_eq!(get(&cluster.urls()[0], &keys[0]).unwrap(), None);
}
