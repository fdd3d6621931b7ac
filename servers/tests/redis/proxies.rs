//! The proxy in front of a server, and in front of each node of a cluster.

use std::time::Duration;

use acs_identity_servers::proxy::Proxy;
use acs_identity_servers::{Cluster, Kind, Server};
use redis::{Connection, RedisResult, ServerErrorKind, cmd};

use crate::support::{connect, eventually, get, set};

fn ping(connection: &mut Connection) -> RedisResult<String> {
    cmd("PING").query(connection)
}

#[test]
fn connections_to_a_server_are_cut_and_held_back() {
    let server = Server::start(Kind::Redis).unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let url = proxy.url(&server.url());
    let mut connection = connect(&url).unwrap();
    assert_eq!(ping(&mut connection).unwrap(), "PONG");
    proxy.cut();
    assert!(ping(&mut connection).unwrap_err().is_io_error());

    // The server acts, and the client never learns of it.
    proxy.cut_after_request(b"maybe", Duration::from_millis(100));
    assert!(set(&url, "maybe", "written").unwrap_err().is_io_error());
    assert_eq!(get(&url, "maybe").unwrap().as_deref(), Some("written"));

    let mut connection = connect(&url).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    proxy.stall();
    assert!(ping(&mut connection).unwrap_err().is_timeout());
    proxy.refuse();
    assert!(connect(&url).err().unwrap().is_connection_refusal());
    proxy.heal();
    assert_eq!(get(&url, "maybe").unwrap().as_deref(), Some("written"));
}

#[test]
fn clients_that_follow_a_cluster_stay_behind_its_proxies() {
    let mut cluster = Cluster::start_behind_proxies(&[]).unwrap();
    let urls = cluster.urls();
    let ports: Vec<u16> = (0..6).map(|node| cluster.proxy(node).port()).collect();
    assert!((0..6).all(|node| urls[node] != cluster.node(node).url()));

    // From the first node to all of them.
    let text: String = cmd("CLUSTER").arg("NODES").query(&mut connect(&urls[0]).unwrap()).unwrap();
    for (node, port) in ports.iter().enumerate() {
        assert!(text.contains(&format!("127.0.0.1:{port}@")), "{text}");
        assert!(!text.contains(&format!(":{}@", cluster.node(node).port())), "{text}");
    }
    let slot = cluster.slot_of("key");
    let master = cluster.master_of(slot).unwrap();
    let moved = get(&urls[(master + 1) % 3], "key").unwrap_err();
    assert_eq!(moved.kind(), ServerErrorKind::Moved.into());
    assert_eq!(moved.redirect_node(), Some((format!("127.0.0.1:{}", ports[master]).as_str(), slot)));

    // A node that nobody reaches is no node that fails.
    let mut connection = connect(&urls[master]).unwrap();
    cluster.proxy(master).refuse();
    assert!(ping(&mut connection).unwrap_err().is_io_error());
    assert!(connect(&urls[master]).err().unwrap().is_connection_refusal());
    assert_eq!(cluster.master_of(slot), Some(master));
    cluster.proxy(master).heal();
    set(&urls[master], "key", "value").unwrap();
    cluster.wait_until_ready().unwrap();

    // One that fails comes back behind its proxy.
    cluster.kill(master);
    cluster.wait_until_ready().unwrap();
    assert_eq!(cluster.master_of(slot), Some(master + 3));
    cluster.restart(master).unwrap();
    cluster.wait_until_ready().unwrap();
    let moved = get(&urls[master], "key").unwrap_err();
    assert_eq!(moved.redirect_node(), Some((format!("127.0.0.1:{}", ports[master + 3]).as_str(), slot)));
    eventually("it is a replica", || cluster.replicas_of(master + 3) == [master]);
}
