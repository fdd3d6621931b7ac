//! [`Fixture`]: what the suite needs to know of a store, and what it may do to the store's backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{ChangeFeed, Link, MappingStore, Namespace};
use async_trait::async_trait;

use crate::ManualClock;

/// Opens a store for the checks. Each check gets a fixture of its own, made on the spot, so making one should cost
/// nothing; whatever has to be started or awaited belongs into [`open`](Self::open), which may panic if it fails.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store's name in the names of the tests: `sqlite`, `postgres`.
    fn name(&self) -> &str;

    /// A new client of the store. Clients of one fixture and one namespace see the same mappings, and each is closed on
    /// its own where the store can do that.
    async fn open(&self, namespace: Namespace) -> Arc<dyn MappingStore>;

    /// The changes of a namespace; `None` if the store declares that it has no feed.
    async fn feed(&self, namespace: Namespace) -> Option<Box<dyn ChangeFeed>> {
        let _ = namespace;
        None
    }

    /// How many changes the feed keeps for a subscriber that is slow; the suite writes more, to see that it is told. `None`
    /// if nobody knows, or if that many can't be written within a minute.
    fn feed_keeps(&self) -> Option<u32> {
        None
    }

    /// The clock that the store obeys. `None` for a store with a clock of its own: the checks then wait.
    fn clock(&self) -> Option<ManualClock> {
        None
    }

    /// How to break the store's backend.
    fn faults(&self) -> Option<&dyn Faults> {
        None
    }

    /// How many connections are in use at this moment, by all clients together.
    fn connections(&self) -> Option<u32> {
        None
    }

    /// How long a call, or a piece of news from the feed, may take at most.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// Breaks the backend of a store, and mends it. What makes no sense for a backend is not applicable.
#[async_trait]
pub trait Faults: Send + Sync {
    /// Makes the backend unreachable for every client, open or not, until [`restore`](Self::restore).
    async fn cut(&self) -> Verdict {
        Err(NotApplicable("the backend can't be cut off"))
    }

    /// Lets the backend take calls and answer none of them, until [`restore`](Self::restore).
    async fn hang(&self) -> Verdict {
        Err(NotApplicable("the backend can't be made to hang"))
    }

    /// Ends a cut or a hang.
    async fn restore(&self) {}

    /// Kills the backend, or for an embedded one its process, without a warning, and starts it again on the same data.
    async fn restart(&self) -> Verdict {
        Err(NotApplicable("the backend can't be restarted"))
    }

    /// Does the first `steps` internal steps of a write and no more, as a client does that dies between two of them. Not
    /// applicable where the write has no more steps than that: the suite stops writes after 1, 2, 3, … steps until then.
    async fn stop_after(&self, steps: u32, namespace: &Namespace, link: &Link) -> Verdict {
        let _ = (steps, namespace, link);
        Err(NotApplicable("a write has no internal steps"))
    }
}

/// Whether a check could be made: a promise that does not hold is a panic.
pub type Verdict = Result<(), NotApplicable>;

/// Why a check does not apply to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotApplicable(pub &'static str);

impl fmt::Display for NotApplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
