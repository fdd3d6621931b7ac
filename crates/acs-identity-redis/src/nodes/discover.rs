//! Finds the servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use redis::{Pipeline, Value, cmd};
use tokio::time::timeout;

use super::{Address, Node, Nodes, Place, Settings, Topology};
use crate::answer;
use crate::error::{Failure, Trouble};

/// How long the others may still answer after the first has, so that one with an old view alone does not decide.
const OTHERS: Duration = Duration::from_millis(50);

impl Nodes {
    pub(super) async fn discover(&self, present: &Topology) -> Result<Topology, Failure> {
        let number = present.number + 1;
        match &self.place {
            Place::Single(address) => Ok(Topology::single(number, self.node(present, address)?)),
            Place::Sentinel { sentinels, addresses, name } => {
                let address = primary(sentinels, addresses, name).await?;
                Ok(Topology::single(number, self.node(present, &address)?))
            }
            Place::Cluster(seeds) => {
                let view = self.view(present, seeds).await?;
                let places: BTreeMap<&Address, usize> =
                    view.masters().into_iter().enumerate().map(|(place, address)| (address, place)).collect();
                let nodes = places.keys().map(|address| self.node(present, address)).collect::<Result<_, _>>()?;
                let ranges: Vec<_> =
                    view.ranges.iter().map(|(first, last, address)| (*first, *last, places[address])).collect();
                Ok(Topology::cluster(number, nodes, &ranges))
            }
        }
    }

    /// The node at an address, with its connections if it is known.
    fn node(&self, present: &Topology, (host, port): &Address) -> Result<Arc<Node>, Failure> {
        match present.nodes.iter().find(|node| node.host == *host && node.port == *port) {
            Some(node) => Ok(node.clone()),
            None => Ok(Arc::new(Node::new(host.clone(), *port, self.settings.clone())?)),
        }
    }

    /// The newest view of those that the nodes have.
    async fn view(&self, present: &Topology, seeds: &[Address]) -> Result<View, Failure> {
        let mut nodes = present.nodes.clone();
        for seed in seeds {
            if !nodes.iter().any(|node| node.host == seed.0 && node.port == seed.1) {
                nodes.push(self.node(present, seed)?);
            }
        }
        let views = answers(nodes.iter().map(|node| View::of(node))).await?;
        let newest = views.into_iter().reduce(|newest, view| if view.epoch > newest.epoch { view } else { newest });
        newest.ok_or(Failure::NoConnection)
    }
}

/// What is answered to questions that are asked at once, at least one answer: all, or those that come soon after one another. If
/// there is none, the failure that tells the most.
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

/// Where the primary is, as most of those sentinels say that answer. Whether it is one, the server is asked when it is connected to.
async fn primary(settings: &Arc<Settings>, sentinels: &[Address], name: &str) -> Result<Address, Failure> {
    let said = answers(sentinels.iter().map(|sentinel| said(settings, sentinel, name))).await?;
    let count = |address: &Address| said.iter().filter(|said| *said == address).count();
    // Of those that as many name, the first.
    let most = said.iter().rev().max_by_key(|address| count(address));
    most.cloned().ok_or(Failure::NoConnection)
}

/// Where the primary is, as a sentinel says.
async fn said(settings: &Arc<Settings>, (host, port): &Address, name: &str) -> Result<Address, Failure> {
    let sentinel = Node::new(host.clone(), *port, settings.clone())?;
    let mut commands = Pipeline::new();
    commands.add_command(cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).take());
    match &sentinel.send(&commands, settings.latest()).await.map_err(Trouble::into_failure)?[..] {
        [Value::Array(address)] => {
            let [host, port] = &address[..] else { return Err(Failure::Answer) };
            Ok((answer::text(host)?.to_owned(), answer::text(port)?.parse().map_err(|_| Failure::Answer)?))
        }
        [Value::Nil] => Err(Failure::Setup("the sentinels know no primary of this name")),
        [Value::ServerError(error)] => Err(Trouble::unless_unknown(error.clone(), "the server is not a sentinel")),
        _ => Err(Failure::Answer),
    }
}
