//! What is behind the cache in a model: a store with a change feed and a clock, all of which keep the cache waiting.

mod news;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, Clock, CustomerId, Error, ErrorKind, Expect, Freshness, Link, Linked, LostReason, Mapping,
    Resolution, Result, Revision, Timestamp, When,
};
use futures::channel::oneshot;
use shuttle::future::yield_now;
use shuttle::rand::{Rng, thread_rng};

use super::oracle::{Asked, Oracle, Order, Step};
use super::sync::{me, spawn};

/// How often, of 16 times, what goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// A call that fails as the source is not there.
    pub(super) down: u32,
    pub(super) panics: u32,
    pub(super) hangs: u32,
    /// A write whose answer is lost, whether or not it is applied.
    pub(super) unknown: u32,
    /// An answer from before, of which the source says that it is stale.
    pub(super) stale: u32,
    /// How long some answers are under way, so that much happens meanwhile.
    pub(super) slow: u32,
}

#[derive(Clone, Debug)]
pub(super) struct World(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    oracle: Arc<Oracle>,
    faults: Faults,
    write_deadline: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mappings: BTreeMap<AcsId, Mapping>,
    /// What was there before.
    older: BTreeMap<AcsId, Mapping>,
    revision: u64,
    clock: u64,
    feed: Feed,
}

#[derive(Debug, Default)]
struct Feed {
    is_lost: bool,
    /// The last one is that of who follows; others may have stood still since before.
    subscriptions: Vec<Subscription>,
}

#[derive(Debug, Default)]
struct Subscription {
    begun: bool,
    /// Whether the stream is to end.
    ends: bool,
    news: VecDeque<(Change, Step, Option<Order>)>,
    /// What the follower has been told last.
    told: Option<(Change, Step, Option<Order>)>,
    /// When it last asked for more.
    asked: u64,
    waker: Option<Waker>,
}

/// Lets others go on for a while.
async fn dawdle() {
    for _ in 0..thread_rng().gen_range(0..3) {
        yield_now().await;
    }
}

/// Whether something happens that does so often of 16 times.
fn happens(often: u32) -> bool {
    often > 0 && thread_rng().gen_range(0..16) < often
}

impl World {
    pub(super) fn new(oracle: Arc<Oracle>, faults: Faults, write_deadline: Duration) -> Self {
        let write_deadline = write_deadline.as_micros() as u64;
        Self(Arc::new(Inner { oracle, faults, write_deadline, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("a state")
    }

    fn oracle(&self) -> &Oracle {
        &self.0.oracle
    }

    /// Lets time pass; what expires by it is gone.
    pub(super) fn pass(&self, seconds: u64) {
        let mut state = self.state();
        state.clock += seconds * 1_000_000;
        self.oracle().clock_moved(state.clock);
        self.is_heard(&state);
        let now = Timestamp::from_micros(state.clock);
        let expired: Vec<Mapping> =
            state.mappings.values().filter(|mapping| mapping.is_expired(now)).cloned().collect();
        for mapping in expired {
            let order = self.removed(&mut state, &mapping, "expired", false);
            let at = mapping.expires_at.map_or(0, Timestamp::as_micros);
            self.oracle().expired(&mapping.acs_id, order, at);
        }
    }

    /// A write by another process.
    pub(super) fn foreign(&self, id: &AcsId, customer: Option<&CustomerId>) {
        let mut state = self.state();
        match customer {
            Some(customer) => drop(self.apply_link(&mut state, &Link::replace(id.clone(), customer.clone()))),
            None => drop(self.apply_unlink(&mut state, id, &Expect::Any, false)),
        }
    }

    /// The connection of the feed is lost, or is there again.
    pub(super) fn set_feed(&self, works: bool) {
        let mut state = self.state();
        if state.feed.is_lost == works {
            let step = self.oracle().step(if works { "feed works again" } else { "feed is lost" });
            state.feed.is_lost = !works;
            let reason = if happens(8) { LostReason::Flushed } else { LostReason::Disconnected };
            let change = if works { Change::Live } else { Change::Lost(reason) };
            state.feed.tell(change, step, None);
        }
    }

    /// The stream of the feed ends.
    pub(super) fn end_feed(&self) {
        let mut state = self.state();
        state.feed.is_lost = false;
        if let Some(last) = state.feed.subscriptions.last_mut().filter(|last| last.begun) {
            self.oracle().step("the feed ends");
            *last = Subscription { ends: true, waker: last.waker.take(), asked: last.asked, ..Subscription::default() };
            last.wake();
        }
    }

    /// News that anything may have changed.
    pub(super) fn tell_all(&self) {
        let mut state = self.state();
        if !state.feed.is_lost {
            let step = self.oracle().step("feed: all");
            state.feed.tell(Change::All, step, None);
        }
    }

    fn apply_link(&self, state: &mut State, link: &Link) -> Result<(Linked, Order)> {
        let present = state.mappings.get(&link.acs_id).cloned();
        if let Some(present) = present.clone() {
            let same = present.customer_id == link.customer_id;
            match link.when {
                When::CreateOnly if same => {
                    let order = (present.revision.get(), false);
                    return Ok((Linked::kept(present), order));
                }
                When::CreateOnly => return Err(Error::conflict("taken", Some(present.revision))),
                _ => {}
            }
        }
        state.revision += 1;
        let now = Timestamp::from_micros(state.clock);
        let mut mapping =
            Mapping::new(link.acs_id.clone(), link.customer_id.clone(), Revision::new(state.revision), now);
        mapping.expires_at = link.expires.map(|lifetime| now.saturating_add(lifetime));
        let order = (state.revision, false);
        let said = format!("{:?} is linked to {:?} at {}", link.acs_id.as_str(), link.customer_id.as_str(), order.0);
        let step = self.oracle().step(said);
        self.oracle().written(&link.acs_id, order, Some(&link.customer_id), (step, step), false);
        state.mappings.insert(link.acs_id.clone(), mapping);
        state.older.extend(present.clone().map(|present| (link.acs_id.clone(), present)));
        let before = present.as_ref().map(|present| &present.customer_id);
        state.feed.tell_of(&link.acs_id, [before, Some(&link.customer_id)], step, order);
        Ok((Linked::written(Revision::new(order.0), &link.customer_id, present, now), order))
    }

    fn apply_unlink(
        &self,
        state: &mut State,
        id: &AcsId,
        expect: &Expect,
        erased: bool,
    ) -> Result<Option<(Mapping, Order)>> {
        let Some(present) = state.mappings.get(id).cloned() else { return Ok(None) };
        if let Expect::Customer(customer) = expect
            && *customer != present.customer_id
        {
            return Err(Error::conflict("another's", Some(present.revision)));
        }
        let order = self.removed(state, &present, "unlinked", erased);
        Ok(Some((present, order)))
    }

    fn removed(&self, state: &mut State, mapping: &Mapping, how: &str, erased: bool) -> Order {
        state.mappings.remove(&mapping.acs_id);
        let order = (mapping.revision.get(), true);
        let step = self.oracle().step(format!("{:?} is {how}", mapping.acs_id.as_str()));
        self.oracle().written(&mapping.acs_id, order, None, (step, step), erased);
        if how != "expired" {
            state.feed.tell_of(&mapping.acs_id, [Some(&mapping.customer_id), None], step, order);
        }
        order
    }

    /// Asks for some, and gives an answer that was read a while ago.
    async fn load<T>(&self, asked: Vec<Asked>, read: impl FnOnce(&State) -> T) -> Result<T> {
        let loads = Loads::begin(self.clone(), asked);
        dawdle().await;
        let faults = self.0.faults;
        if happens(faults.hangs) {
            loads.fail("hangs");
            std::future::pending::<()>().await;
        }
        if happens(faults.panics) {
            // A batch is split then.
            if loads.numbers.len() == 1 {
                loads.fail("panics");
            }
            // Without a word of the panic hook.
            std::panic::resume_unwind(Box::new("a panic of the source"));
        }
        if happens(faults.down) {
            loads.fail("is down");
            dawdle().await;
            return Err(Error::new(ErrorKind::Unavailable, "down"));
        }
        let answer = read(&self.state());
        self.oracle().step(format!("task {} has read", me()));
        for _ in 0..if happens(4) { faults.slow } else { 1 } {
            dawdle().await;
        }
        Ok(answer)
    }

    /// Has the backend write in steps; it does not care whether somebody waits for it.
    async fn write<T: Send + 'static>(
        &self,
        mut apply: impl FnMut(&World, &mut State, &mut Vec<(AcsId, Order)>) -> Poll<Result<T>> + Send + 'static,
    ) -> Result<T> {
        dawdle().await;
        let faults = self.0.faults;
        if happens(faults.panics) {
            std::panic::resume_unwind(Box::new("a panic of the store"));
        }
        if happens(faults.down) {
            return Err(Error::new(ErrorKind::Unavailable, "down"));
        }
        let (tell, told) = oneshot::channel();
        let leaves = Leaves { world: self.clone(), at: Arc::default() };
        let (world, left, task) = (self.clone(), leaves.at.clone(), me());
        let is_lost = happens(faults.unknown);
        spawn(async move {
            for _ in 0..if is_lost { thread_rng().gen_range(0..8) } else { 0 } {
                dawdle().await;
            }
            let outcome = loop {
                dawdle().await;
                let mut state = world.state();
                let left = *left.lock().expect("a time");
                if left.is_some_and(|left| state.clock >= left + world.0.write_deadline) {
                    return;
                }
                let mut written = Vec::new();
                let applied = apply(&world, &mut state, &mut written);
                if left.is_some() {
                    written.iter().for_each(|(id, order)| world.oracle().late(id, *order, task));
                }
                if let Poll::Ready(outcome) = applied {
                    break outcome;
                }
            };
            dawdle().await;
            let _ = tell.send(outcome);
        });
        if is_lost {
            dawdle().await;
            self.oracle().step("the answer of a write is lost");
            return Err(Error::new(ErrorKind::OutcomeUnknown, "lost"));
        }
        let outcome = told.await;
        drop(leaves);
        outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::OutcomeUnknown, "gone")))
    }
}

/// Notes the time at which nobody waits for a write any more.
struct Leaves {
    world: World,
    at: Arc<Mutex<Option<u64>>>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let now = self.world.state().clock;
        *self.at.lock().expect("a time") = Some(now);
    }
}

/// Loads under way, of one call.
struct Loads {
    world: World,
    numbers: Vec<usize>,
}

impl Loads {
    fn begin(world: World, asked: impl IntoIterator<Item = Asked>) -> Self {
        let numbers = asked.into_iter().map(|one| world.oracle().load_begun(one, me())).collect();
        Self { world, numbers }
    }

    fn fail(&self, how: &str) {
        self.world.oracle().step(format!("task {} {how}", me()));
        self.numbers.iter().for_each(|number| self.world.oracle().load_failed(*number));
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        self.numbers.iter().for_each(|number| self.world.oracle().load_ended(*number));
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.state().clock)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.state().clock)
    }
}

impl State {
    fn resolution(&self, id: &AcsId, stale: u32) -> Option<Resolution> {
        if let Some(older) = self.older.get(id)
            && happens(stale)
        {
            let freshness = Freshness::Stale { age: Duration::ZERO };
            return Some(
                Resolution::from(older.customer_id.clone()).at_revision(older.revision).with_freshness(freshness),
            );
        }
        let mapping = self.mappings.get(id)?;
        let remaining = mapping.expires_at.map(|end| end.since(Timestamp::from_micros(self.clock)));
        Some(Resolution::from(mapping.customer_id.clone()).at_revision(mapping.revision).lasting(remaining))
    }
}
