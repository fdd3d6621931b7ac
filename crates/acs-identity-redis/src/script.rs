//! The scripts, which the servers keep under their hash.

use std::sync::LazyLock;

use redis::{Cmd, cmd};

/// A script, and the hash by which a server knows it once it has been loaded.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    hash: String,
}

/// Writes records.
pub(crate) static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/write.lua")));

/// Keeps a part of an index in a cluster.
pub(crate) static INDEX: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/index.lua")));

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Gives the script to a server.
    pub(crate) fn load(&self) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(self.source);
        load
    }

    /// Runs it on so many keys; the keys and the other arguments have to follow.
    pub(crate) fn run(&self, keys: usize) -> Cmd {
        let mut run = cmd("EVALSHA");
        run.arg(&self.hash).arg(keys);
        run
    }
}
