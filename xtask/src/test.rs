//! `cargo xtask test`: every test of the workspace.

use acs_identity_servers::{Cluster, Kind, Running};

use crate::Result;
use crate::cargo::{cargo, run as run_command};

/// Runs unit, integration, conformance and documentation tests of all packages with all features, on the
/// servers that environment variables give and on private ones of the other kinds.
///
/// Without `--workspace`, so that a `-p` among the arguments narrows the run: at the root, cargo's
/// default is every package.
pub(crate) fn run(args: &[String]) -> Result {
    let running = Running::start()?;
    for kind in Kind::ALL {
        match running.servers().find(|(started, _)| *started == kind) {
            Some((_, server)) => println!("test: {kind} is a private server on port {}", server.port()),
            None => println!("test: {kind} is the server in {}", kind.variable()),
        }
    }
    match running.cluster() {
        Some(cluster) => println!("test: the Redis Cluster is a private one, at {}", cluster.urls().join(",")),
        None => println!("test: the Redis Cluster is the one in {}", Cluster::VARIABLE),
    }
    let mut test = cargo(["test", "--all-features"].into_iter().chain(args.iter().map(String::as_str)));
    test.envs(running.env());
    run_command(test)
}
