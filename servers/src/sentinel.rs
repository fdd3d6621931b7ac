//! A private primary of Redis that sentinels watch.

use std::collections::HashMap;

use ::redis::{Cmd, cmd};

use crate::control::{ask, at_once, follows, tell, tell_once, wait_for};
use crate::redis;
use crate::server::Server;
use crate::{Kind, kind::Recipe};

/// A primary with one replica, and three sentinels, of this process alone; ended and removed when dropped.
///
/// The two servers have numbers, for good: at the start 0 is the primary and 1 its replica. A primary that is killed is
/// missed after a second, and the replica takes its place within a few more.
#[derive(Debug)]
pub struct Sentinel {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

const SERVERS: usize = 2;
const SENTINELS: usize = 3;
/// How many of the sentinels must miss the primary.
const QUORUM: usize = 2;

impl Sentinel {
    /// The name by which sentinels know the primary.
    pub const MASTER_NAME: &str = "acs-identity-test";

    /// Starts all, and returns when they are [ready](Self::wait_until_ready).
    ///
    /// # Errors
    /// If Redis is not installed, or not all is up within a minute: a sentence for people.
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// Starts all; the primary and the replica have these settings besides or in place of the usual ones.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, String> {
        let server: &'static Recipe = Kind::Redis.recipe();
        let mut servers = at_once(SERVERS + SENTINELS, |number| {
            if number < SERVERS { Server::start_as(server, settings) } else { Server::start_as(&redis::SENTINEL, &[]) }
        })?;
        let sentinels = servers.split_off(SERVERS);
        let started = Self { servers, sentinels };
        started.connect()?;
        Ok(started)
    }

    /// The URLs of the sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// The primary or the replica, whichever has the number.
    pub fn server(&self, server: usize) -> &Server {
        &self.servers[server]
    }

    /// The primary or the replica, to be killed, [set](Server::set) and restarted. One that was the primary comes back as
    /// one: it is told of the new one within about ten seconds.
    pub fn server_mut(&mut self, server: usize) -> &mut Server {
        &mut self.servers[server]
    }

    /// A sentinel, by its number.
    pub fn sentinel(&self, sentinel: usize) -> &Server {
        &self.sentinels[sentinel]
    }

    /// A sentinel, to be killed, [set](Server::set) and restarted. It comes back with what it knew.
    pub fn sentinel_mut(&mut self, sentinel: usize) -> &mut Server {
        &mut self.sentinels[sentinel]
    }

    /// Kills the primary (SIGKILL), and returns its number.
    ///
    /// # Errors
    /// If no sentinel knows it.
    pub fn kill_primary(&mut self) -> Result<usize, String> {
        let primary = self.primary().ok_or("no sentinel knows the primary")?;
        self.servers[primary].kill();
        Ok(primary)
    }

    /// The server that is the primary, as the first sentinel that answers says; for a while also one that is gone.
    pub fn primary(&self) -> Option<usize> {
        self.sentinels.iter().find_map(|sentinel| primary_port(sentinel.port()).ok()).and_then(|port| self.at(port))
    }

    /// Waits until all sentinels know each other and a running primary, the same one, and the other server, if it runs,
    /// has what the primary has.
    ///
    /// # Errors
    /// After a minute: what is missing.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        wait_for(|| self.check())
    }

    fn connect(&self) -> Result<(), String> {
        let primary = self.servers[0].port().to_string();
        for replica in &self.servers[1..] {
            tell(replica.port(), cmd("REPLICAOF").arg("127.0.0.1").arg(&primary))?;
        }
        // The sentinels ask the primary for its replicas at once, and then only every ten seconds.
        wait_for(|| {
            let follows = follows(self.servers[1].port(), self.servers[0].port())?;
            follows.then_some(()).ok_or_else(|| "the replica has no connection".to_owned())
        })?;
        for sentinel in &self.sentinels {
            let quorum = QUORUM.to_string();
            let monitor = command(&["MONITOR", Self::MASTER_NAME, "127.0.0.1", &primary, &quorum]);
            tell_once(sentinel.port(), &monitor, "Duplicate master name")?;
            for (name, milliseconds) in [("down-after-milliseconds", "1000"), ("failover-timeout", "3000")] {
                tell(sentinel.port(), &command(&["SET", Self::MASTER_NAME, name, milliseconds]))?;
            }
        }
        self.wait_until_ready()
    }

    fn check(&self) -> Result<(), String> {
        let first = primary_port(self.sentinels[0].port())?;
        let primary = self.at(first).filter(|server| self.servers[*server].is_running());
        let primary = primary.ok_or("the primary is gone")?;
        for sentinel in &self.sentinels {
            let port = sentinel.port();
            let state: HashMap<String, String> = ask(port, &command(&["MASTER", Self::MASTER_NAME]))?;
            let is = |name: &str, value: &str| state.get(name).is_some_and(|found| found == value);
            let others = (SENTINELS - 1).to_string();
            if !(is("flags", "master") && is("port", &first.to_string())) {
                return Err(format!("the sentinel on port {port} sees another primary or none"));
            }
            if !(is("num-other-sentinels", &others) && is("num-slaves", "1")) {
                return Err(format!("the sentinel on port {port} does not know all others"));
            }
        }
        for (number, server) in self.servers.iter().enumerate() {
            if number != primary && server.is_running() && !follows(server.port(), first)? {
                return Err(format!("server {number} has not yet what the primary has"));
            }
        }
        Ok(())
    }

    fn at(&self, port: u16) -> Option<usize> {
        self.servers.iter().position(|server| server.port() == port)
    }
}

fn primary_port(sentinel: u16) -> Result<u16, String> {
    let (_host, port): (String, u16) = ask(sentinel, &command(&["GET-MASTER-ADDR-BY-NAME", Sentinel::MASTER_NAME]))?;
    Ok(port)
}

fn command(words: &[&str]) -> Cmd {
    let mut command = cmd("SENTINEL");
    command.arg(words);
    command
}
