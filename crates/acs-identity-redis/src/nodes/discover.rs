//! Finds the servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use redis::{Pipeline, Value, cmd};

use super::{Address, Node, Nodes, Place, Settings, Topology};
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
        let mut asked: FuturesUnordered<_> = nodes.iter().map(|node| View::of(node)).collect();
        let mut newest: Option<View> = None;
        let mut failure = Failure::NoConnection;
        loop {
            let next = asked.next();
            let answer = match &newest {
                None => next.await,
                Some(_) => match select(next, std::pin::pin!(tokio::time::sleep(OTHERS))).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(_) => None,
                },
            };
            match answer {
                Some(Ok(view)) => newest = Some(newest.filter(|newest| newest.epoch >= view.epoch).unwrap_or(view)),
                Some(Err(failed)) => failure = failed,
                None => return newest.ok_or(failure),
            }
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
        let answers = node.send(&commands).await.map_err(Trouble::into_failure)?;
        let [slots, info] = &answers[..] else { return Err(Failure::Answer) };
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                return Err(Trouble::unless_unknown(error.clone(), "the server is not part of a cluster"));
            }
        }
        let epoch = text(info).and_then(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"))?;
            line.trim().parse().ok()
        });
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
        let host = text(host).filter(|host| !host.is_empty() && *host != "?").unwrap_or(asked);
        let address = (host.to_owned(), u16::try_from(*port).ok()?);
        Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, address))
    };
    slots.iter().map(range).collect()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// Where the primary is, by the first sentinel that knows. Whether it is one, the server is asked when it is connected to.
async fn primary(settings: &Arc<Settings>, sentinels: &[Address], name: &str) -> Result<Address, Failure> {
    let mut failure = Failure::NoConnection;
    for (host, port) in sentinels {
        let sentinel = Node::new(host.clone(), *port, settings.clone())?;
        let mut commands = Pipeline::new();
        commands.add_command(cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).take());
        match sentinel.send(&commands).await.map_err(Trouble::into_failure) {
            Ok(answers) => match &answers[..] {
                [Value::Array(address)] if address.len() == 2 => {
                    let port = text(&address[1]).and_then(|port| port.parse().ok());
                    if let (Some(host), Some(port)) = (text(&address[0]), port) {
                        return Ok((host.to_owned(), port));
                    }
                }
                [Value::Nil] => failure = Failure::Setup("the sentinels know no primary of this name"),
                [Value::ServerError(error)] => {
                    failure = Trouble::unless_unknown(error.clone(), "the server is not a sentinel");
                }
                _ => failure = Failure::Answer,
            },
            // What another one has said tells more than that this one is away.
            Err(failed) if matches!(failure, Failure::NoConnection) => failure = failed,
            Err(_) => {}
        }
    }
    Err(failure)
}
