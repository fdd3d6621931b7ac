//! The servers of a deployment: one, one behind Sentinel, or the nodes of a cluster; and which of them has a key.
//!
//! The driver has a cluster client. It is not used, for three reasons: it sends a command again when a connection is
//! lost, also a write whose outcome is unknown then; it throws away all answers of a pipeline if one of its keys has
//! moved; and it does not tell when the cluster changes, which a change feed has to know.

mod discover;
mod each;
mod moving;
mod node;
mod settings;
mod topology;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{Instant, sleep_until};

use crate::error::Failure;
pub(crate) use each::{Ask, Sort};
pub(crate) use moving::{is_leaving, slots};
pub(crate) use node::Node;
pub(crate) use settings::{Address, Settings};
pub(crate) use topology::Topology;

/// How the servers are found. Those that are asked for it keep their connections, as they are asked again and again.
#[derive(Debug)]
pub(crate) enum Deployment {
    /// One server, which never changes.
    Single(Address),
    /// The primary of this name, which the sentinels know.
    Sentinel { sentinels: Vec<Arc<Node>>, name: String },
    /// A cluster, of which these nodes are known.
    Cluster { seeds: Vec<Arc<Node>> },
}

/// The servers of a deployment.
#[derive(Debug)]
pub(crate) struct Nodes {
    deployment: Deployment,
    settings: Arc<Settings>,
    topology: watch::Sender<Arc<Topology>>,
    /// Held by whoever looks for the nodes, with the last look.
    looking: Mutex<Option<Look>>,
    /// Nodes that have got some of a slot's keys and no slot yet, since the topology of this number.
    asked: SyncMutex<(u64, Vec<Arc<Node>>)>,
    closed: AtomicBool,
}

/// A look for the nodes.
#[derive(Debug)]
struct Look {
    began: Instant,
    ended: Instant,
    found: Result<(), Failure>,
}

/// The shortest time between two looks for the nodes, however many calls ask for one.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);

impl Nodes {
    /// Finds the servers.
    pub(crate) async fn find(deployment: Deployment, settings: Arc<Settings>) -> Result<Self, Failure> {
        let (topology, _) = watch::channel(Arc::new(Topology::default()));
        let nodes = Self {
            deployment,
            settings,
            topology,
            looking: Mutex::new(None),
            asked: SyncMutex::default(),
            closed: AtomicBool::new(false),
        };
        nodes.look(0).await?;
        Ok(nodes)
    }

    /// Whether all keys are on one server.
    pub(crate) fn is_whole(&self) -> bool {
        !matches!(self.deployment, Deployment::Cluster { .. })
    }

    /// The servers as they are known now.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.topology.borrow().clone()
    }

    /// Tells when the servers change.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Topology>> {
        self.topology.subscribe()
    }

    /// Looks for the servers anew, unless somebody has since this topology was seen.
    pub(crate) async fn look(&self, seen: u64) -> Result<(), Failure> {
        let last = self.looking.lock().await;
        let recent = last.as_ref().is_some_and(|last| last.ended.elapsed() < SHORTEST_LOOK);
        let present = self.topology().number;
        if !self.is_closed() && (recent || (present != seen && present != 0)) {
            return Ok(());
        }
        self.renew(last).await
    }

    /// Looks for the servers anew, unless somebody does who began after this call.
    pub(crate) async fn look_again(&self) -> Result<(), Failure> {
        let came = Instant::now();
        let last = self.looking.lock().await;
        match &*last {
            Some(last) if last.began >= came && !self.is_closed() => last.found.clone(),
            _ => self.renew(last).await,
        }
    }

    async fn renew(&self, mut last: MutexGuard<'_, Option<Look>>) -> Result<(), Failure> {
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        let (began, present) = (Instant::now(), self.topology());
        let found = self.discover(&present).await.map(|found| {
            if !found.is_same(&present) {
                self.topology.send_replace(Arc::new(found));
            }
        });
        *last = Some(Look { began, ended: Instant::now(), found: found.clone() });
        found
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Lets no call in any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let found_by: &[Arc<Node>] = match &self.deployment {
            Deployment::Single(_) => &[],
            Deployment::Sentinel { sentinels: nodes, .. } | Deployment::Cluster { seeds: nodes } => nodes,
        };
        self.topology().nodes.iter().chain(found_by).for_each(|node| node.close());
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        self.topology.send_replace(Arc::new(Topology::default()));
    }
}

/// Pauses that grow, before what was not carried out is asked for again; of a random length, so that not all come back
/// at once.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

/// The longest of them.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

impl Default for Pauses {
    fn default() -> Self {
        Self(Duration::from_millis(2))
    }
}

impl Pauses {
    /// The next one, at most until the end.
    pub(crate) async fn wait(&mut self, end: Instant) {
        sleep_until(end.min(Instant::now() + self.0.mul_f64(random_fraction()))).await;
        self.0 = LONGEST_PAUSE.min(2 * self.0);
    }
}

/// From 0 to 1, different each time. The standard library's hashers are seeded at random.
pub(crate) fn random_fraction() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
