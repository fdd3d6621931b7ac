//! `cargo xtask test`: every test of the workspace.

use std::time::Instant;

use acs_identity_servers::{Cluster, Kind, Running};

use crate::Result;
use crate::cargo::{cargo, root, run as run_command};

/// Runs unit, integration, conformance and documentation tests of all packages with all features, on the
/// servers that environment variables give and on private ones of the other kinds; and then the models.
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
    run_command(test)?;
    // Arguments narrow the run to something else.
    if args.is_empty() { models() } else { Ok(()) }
}

/// Runs the models of the cache: the same source, on the threads and locks of a scheduler that tries out their order. In a folder
/// of its own, as the flag has everything compiled anew.
fn models() -> Result {
    let started = Instant::now();
    println!("test: the models of the cache ...");
    let mut test = cargo(["test", "-p", "acs-identity-cache", "--lib", "--all-features"]);
    test.env("RUSTFLAGS", "--cfg acs_identity_model").env("CARGO_TARGET_DIR", root().join("target/model"));
    run_command(test)?;
    println!("test: the models of the cache ok ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}
