//! Servers for all processes of a run.

use std::thread::{self, ScopedJoinHandle};

use crate::{Cluster, Kind, Server, install, redis};

/// Servers for all test processes of a run, told to them by environment variables; ended and removed when dropped.
#[derive(Debug)]
pub struct Running {
    servers: Vec<(Kind, Server)>,
    cluster: Option<Cluster>,
}

impl Running {
    /// Starts a server of each kind and a Redis Cluster, those that no environment variable gives, and installs before
    /// what is missing.
    ///
    /// # Errors
    /// If one cannot be had: what to do.
    pub fn start() -> Result<Self, String> {
        let missing = Kind::ALL.into_iter().filter(|kind| kind.given().is_none()).collect();
        Self::launch(missing, Cluster::given().is_none())
    }

    /// Starts a server of each kind and a Redis Cluster, whatever the environment gives, and installs before what is
    /// missing.
    ///
    /// # Errors
    /// If one cannot be had: what to do.
    pub fn start_all() -> Result<Self, String> {
        Self::launch(Kind::ALL.into(), true)
    }

    /// Starts a server of each of these kinds, and installs before what is missing.
    ///
    /// # Errors
    /// If one cannot be had: what to do.
    pub fn start_kinds(kinds: impl IntoIterator<Item = Kind>) -> Result<Self, String> {
        Self::launch(kinds.into_iter().collect(), false)
    }

    /// The started servers.
    pub fn servers(&self) -> impl Iterator<Item = (Kind, &Server)> {
        self.servers.iter().map(|(kind, server)| (*kind, server))
    }

    /// The started cluster.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// The environment variables that name the started servers, with their URLs.
    pub fn env(&self) -> Vec<(String, String)> {
        let servers = self.servers().map(|(kind, server)| (kind.variable().to_owned(), server.url()));
        let cluster = self.cluster().map(|cluster| (Cluster::VARIABLE.to_owned(), cluster.urls().join(",")));
        servers.chain(cluster).collect()
    }

    fn launch(kinds: Vec<Kind>, cluster: bool) -> Result<Self, String> {
        // One after another, as the package manager wants it.
        for recipe in kinds.iter().map(|kind| kind.recipe()).chain(cluster.then_some(&redis::NODE)) {
            install::ensure(recipe)?;
        }
        thread::scope(|scope| {
            let cluster = cluster.then(|| scope.spawn(Cluster::start));
            let start = |kind| (kind, scope.spawn(move || Server::start(kind)));
            let servers: Vec<_> = kinds.into_iter().map(start).collect();
            let servers = servers.into_iter().map(|(kind, start)| Ok((kind, started(start)?)));
            Ok(Self { servers: servers.collect::<Result<_, String>>()?, cluster: cluster.map(started).transpose()? })
        })
    }
}

fn started<T>(start: ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    start.join().unwrap_or_else(|_| Err("the start of a server panicked".to_owned()))
}
