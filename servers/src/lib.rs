//! Real database servers for the tests and benchmarks of this workspace: found, started on free ports of the
//! loopback interface with their data in temporary folders, killed, restarted and removed.
//!
//! A test asks for [`url`] or [`cluster_urls`], or with feature `databases` for an empty `database` of its own; one that
//! kills servers starts its own [`Server`], [`Cluster`] or [`Sentinel`]. `cargo xtask test` and `cargo xtask bench` start [`Running`] servers for
//! all test processes of a run.
//!
//! Nothing outlives the process that started it, even if that is killed: a shell with a pipe from it ends the
//! server and removes the folder when the pipe closes.

mod cluster;
mod control;
#[cfg(feature = "databases")]
mod databases;
mod find;
mod install;
mod kind;
mod mariadb;
mod postgres;
#[cfg(feature = "proxy")]
pub mod proxy;
mod random;
mod redis;
mod running;
mod sentinel;

#[cfg(unix)]
mod account;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod server;

#[cfg(not(unix))]
#[path = "elsewhere.rs"]
mod server;

use std::sync::OnceLock;

pub use cluster::{Cluster, Migration};
#[cfg(feature = "databases")]
pub use databases::{Database, database, database_with};
pub use kind::Kind;
pub use running::Running;
pub use sentinel::Sentinel;
pub use server::Server;

/// The URL of a server for this process: the one that [`Kind::variable`] names, or else one private server
/// for the whole process, started at the first call.
///
/// # Panics
/// If there is none: the message says what to do.
pub fn url(kind: Kind) -> String {
    if let Some(url) = kind.given() {
        return url;
    }
    static POSTGRES: OnceLock<Result<Server, String>> = OnceLock::new();
    static MARIADB: OnceLock<Result<Server, String>> = OnceLock::new();
    static REDIS: OnceLock<Result<Server, String>> = OnceLock::new();
    let server = match kind {
        Kind::Postgres => &POSTGRES,
        Kind::MariaDb => &MARIADB,
        Kind::Redis => &REDIS,
    };
    match server.get_or_init(|| Server::start(kind)) {
        Ok(server) => server.url(),
        Err(error) => panic!("{error}"),
    }
}

/// The URLs of a Redis Cluster for this process: those that [`Cluster::VARIABLE`] names, or else those of one private
/// cluster for the whole process, started at the first call.
///
/// # Panics
/// As [`url`].
pub fn cluster_urls() -> Vec<String> {
    if let Some(urls) = Cluster::given() {
        return urls;
    }
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    match CLUSTER.get_or_init(Cluster::start) {
        Ok(cluster) => cluster.urls(),
        Err(error) => panic!("{error}"),
    }
}
