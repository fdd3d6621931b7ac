//! Redis: one server, a node of a cluster, and a sentinel.

use crate::kind::{Place, Recipe};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "Redis",
    variable: "ACS_IDENTITY_TEST_REDIS_URL",
    elsewhere: "a server that tests may fill with keys",
    server: "redis-server",
    // On Debian and Ubuntu, where the package of that name brings a service that starts at once.
    alias: Some("redis-check-rdb"),
    init: None,
    at_least: (7, 0),
    folders: &[
        "/usr/bin",
        "/usr/local/bin",
        "/opt/homebrew/bin",
        "/opt/homebrew/opt/redis/bin",
        "/usr/local/opt/redis/bin",
    ],
    packages: &[&["redis-tools"]],
    server_args: |place| options(place, &[]),
    setting,
    file: None,
    stale: &[],
    ready: "Ready to accept connections",
    url: |_, port| format!("redis://127.0.0.1:{port}"),
};

/// A node of a cluster. Its bus has a port below those of servers: two that are taken together.
pub(crate) const NODE: Recipe = Recipe {
    name: "Redis Cluster",
    variable: "ACS_IDENTITY_TEST_REDIS_CLUSTER_URLS",
    elsewhere: "each node of a cluster that tests may fill with keys, with commas between them",
    server_args: |place| {
        let bus = bus_port(place.port).to_string();
        let cluster = [("cluster-enabled", "yes"), ("cluster-port", &bus), ("cluster-announce-ip", "127.0.0.1")];
        options(place, &cluster)
    },
    ..RECIPE
};

/// A sentinel. It keeps what it knows in its configuration file.
pub(crate) const SENTINEL: Recipe = Recipe {
    name: "Redis Sentinel",
    server_args: |place| {
        let mut args = vec![place.path("sentinel.conf"), "--sentinel".to_owned()];
        args.extend(options(place, &[]));
        args
    },
    file: Some(("sentinel.conf", |_| String::new())),
    ready: "Sentinel ID is",
    ..RECIPE
};

/// The port of the bus of the node with this port.
pub(crate) fn bus_port(port: u16) -> u16 {
    port - 5_000
}

fn setting(name: &str, value: &str) -> Vec<String> {
    vec![format!("--{name}"), value.to_owned()]
}

fn options(place: &Place, more: &[(&str, &str)]) -> Vec<String> {
    let usual = [
        ("bind", "127.0.0.1"),
        ("port", &place.port.to_string()),
        ("dir", &place.data()),
        ("logfile", &place.path("log")),
        // A snapshot of some earlier time would come back now and then. What a test wants kept, it keeps by `appendonly`.
        ("save", ""),
        // Replicas come at once.
        ("repl-diskless-sync-delay", "0"),
    ];
    usual.iter().chain(more).flat_map(|(name, value)| setting(name, value)).collect()
}
