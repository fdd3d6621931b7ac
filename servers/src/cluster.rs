//! A private Redis Cluster.

mod migration;
mod view;

use std::env;
#[cfg(feature = "proxy")]
use std::net::{IpAddr, Ipv4Addr};

use ::redis::cmd;

use crate::control::{ask, at_once, follows, tell, tell_once, wait_for};
#[cfg(feature = "proxy")]
use crate::proxy::Proxy;
use crate::redis::{self, bus_port};
use crate::server::Server;
pub use migration::Migration;
use view::{SLOTS, View};

/// A cluster of three masters with a replica each, of this process alone; ended and removed when dropped.
///
/// Nodes have numbers, for good: at the start 0, 1 and 2 are masters with a third of the slots each, and 3, 4 and 5
/// are their replicas, in the same order. What a node acknowledged is lost when it is killed and no replica has it,
/// unless `appendonly` is `yes`.
///
/// A master that is killed is missed after the node timeout, 2 s if no other is set, and its replica takes its place
/// about a second later. In the meantime no key of the cluster can be read: `cluster-require-full-coverage` is on, as
/// it is by default. A node that starts takes about 2 s until it serves.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    /// One in front of each node, or none.
    #[cfg(feature = "proxy")]
    proxies: Vec<Proxy>,
    /// One in front of each node's bus, or none.
    #[cfg(feature = "proxy")]
    buses: Vec<Proxy>,
}

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;

impl Cluster {
    /// The environment variable with the URLs of a cluster to use in place of a private one, with commas between them.
    pub const VARIABLE: &str = redis::NODE.variable;

    /// The URLs in [`VARIABLE`](Self::VARIABLE), if it is set and not empty.
    pub fn given() -> Option<Vec<String>> {
        let urls = env::var(Self::VARIABLE).ok()?;
        let urls: Vec<String> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(Into::into).collect();
        (!urls.is_empty()).then_some(urls)
    }

    /// Starts a new cluster, and returns when it is [ready](Self::wait_until_ready).
    ///
    /// # Errors
    /// If Redis is not installed, or the cluster does not come up within a minute: a sentence for people.
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// Starts a new cluster whose nodes have these settings besides or in place of the usual ones, for instance
    /// `("cluster-node-timeout", "5000")`, which is in milliseconds.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, String> {
        let cluster = Self::launch(settings)?;
        cluster.form()?;
        Ok(cluster)
    }

    /// As [`start_with`](Self::start_with), with a [`Proxy`] in front of each node.
    ///
    /// Nodes announce the ports of their proxies, so clients that follow the cluster go through them. The nodes talk to
    /// each other directly, and see nothing of a fault. But a replica reads from the address that its master announces:
    /// what happens to clients of a master's proxy happens to its replica too, and its requests are counted there.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg(feature = "proxy")]
    pub fn start_behind_proxies(settings: &[(&str, &str)]) -> Result<Self, String> {
        let mut cluster = Self::launch(settings)?;
        cluster.proxies = cluster.announce("cluster-announce-port", |port| port)?;
        cluster.form()?;
        Ok(cluster)
    }

    /// As [`start_behind_proxies`](Self::start_behind_proxies), with a [`Proxy`] in front of each node's bus, too, and each node connects to
    /// others from an address of its own. So one can be [cut off](Self::cut_off) from the others.
    ///
    /// It needs a system on which all of 127.0.0.0/8 is the machine itself, such as Linux.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg(feature = "proxy")]
    pub fn start_divisible(settings: &[(&str, &str)]) -> Result<Self, String> {
        let mut cluster = Self::launch(settings)?;
        cluster.proxies = cluster.announce("cluster-announce-port", |port| port)?;
        cluster.buses = cluster.announce("cluster-announce-bus-port", bus_port)?;
        for (number, node) in cluster.nodes.iter_mut().enumerate() {
            change(node, "bind-source-addr", &source(number).to_string())?;
        }
        cluster.form()?;
        Ok(cluster)
    }

    /// Puts a proxy in front of a port of each node, which announces it in place of its own.
    #[cfg(feature = "proxy")]
    fn announce(&mut self, setting: &str, port: impl Fn(u16) -> u16) -> Result<Vec<Proxy>, String> {
        let proxy = |node: &mut Server| {
            let proxy = Proxy::start(([127, 0, 0, 1], port(node.port())).into()).map_err(|error| error.to_string())?;
            change(node, setting, &proxy.port().to_string())?;
            Ok(proxy)
        };
        self.nodes.iter_mut().map(proxy).collect()
    }

    /// Cuts a node off from all others, in both directions, as a partition of the network does. Clients reach it as before,
    /// once their connections to it were reset.
    ///
    /// # Panics
    /// If the cluster was not started [divisible](Self::start_divisible).
    #[cfg(feature = "proxy")]
    pub fn cut_off(&self, node: usize) {
        assert!(!self.buses.is_empty(), "the cluster is not divisible");
        let (others, own): (Vec<IpAddr>, Vec<IpAddr>) =
            (0..NODES).map(source).partition(|other| *other != source(node));
        self.proxies[node].shut_out(&others);
        for (number, bus) in self.buses.iter().enumerate() {
            bus.shut_out(if number == node { &others } else { &own });
        }
    }

    /// Ends what [`cut_off`](Self::cut_off) has begun.
    #[cfg(feature = "proxy")]
    pub fn reunite(&self) {
        self.proxies.iter().chain(&self.buses).for_each(|proxy| proxy.shut_out(&[]));
    }

    /// The URLs of all nodes, in their order, or of their proxies.
    pub fn urls(&self) -> Vec<String> {
        (0..NODES).map(|node| format!("redis://127.0.0.1:{}", self.announced_port(node))).collect()
    }

    /// A node, without the proxy in front of it.
    pub fn node(&self, node: usize) -> &Server {
        &self.nodes[node]
    }

    /// A node, to be [set](Server::set), without the proxy in front of it.
    pub fn node_mut(&mut self, node: usize) -> &mut Server {
        &mut self.nodes[node]
    }

    /// The proxy in front of a node.
    ///
    /// # Panics
    /// If the cluster was not started behind proxies.
    #[cfg(feature = "proxy")]
    pub fn proxy(&self, node: usize) -> &Proxy {
        &self.proxies[node]
    }

    /// Kills a node (SIGKILL), and returns when it is gone.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Stops a node without ending it, as a partition of the network would do to its clients and to the others:
    /// see [`Server::pause`].
    ///
    /// A master that is [resumed](Self::resume) after its replica has taken its place answers as before, until it is told.
    pub fn pause(&mut self, node: usize) {
        self.nodes[node].pause();
    }

    /// Lets a paused node go on.
    pub fn resume(&mut self, node: usize) {
        self.nodes[node].resume();
    }

    /// Starts a node again, killing it before if it runs, and returns when it takes connections, which is before it
    /// knows its place: see [`wait_until_ready`](Self::wait_until_ready).
    ///
    /// # Errors
    /// As [`Server::restart`].
    pub fn restart(&mut self, node: usize) -> Result<(), String> {
        self.nodes[node].restart()
    }

    /// The running nodes, not killed and not paused, that have slots now. One that comes back can for a moment still take itself for a master; if
    /// another has a newer claim to all of its slots, it is none.
    pub fn masters(&self) -> Vec<usize> {
        let views = self.views();
        let owners: Vec<Option<usize>> = (0..SLOTS).map(|slot| view::owner(&views, slot)).collect();
        (0..NODES).filter(|node| owners.contains(&Some(*node))).collect()
    }

    /// The running master that has a slot now; `None` if it is without one.
    pub fn master_of(&self, slot: u16) -> Option<usize> {
        view::owner(&self.views(), slot)
    }

    /// The running replicas of a node.
    pub fn replicas_of(&self, node: usize) -> Vec<usize> {
        let views = self.views();
        let Some(id) = views[node].as_ref().map(|view| &view.me().id) else { return Vec::new() };
        let follows = |view: &View| view.me().master.as_ref() == Some(id);
        (0..NODES).filter(|node| views[*node].as_ref().is_some_and(follows)).collect()
    }

    /// The slot of a key.
    ///
    /// # Panics
    /// If no node runs.
    pub fn slot_of(&self, key: impl AsRef<[u8]>) -> u16 {
        let mut command = cmd("CLUSTER");
        command.arg("KEYSLOT").arg(key.as_ref());
        let slot = self.nodes.iter().find_map(|node| ask(node.port(), &command).ok());
        slot.expect("a node of the cluster runs")
    }

    /// Begins to move a slot to another master: see [`Migration`].
    ///
    /// # Errors
    /// If the slot is without a master, `to` is not another one, or one of the two does not do it.
    pub fn migrate_slot(&self, slot: u16, to: usize) -> Result<Migration, String> {
        let from = self.master_of(slot).ok_or_else(|| format!("slot {slot} is without a master"))?;
        Migration::begin(slot, self.nodes[from].port(), self.nodes[to].port())
    }

    /// Waits until the cluster serves each slot, all running nodes have the same picture of each other, and all running
    /// replicas have what their masters have.
    ///
    /// # Errors
    /// After a minute: what is missing.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        wait_for(|| self.check())
    }

    fn launch(settings: &[(&str, &str)]) -> Result<Self, String> {
        let settings = [&[("cluster-node-timeout", "2000")], settings].concat();
        let nodes = at_once(NODES, |_| Server::start_as(&redis::NODE, &settings))?;
        Ok(Self {
            nodes,
            #[cfg(feature = "proxy")]
            proxies: Vec::new(),
            #[cfg(feature = "proxy")]
            buses: Vec::new(),
        })
    }

    /// Makes a cluster of nodes that know nothing of each other.
    fn form(&self) -> Result<(), String> {
        let ids: Vec<String> = at_once(NODES, |node| self.ask(node, &["MYID"]))?;
        for node in 0..MASTERS {
            // Each has an epoch of its own from the start, or they would have to agree on that first.
            self.tell_once(node, &["SET-CONFIG-EPOCH", &(node + 1).to_string()], "already non-zero")?;
            let third = |number: usize| usize::from(SLOTS) * number / MASTERS;
            let (first, last) = (third(node), third(node + 1) - 1);
            self.tell_once(node, &["ADDSLOTSRANGE", &first.to_string(), &last.to_string()], "already busy")?;
        }
        // Everyone to everyone: gossip takes its time.
        for node in 0..NODES {
            for other in node + 1..NODES {
                let (port, bus) = (self.announced_port(other), self.announced_bus_port(other));
                self.tell(node, &["MEET", "127.0.0.1", &port.to_string(), &bus.to_string()])?;
            }
        }
        wait_for(|| {
            let met = self.views().iter().all(|view| view.as_ref().is_some_and(|view| view.knows(&ids)));
            met.then_some(()).ok_or_else(|| "the nodes have not met".to_owned())
        })?;
        for replica in MASTERS..NODES {
            self.tell(replica, &["REPLICATE", &ids[replica - MASTERS]])?;
        }
        self.wait_until_ready()
    }

    /// What [`wait_until_ready`](Self::wait_until_ready) waits for.
    fn check(&self) -> Result<(), String> {
        let running: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].is_running()).collect();
        let views = self.views();
        for &node in &running {
            let info: String = self.ask(node, &["INFO"])?;
            if !info.contains("cluster_state:ok") {
                return Err(format!("node {node} does not serve"));
            }
        }
        if let Some(slot) = (0..SLOTS).find(|slot| view::owner(&views, *slot).is_none()) {
            return Err(format!("slot {slot} is without a master"));
        }
        let answering: Vec<&View> = running.iter().filter_map(|node| views[*node].as_ref()).collect();
        if answering.len() < running.len() || !view::agree(&answering) {
            return Err("the nodes have different pictures of the cluster".into());
        }
        for &replica in &running {
            let Some(master) = views[replica].as_ref().and_then(|view| view.me().master.as_ref()) else { continue };
            let is_it = |view: &View| view.me().id == *master;
            let master = (0..NODES).find(|node| views[*node].as_ref().is_some_and(is_it));
            let master = master.ok_or_else(|| format!("the master of node {replica} is gone"))?;
            if !follows(self.nodes[replica].port(), self.announced_port(master))? {
                return Err(format!("node {replica} has not yet what node {master} has"));
            }
        }
        Ok(())
    }

    /// What each node knows; `None` for those that do not answer.
    fn views(&self) -> Vec<Option<View>> {
        let view = |node: usize| {
            let text: String = self.nodes[node].is_running().then(|| self.ask(node, &["NODES"]).ok())??;
            View::parse(&text)
        };
        (0..NODES).map(view).collect()
    }

    fn announced_port(&self, node: usize) -> u16 {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.proxies.get(node) {
            return proxy.port();
        }
        self.nodes[node].port()
    }

    fn announced_bus_port(&self, node: usize) -> u16 {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.buses.get(node) {
            return proxy.port();
        }
        bus_port(self.nodes[node].port())
    }

    fn ask<T: ::redis::FromRedisValue>(&self, node: usize, cluster: &[&str]) -> Result<T, String> {
        ask(self.nodes[node].port(), cmd("CLUSTER").arg(cluster))
    }

    fn tell(&self, node: usize, cluster: &[&str]) -> Result<(), String> {
        tell(self.nodes[node].port(), cmd("CLUSTER").arg(cluster))
    }

    fn tell_once(&self, node: usize, cluster: &[&str], done: &str) -> Result<(), String> {
        tell_once(self.nodes[node].port(), cmd("CLUSTER").arg(cluster), done)
    }
}

/// The address from which a node of a divisible cluster connects to others.
#[cfg(feature = "proxy")]
fn source(node: usize) -> IpAddr {
    let [.., last] = node.to_be_bytes();
    Ipv4Addr::new(127, 0, 1, 1 + last).into()
}

/// Changes a setting of a node that runs, for good.
#[cfg(feature = "proxy")]
fn change(node: &mut Server, setting: &str, value: &str) -> Result<(), String> {
    node.set(setting, value);
    tell(node.port(), cmd("CONFIG").arg(&["SET", setting, value]))
}
