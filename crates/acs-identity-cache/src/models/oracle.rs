//! What each read may return.
//!
//! A history is written down as it happens, in steps, and each read is judged at the end: there has to be a moment at which
//! the source held just what the read returned, not after the read's end, and not before what the cache knew when the read began: its own
//! writes and purges, the news of the feed, and the time.
//!
//! In a model the step at which a version was written is known; on real threads it lies between the start and the end of the write.

#[path = "verdict.rs"]
mod verdict;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, ErrorKind, Freshness, Mapping, Resolution, Result};

/// A moment of the history.
pub(crate) type Step = u64;

/// What orders the versions of an ACS ID: the revision, and then whether it is the absence that followed it.
pub(crate) type Order = (u64, bool);

/// The cache's options, as far as they bound how old an answer may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) lifetime: Duration,
    pub(crate) absent_lifetime: Duration,
    pub(crate) stale_for: Duration,
    pub(crate) load_deadline: Duration,
    pub(crate) write_deadline: Duration,
    /// Whether a caller may be told that it took too long.
    pub(crate) timers: bool,
    /// Whether the source gives out answers itself of which it says that they are stale.
    pub(crate) stale_source: bool,
    /// Whether one load of an ACS ID at a time is all that there may be, as nothing happens that asks for another.
    pub(crate) one_load: bool,
}

/// What is known to have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The answer for an ACS ID.
    Id(AcsId),
    /// What pages show of an ACS ID.
    Shown(AcsId),
    /// The page of a customer.
    Page(CustomerId),
    /// Answers for ACS IDs that are a customer's.
    Named(CustomerId),
    All,
    /// The same, but of no account for an answer that says that it is stale.
    Fresh,
    /// The answer for an ACS ID, of account only for one that says that it is stale.
    Told(AcsId),
}

/// Since when it has to be as it is returned.
#[derive(Debug, Clone)]
pub(crate) enum Since {
    Moment(Step),
    Version(AcsId, Order),
}

/// Who is asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Id(AcsId),
    Page(CustomerId),
}

// Those of a history are made up, and it is to be read.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{:?}", id.as_str()),
            Self::Page(customer) => write!(f, "{:?}", customer.as_str()),
        }
    }
}

#[derive(Clone)]
enum Answer {
    Found { revision: u64, customer: CustomerId, stale: bool },
    Absent,
    Page(Vec<(AcsId, u64)>),
    Failed(ErrorKind),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { revision, customer, stale } => {
                write!(f, "{:?} at {revision}{}", customer.as_str(), if *stale { ", stale" } else { "" })
            }
            Self::Absent => f.write_str("absent"),
            Self::Page(items) => f.debug_map().entries(items.iter().map(|(id, at)| (id.as_str(), at))).finish(),
            Self::Failed(kind) => write!(f, "{kind:?}"),
        }
    }
}

#[derive(Debug, Clone)]
struct Version {
    order: Order,
    customer: Option<CustomerId>,
    /// At the earliest, and at the latest.
    written: (Step, Step),
    erased: bool,
}

#[derive(Debug)]
struct Floor {
    from: Step,
    what: What,
    since: Since,
}

/// A read that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    at: Step,
    clock: u64,
    /// When the oldest load began that may be joined.
    joinable: Step,
}

#[derive(Debug)]
struct Read {
    begun: Begun,
    end: Step,
    asked: Asked,
    answer: Answer,
}

#[derive(Debug)]
struct Load {
    asked: Asked,
    task: usize,
    begun: Step,
    open: bool,
    failed: bool,
}

#[derive(Debug, Default)]
struct History {
    now: Step,
    /// Microseconds, and since when.
    clock: Vec<(Step, u64)>,
    versions: BTreeMap<AcsId, Vec<Version>>,
    floors: Vec<Floor>,
    /// Versions written by a backend for which nobody waited any more, and the task that had waited.
    late: Vec<(AcsId, Order, usize)>,
    /// When writes by the cache began of which the store has not been told yet.
    asked_for: Vec<(AcsId, Step)>,
    /// When mappings expired.
    expired: Vec<(AcsId, Order, u64)>,
    /// Between which times others do of which nobody sees when.
    expiring: Vec<(AcsId, Order, (u64, u64))>,
    ended: BTreeMap<usize, Step>,
    /// Before which versions there was nothing.
    followed_absence: Vec<(AcsId, Order)>,
    erasures: Vec<(CustomerId, (Step, Step), bool)>,
    /// From when until when the feed was known not to work.
    deaf: Vec<(Step, Step)>,
    reads: Vec<Read>,
    loads: Vec<Load>,
    story: Vec<(Step, String)>,
    wrong: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    bounds: Bounds,
    history: Mutex<History>,
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

impl Oracle {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let history = History { clock: vec![(0, 0)], ..History::default() };
        Self { bounds, history: Mutex::new(history) }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next step, with a word for the story.
    pub(crate) fn step(&self, what: impl Into<String>) -> Step {
        let mut history = self.history();
        history.now += 1;
        let now = history.now;
        history.story.push((now, what.into()));
        now
    }

    pub(crate) fn clock_moved(&self, now: u64) {
        let step = self.step(format!("clock: {} ms", now / 1_000));
        let mut history = self.history();
        // Others may have looked at it later and were sooner to tell.
        let now = history.clock.last().map_or(now, |(_, last)| now.max(*last));
        history.clock.push((step, now));
    }

    /// A version was written between two steps. Whoever tells of it first, knows best.
    pub(crate) fn written(
        &self,
        id: &AcsId,
        order: Order,
        customer: Option<&CustomerId>,
        between: (Step, Step),
        erased: bool,
    ) {
        let mut history = self.history();
        let versions = history.versions.entry(id.clone()).or_default();
        if let Err(place) = versions.binary_search_by_key(&order, |version| version.order) {
            versions.insert(place, Version { order, customer: customer.cloned(), written: between, erased });
        }
    }

    /// From now on this is known.
    pub(crate) fn know(&self, what: What, since: Since) {
        let mut history = self.history();
        let from = history.now;
        history.floors.push(Floor { from, what, since });
    }

    /// A write by the cache began at that step.
    pub(crate) fn write_begun(&self, id: &AcsId, begun: Step) {
        self.history().asked_for.push((id.clone(), begun));
    }

    /// The store is told of a write: the cache knows nothing of this any more.
    #[cfg(acs_identity_model)]
    pub(crate) fn write_reached(&self, id: &AcsId) {
        let from = self.step(format!("the store is told of a write of {:?}", id.as_str()));
        let mut history = self.history();
        // If there are several, it is at least the first of them.
        let Some(place) = history.asked_for.iter().position(|(of, _)| of == id) else { return };
        let (id, begun) = history.asked_for.remove(place);
        history.floors.push(Floor { from, what: What::Id(id), since: Since::Moment(begun) });
    }

    /// A version was written for which a task waits no more: it was told that the outcome is unknown.
    pub(crate) fn late(&self, id: &AcsId, order: Order, task: usize) {
        self.history().late.push((id.clone(), order, task));
    }

    /// A mapping has expired.
    pub(crate) fn expired(&self, id: &AcsId, order: Order, at: u64) {
        self.history().expired.push((id.clone(), order, at));
    }

    /// A version that was written from a step on lasts so long; the bounds are how long at the least, in microseconds, and
    /// when it is over at the latest.
    #[cfg(not(acs_identity_model))]
    pub(crate) fn expires(&self, id: &AcsId, order: Order, begun: Step, (lasts, until): (u64, u64)) {
        let mut history = self.history();
        let from = history.clock_at(begun) + lasts;
        history.expiring.push((id.clone(), order, (from, until)));
    }

    /// A task of the cache is over.
    pub(crate) fn task_ended(&self, task: usize) {
        let mut history = self.history();
        let now = history.now;
        history.ended.insert(task, now);
    }

    /// A version took the place of nothing, or there was nothing at the end.
    pub(crate) fn followed_absence(&self, id: &AcsId, order: Order) {
        self.history().followed_absence.push((id.clone(), order));
    }

    /// An erasure began at that step and is over; whether the cache knows that it was done.
    pub(crate) fn erased(&self, customer: &CustomerId, begun: Step, is_known: bool) {
        let mut history = self.history();
        let end = history.now;
        history.erasures.push((customer.clone(), (begun, end), is_known));
    }

    /// The feed was lost, or is live; it is known from now on.
    pub(crate) fn deaf(&self, deaf: bool) {
        let mut history = self.history();
        let now = history.now;
        match (history.deaf.last_mut(), deaf) {
            (Some(last), false) if last.1 == Step::MAX => last.1 = now,
            (Some(last), true) if last.1 == Step::MAX => {}
            (_, true) => history.deaf.push((now, Step::MAX)),
            _ => {}
        }
    }

    /// A load begins; the number is for [`load_ended`](Self::load_ended).
    pub(crate) fn load_begun(&self, asked: Asked, task: usize) -> usize {
        let begun = self.step(format!("load of {asked:?} begins in task {task}"));
        let mut history = self.history();
        if self.bounds.one_load && history.loads.iter().any(|load| load.open && load.asked == asked) {
            history.wrong.get_or_insert(format!("{begun}: a second load of {asked:?} at once"));
        }
        history.loads.push(Load { asked, task, begun, open: true, failed: false });
        history.loads.len() - 1
    }

    /// A load failed in a way that may be told.
    pub(crate) fn load_failed(&self, load: usize) {
        self.history().loads[load].failed = true;
    }

    pub(crate) fn load_ended(&self, load: usize) {
        self.history().loads[load].open = false;
    }

    /// A read begins.
    pub(crate) fn begin(&self, asked: &Asked) -> Begun {
        let at = self.step(format!("read of {asked:?} begins"));
        let history = self.history();
        let open = history.loads.iter().filter(|load| load.asked == *asked && !history.ended.contains_key(&load.task));
        // What a task that is over has loaded is not joined any more.
        let joinable = open.map(|load| load.begun).min().unwrap_or(at);
        let clock = history.clock.last().map_or(0, |(_, clock)| *clock);
        Begun { at, clock, joinable }
    }

    fn end(&self, begun: Begun, asked: Asked, answer: Answer) {
        let end = self.step(format!("read of {asked:?} from {} ends: {answer:?}", begun.at));
        self.history().reads.push(Read { begun, end, asked, answer });
    }

    pub(crate) fn resolved(&self, begun: Begun, id: &AcsId, answer: &Result<Option<Resolution>>) {
        let answer = match answer {
            Err(error) => Answer::Failed(error.kind()),
            Ok(None) => Answer::Absent,
            Ok(Some(found)) => Answer::Found {
                revision: found.revision().map_or(0, |revision| revision.get()),
                customer: found.customer_id().clone(),
                stale: matches!(found.freshness(), Freshness::Stale { .. }),
            },
        };
        self.end(begun, Asked::Id(id.clone()), answer);
    }

    pub(crate) fn listed(&self, begun: Begun, customer: &CustomerId, page: &Result<Vec<Mapping>>) {
        let answer = match page {
            Err(error) => Answer::Failed(error.kind()),
            Ok(items) => Answer::Page(items.iter().map(|item| (item.acs_id.clone(), item.revision.get())).collect()),
        };
        self.end(begun, Asked::Page(customer.clone()), answer);
    }

    /// How many reads there were, or the story of what went wrong.
    pub(crate) fn verdict(&self) -> std::result::Result<usize, String> {
        let mut history = self.history();
        history.settle(&self.bounds);
        let told = history.wrong.clone().map_or(Ok(()), Err);
        let judged = told.and_then(|()| history.reads.iter().try_for_each(|read| history.judge(read, &self.bounds)));
        judged.map_err(|wrong| {
            let mut story = String::new();
            for (step, what) in &history.story {
                let _ = writeln!(story, "{step:4} {what}");
            }
            format!("{wrong}\n{story}")
        })?;
        Ok(history.reads.len())
    }
}
