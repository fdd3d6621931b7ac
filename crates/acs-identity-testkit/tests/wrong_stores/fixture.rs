//! A fixture over the in-memory store that has everything a server has: connections, cuts and restarts.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, Link, LostReason, Mapping, MappingStore, MemoryStore, Namespace, Revision,
    Timestamp,
};
use acs_identity_testkit::{Faults, Fixture, ManualClock, NotApplicable, Verdict};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;

use crate::defect::Defect;
use crate::store::WrongStore;

/// The fixture; without a defect its store is right.
pub(crate) struct Model {
    clock: ManualClock,
    memory: Mutex<MemoryStore>,
    backend: Arc<Backend>,
}

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) defect: Option<Defect>,
    pub(crate) cut: AtomicBool,
    pub(crate) hung: AtomicBool,
    pub(crate) in_use: AtomicU32,
    cuts: broadcast::Sender<Change>,
    /// What a wrong store keeps beside the right one.
    pub(crate) notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Reverse entries without a forward record.
    pub(crate) ghosts: Vec<Mapping>,
    pub(crate) unlinked: HashSet<AcsId>,
    /// The customers of mappings that expire.
    pub(crate) expiring: HashMap<AcsId, CustomerId>,
}

impl Backend {
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics while it is held")
    }
}

impl Model {
    pub(crate) fn new(defect: Option<Defect>) -> Self {
        let clock = ManualClock::new();
        let backend = Backend {
            defect,
            cut: AtomicBool::new(false),
            hung: AtomicBool::new(false),
            in_use: AtomicU32::new(0),
            cuts: broadcast::Sender::new(16),
            notes: Mutex::default(),
        };
        let memory = Mutex::new(MemoryStore::with_clock(Arc::new(clock.clone())));
        Self { clock, memory, backend: Arc::new(backend) }
    }

    fn client(&self, namespace: Namespace) -> MemoryStore {
        let whole = namespace.as_str();
        let used = if self.backend.has(Defect::CutsNamespaces) { &whole[..whole.len().min(20)] } else { whole };
        let namespace = Namespace::new(used).expect("a legal namespace");
        self.memory.lock().expect("nobody panics while it is held").second_client().in_namespace(namespace)
    }
}

#[async_trait]
impl Fixture for Model {
    fn name(&self) -> &str {
        if self.backend.defect.is_some() { "wrong" } else { "right" }
    }

    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore> {
        Arc::new(WrongStore::new(self.client(namespace), self.backend.clone()))
    }

    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        Some(Box::new(Feed(self.client(namespace), self.backend.clone())))
    }

    fn feed_keeps(&self) -> Option<u32> {
        Some(4096)
    }

    fn clock(&self) -> Option<ManualClock> {
        Some(self.clock.clone())
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }

    fn connections(&self) -> Option<u32> {
        Some(self.backend.in_use.load(Ordering::SeqCst))
    }

    fn patience(&self) -> Duration {
        // What a wrong store never does is waited for so long.
        Duration::from_secs(3)
    }
}

#[async_trait]
impl Faults for Model {
    async fn cut(&self) -> Verdict {
        self.backend.cut.store(true, Ordering::SeqCst);
        let _ = self.backend.cuts.send(Change::Lost(LostReason::Disconnected));
        Ok(())
    }

    async fn hang(&self) -> Verdict {
        self.backend.hung.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn restore(&self) {
        self.backend.hung.store(false, Ordering::SeqCst);
        if self.backend.cut.swap(false, Ordering::SeqCst) {
            let _ = self.backend.cuts.send(Change::Live);
        }
    }

    async fn restart(&self) -> Verdict {
        if self.backend.has(Defect::LosesOnRestart) {
            *self.memory.lock().expect("nobody panics while it is held") =
                MemoryStore::with_clock(Arc::new(self.clock.clone()));
        }
        Ok(())
    }

    async fn stop_after(&self, steps: u32, _: &Namespace, link: &Link) -> Verdict {
        if steps > 1 {
            return Err(NotApplicable("a write has two steps, and the second ends it"));
        }
        // The reverse entry comes first, and nothing comes second.
        let ghost = Mapping::new(link.acs_id.clone(), link.customer_id.clone(), Revision::new(1), Timestamp::MAX);
        self.backend.notes().ghosts.push(ghost);
        Ok(())
    }
}

#[derive(Debug)]
struct Feed(MemoryStore, Arc<Backend>);

impl ChangeFeed for Feed {
    fn changes(&self) -> BoxStream<'static, Change> {
        let backend = self.1.clone();
        let cuts = stream::unfold(backend.cuts.subscribe(), |mut cuts| async { Some((cuts.recv().await.ok()?, cuts)) });
        let all = stream::select(self.0.changes(), cuts);
        Box::pin(all.filter(move |change| {
            let silent = match change {
                Change::Customer(_) => backend.has(Defect::FeedWithoutCustomers),
                Change::Lost(LostReason::Lagged) if backend.has(Defect::FeedNeverLagged) => true,
                Change::Lost(_) => backend.has(Defect::FeedNeverLost),
                _ => false,
            };
            std::future::ready(!silent)
        }))
    }
}
