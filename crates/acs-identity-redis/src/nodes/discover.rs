//! Finds the servers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use redis::{Pipeline, Value, cmd};
use tokio::time::timeout;

use super::{Address, Deployment, Node, Nodes, Topology};
use crate::answer;
use crate::error::{Failure, Trouble};

/// How long the others may still answer after the first has, so that one with an old view alone does not decide.
const OTHERS: Duration = Duration::from_millis(50);

impl Nodes {
    pub(super) async fn discover(&self, present: &Topology) -> Result<Topology, Failure> {
        let number = present.number + 1;
        match &self.deployment {
            Deployment::Single(address) => Ok(Topology::single(number, self.node(&present.nodes, address)?)),
            Deployment::Sentinel { sentinels, name } => {
                let address = primary(sentinels, name).await?;
                Ok(Topology::single(number, self.node(&present.nodes, &address)?))
            }
            Deployment::Cluster { seeds } => {
                let known = with_seeds(&present.nodes, seeds);
                let view = newest_view(&known).await?;
                let places: BTreeMap<&Address, usize> =
                    view.masters().into_iter().enumerate().map(|(place, address)| (address, place)).collect();
                let nodes = places.keys().map(|address| self.node(&known, address)).collect::<Result<_, _>>()?;
                let ranges: Vec<_> =
                    view.ranges.iter().map(|(first, last, address)| (*first, *last, places[address])).collect();
                Ok(Topology::cluster(number, nodes, &ranges))
            }
        }
    }

    /// The node at an address, with its connections if it is known.
    fn node(&self, known: &[Arc<Node>], (host, port): &Address) -> Result<Arc<Node>, Failure> {
        match known.iter().find(|node| node.is_at(host, *port)) {
            Some(node) => Ok(node.clone()),
            None => Ok(Arc::new(Node::new(host.clone(), *port, self.settings.clone())?)),
        }
    }

    /// The node at an address that has got some of a slot's keys; it may be no master that is known yet.
    pub(super) fn asked(&self, topology: &Topology, address: &Address) -> Result<Arc<Node>, Failure> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.0 != topology.number {
            *asked = (topology.number, Vec::new());
        }
        let node = self.node(&[&topology.nodes[..], &asked.1].concat(), address)?;
        if ![&topology.nodes, &asked.1].iter().any(|known| known.iter().any(|known| Arc::ptr_eq(known, &node))) {
            asked.1.push(node.clone());
        }
        Ok(node)
    }
}

/// Nodes, and the seeds that are not among them.
fn with_seeds(nodes: &[Arc<Node>], seeds: &[Arc<Node>]) -> Vec<Arc<Node>> {
    let others = seeds.iter().filter(|seed| !nodes.iter().any(|node| node.is_at(&seed.host, seed.port)));
    nodes.iter().chain(others).cloned().collect()
}

/// The newest view of those that the nodes have.
async fn newest_view(nodes: &[Arc<Node>]) -> Result<View, Failure> {
    let views = answers(nodes.iter().map(|node| View::of(node))).await?;
    let newest = views.into_iter().reduce(|newest, view| if view.epoch > newest.epoch { view } else { newest });
    newest.ok_or(Failure::NoConnection)
}

/// What is answered to questions that are asked at once, at least one answer: all, or those that come soon after one
/// another. If there is none, the failure that tells the most.
async fn answers<T>(asked: impl Iterator<Item = impl Future<Output = Result<T, Failure>>>) -> Result<Vec<T>, Failure> {
    let mut asked: FuturesUnordered<_> = asked.collect();
    let mut answers = Vec::new();
    let mut failure = Failure::NoConnection;
    loop {
        let next = asked.next();
        let answer = match answers.is_empty() {
            true => next.await,
            false => timeout(OTHERS, next).await.unwrap_or(None),
        };
        match answer {
            Some(Ok(answer)) => answers.push(answer),
            // What another one has said tells more than that this one is away.
            Some(Err(failed)) if failure.is_of_connection() => failure = failed,
            Some(Err(_)) => {}
            None if answers.is_empty() => return Err(failure),
            None => return Ok(answers),
        }
    }
}

/// Who has which slots, as one node sees it.
#[derive(Debug)]
struct View {
    /// Rises with each failover.
    epoch: i64,
    ranges: Vec<(u16, u16, Address)>,
}

impl View {
    async fn of(node: &Node) -> Result<Self, Failure> {
        let mut commands = Pipeline::new();
        commands.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
        let answers = node.send(&commands, node.settings.latest()).await.map_err(Trouble::into_failure)?;
        let [slots, info] = &answers[..] else { return Err(Failure::Answer) };
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                return Err(Trouble::unless_unknown(error.clone(), "the server is not part of a cluster"));
            }
        }
        let epoch = answer::field(answer::text(info)?, "cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
        let ranges = ranges(slots, &node.host).ok_or(Failure::Answer)?;
        match ranges.is_empty() {
            true => Err(Failure::Uncovered),
            false => Ok(Self { epoch: epoch.unwrap_or(0), ranges }),
        }
    }

    /// The nodes that have slots, in the order of their addresses.
    fn masters(&self) -> Vec<&Address> {
        let mut masters: Vec<_> = self.ranges.iter().map(|(_, _, address)| address).collect();
        masters.sort_unstable();
        masters.dedup();
        masters
    }
}

/// Reads the answer of `CLUSTER SLOTS`: first and last slot, and the master in front of its replicas.
fn ranges(slots: &Value, asked: &str) -> Option<Vec<(u16, u16, Address)>> {
    let Value::Array(slots) = slots else { return None };
    let range = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { return None };
        let [host, Value::Int(port), ..] = &master[..] else { return None };
        // A node that does not know its own address leaves it out.
        let host = answer::text(host).ok().filter(|host| !host.is_empty() && *host != "?").unwrap_or(asked);
        let address = (host.to_owned(), u16::try_from(*port).ok()?);
        Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, address))
    };
    slots.iter().map(range).collect()
}

/// Where the primary is, as most of those sentinels say that answer. Whether it is one, the server is asked when it is
/// connected to.
async fn primary(sentinels: &[Arc<Node>], name: &str) -> Result<Address, Failure> {
    let said = answers(sentinels.iter().map(|sentinel| said(sentinel, name))).await?;
    let count = |address: &Address| said.iter().filter(|said| *said == address).count();
    // Of those that as many name, the first.
    let most = said.iter().rev().max_by_key(|address| count(address));
    most.cloned().ok_or(Failure::NoConnection)
}

/// Where the primary is, as a sentinel says.
async fn said(sentinel: &Node, name: &str) -> Result<Address, Failure> {
    let mut commands = Pipeline::new();
    commands.add_command(cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).take());
    match &sentinel.send(&commands, sentinel.settings.latest()).await.map_err(Trouble::into_failure)?[..] {
        [Value::Array(address)] => {
            let [host, port] = &address[..] else { return Err(Failure::Answer) };
            Ok((answer::text(host)?.to_owned(), answer::text(port)?.parse().map_err(|_| Failure::Answer)?))
        }
        [Value::Nil] => Err(Failure::Setup("the sentinels know no primary of this name")),
        [Value::ServerError(error)] => Err(Trouble::unless_unknown(error.clone(), "the server is not a sentinel")),
        _ => Err(Failure::Answer),
    }
}
