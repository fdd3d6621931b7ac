//! Gathers loads of single keys into batches, those of ACS IDs and those of customers' pages apart. A batch of pages is one page.
//!
//! A load that finds fewer batches under way than there may be goes at once, with those that came until its task runs. The others wait
//! for the end of one of these, and then go together: also those of callers who got their answers from it and ask on, as they
//! run before it takes the next batch. So a lone lookup waits for nothing, and the busier the source is, the larger the batches are. A roster is many
//! loads at once: as long as others wait, it has half of each batch.
//!
//! Of a call that is late, one key may be the reason, and nobody knows which: next time, each of them has a call of its own.
//! Those that were late alone, and those of which a call is under way, hold at most half of the permits.

mod queue;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use acs_identity_core::{AcsId, Answer, Error, ErrorKind, Resolution, Resolver, Result};

use crate::barriers::Key;
use crate::guarded::outside;
use crate::lane::Load;
use crate::read_through::Shared;
use crate::sync::{Mutex, MutexGuard, has_runtime, lock, pause, spawn};
use crate::traced::{self, Direction};
use crate::values::{Cached, micros};
use queue::Queue;

/// How the loads of one direction are run.
pub(crate) trait Loads<K: Key, V: Cached>: Send + Sync + 'static {
    const DIRECTION: Direction;

    /// Those that wait.
    fn batches(&self) -> &Batches<K, V>;

    /// Asks the source for these, and gives their answers in the same order.
    fn ask(&self, part: &[Load<K, V>]) -> impl Future<Output = Result<Vec<Result<V>>>> + Send;
}

/// The loads that wait for their batch.
pub(crate) struct Batches<K: Key, V: Cached> {
    queue: Mutex<Queue<K, V>>,
    /// The most loads in a batch.
    size: usize,
}

impl<K: Key, V: Cached> Batches<K, V> {
    pub(crate) fn new(size: usize, at_once: usize) -> Self {
        Self { queue: Mutex::new(Queue::new(at_once)), size: size.max(1) }
    }

    /// The next batch of who has this permit. If there is none, the permit is given back.
    fn next(&self, permit: u64) -> Option<Vec<Load<K, V>>> {
        let (mut queue, place) = self.with_permit(permit)?;
        Some(queue.take(place, self.size))
    }

    /// The queue for who has this permit, and where that is, if somebody waits for it. If nobody does, the permit is given back.
    fn with_permit(&self, permit: u64) -> Option<(MutexGuard<'_, Queue<K, V>>, usize)> {
        let mut queue = lock(&self.queue);
        let place = queue.place(permit)?;
        if !queue.waits_for(place) {
            queue.permits.swap_remove(place);
            return None;
        }
        Some((queue, place))
    }

    /// Gives a permit back, and takes all who wait, if there is no other one by which they will be loaded.
    fn abandon(&self, permit: u64) -> Vec<Load<K, V>> {
        let mut queue = lock(&self.queue);
        let Some(place) = queue.place(permit) else { return Vec::new() };
        queue.permits.swap_remove(place);
        if queue.permits.is_empty() { queue.take_all() } else { Vec::new() }
    }

    /// Notes that a call begins.
    fn moves(&self, permit: u64, now: u64) {
        let mut queue = lock(&self.queue);
        if let Some(place) = queue.place(permit) {
            queue.permits[place].moved = now;
        }
    }

    /// Notes that a call for these is late.
    fn is_late(&self, part: &[Load<K, V>]) {
        lock(&self.queue).is_late(part);
    }

    /// Notes that a call ended in time, if that is of interest.
    fn was_in_time(&self, part: &[Load<K, V>]) {
        if let [load] = part
            && load.goes_alone
        {
            lock(&self.queue).was_in_time(load);
        }
    }
}

impl<R> Shared<R> {
    /// Has loads run as soon as it may be.
    pub(crate) fn submit<K: Key, V: Cached>(
        self: &Arc<Self>,
        loads: impl IntoIterator<Item = Load<K, V>, IntoIter: ExactSizeIterator> + AsRef<[Load<K, V>]>,
    ) where
        Self: Loads<K, V>,
    {
        if !has_runtime() {
            return loads.into_iter().for_each(|load| load.land(Err(outside())));
        }
        let probe = match self.admit(loads.as_ref()) {
            Ok(probe) => probe,
            Err(open) => return loads.into_iter().for_each(|load| load.refuse(open.clone())),
        };
        // If there are others, they go with it as far as they fit into its batch.
        let loads = loads.into_iter().enumerate().map(|(place, mut load)| {
            load.is_probe = probe == Some(place);
            load
        });
        let now = self.time.now();
        let batches = self.batches();
        let permits: Vec<u64> = {
            let mut queue = lock(&batches.queue);
            queue.expire(now, micros(self.load_deadline));
            queue.push(loads);
            // Also if a worker that takes these loads has begun, but not run yet: its runtime may stand still.
            let calls = queue.calls(batches.size);
            let free = queue.at_once.saturating_sub(queue.permits.len());
            (0..calls.min(free)).map(|_| queue.issue(now)).collect()
        };
        permits.into_iter().for_each(|permit| Worker::employ(self, permit));
    }

    /// Whether the source is to be asked for these; see [`Breaker::admit`](crate::breaker::Breaker::admit).
    fn admit<K: Key, V: Cached>(&self, loads: &[Load<K, V>]) -> Result<Option<usize>>
    where
        Self: Loads<K, V>,
    {
        self.breaker.admit(Self::DIRECTION, loads.iter().map(Load::key), self.time.now())
    }
}

/// Runs batches, one after the other.
struct Worker<R, K: Key, V: Cached>
where
    Shared<R>: Loads<K, V>,
{
    shared: Arc<Shared<R>>,
    kind: PhantomData<fn(K, V)>,
    /// By its number; none when it was given away.
    permit: Option<u64>,
    has_run: bool,
}

impl<R, K: Key, V: Cached> Worker<R, K, V>
where
    Shared<R>: Loads<K, V>,
{
    fn employ(shared: &Arc<Shared<R>>, permit: u64) {
        let shared = shared.clone();
        let worker = Self { shared: shared.clone(), kind: PhantomData, permit: Some(permit), has_run: false };
        spawn(shared.tasks.track_future(worker.run()));
    }

    /// Runs a batch, and then others as long as some wait.
    async fn run(mut self) {
        self.has_run = true;
        while let Some(permit) = self.permit {
            let Some(mut batch) = self.shared.batches().next(permit) else { break };
            batch.retain_mut(Load::is_wanted);
            if !batch.is_empty() {
                match self.refusal(&batch) {
                    Some(open) => batch.into_iter().for_each(|load| load.refuse(open.clone())),
                    None => self.load(batch).await,
                }
            }
            let Some(permit) = self.permit else { return };
            if self.shared.batches().with_permit(permit).is_none() {
                break;
            }
            // Those who have their answers now may ask on, which is to go with those who wait.
            pause().await;
        }
        self.permit = None;
    }

    /// Why a batch is not to be loaded: the source has turned out to be down while it waited. But a probe is what the others are refused for.
    fn refusal(&self, batch: &[Load<K, V>]) -> Option<Error> {
        if batch.iter().any(|load| load.is_probe) { None } else { self.shared.admit(batch).err() }
    }

    /// Gives the permit to another worker for those who wait, as this batch takes too long, or its runtime is shutting down.
    fn pass_on(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.shared.batches().with_permit(permit).is_some()
        {
            Self::employ(&self.shared, permit);
        }
    }

    /// Runs a batch. One that fails for good is split until what it fails for stands alone.
    async fn load(&mut self, batch: Vec<Load<K, V>>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let asked = self.ask(&part).await;
            let in_pieces = part.len() > 1 && asked.as_ref().map_or_else(is_final, |all| fails_for_good(all));
            if in_pieces {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
                continue;
            }
            match asked {
                Ok(answers) => part.into_iter().zip(answers).for_each(|(load, answer)| load.land(answer)),
                Err(error) => part.into_iter().for_each(|load| load.land(Err(error.clone()))),
            }
        }
    }

    /// Asks about all of a part in one call, which has the permit until it is late.
    async fn ask(&mut self, part: &[Load<K, V>]) -> Result<Vec<Result<V>>> {
        let shared = self.shared.clone();
        if let Some(permit) = self.permit {
            shared.batches().moves(permit, shared.time.now());
        }
        part.iter().for_each(Load::begin);
        shared.counters(Shared::<R>::DIRECTION).count_batch(part.len());
        let mut is_late = false;
        let when_late = || {
            is_late = true;
            shared.batches().is_late(part);
            self.pass_on();
        };
        let answers =
            shared.call_source(Shared::<R>::DIRECTION, part.iter().map(Load::key), shared.ask(part), when_late).await;
        if !is_late {
            shared.batches().was_in_time(part);
        }
        answers
    }
}

impl<R, K: Key, V: Cached> Drop for Worker<R, K, V>
where
    Shared<R>: Loads<K, V>,
{
    fn drop(&mut self) {
        let Some(permit) = self.permit else { return };
        traced::runtime_lost("load");
        if self.has_run {
            self.pass_on();
        } else {
            // There is no runtime here on which another one could run. Those who wait fail, outside of the lock.
            drop(self.shared.batches().abandon(permit));
        }
    }
}

impl<R: Resolver + 'static> Loads<AcsId, Option<Resolution>> for Shared<R> {
    const DIRECTION: Direction = Direction::ById;

    fn batches(&self) -> &Batches<AcsId, Option<Resolution>> {
        &self.batches
    }

    async fn ask(&self, part: &[Load<AcsId, Option<Resolution>>]) -> Result<Vec<Answer>> {
        if let [load] = part {
            return Ok(vec![self.resolver.resolve(load.key()).await]);
        }
        let ids: Vec<AcsId> = part.iter().map(|load| load.key().clone()).collect();
        Ok(self.resolver.resolve_many(&ids).await.in_order_of(&ids)?.into_iter().collect())
    }
}

/// Whether a failure may be that of one key, and will be the same another time. That the source was not there, or lets nobody in, is
/// no key's fault, and to ask in parts would only be to ask more often.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Denied, Misconfigured, Unsupported};
    !error.is_transient() && !matches!(error.kind(), Denied | Misconfigured | Unsupported)
}

fn fails_for_good<T>(answers: &[Result<T>]) -> bool {
    answers.iter().all(|answer| answer.as_ref().is_err_and(is_final))
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use acs_identity_core::{MappingStore, MemoryStore, PageRequest};

    use super::*;
    use crate::{CacheStats, ReadThrough};

    #[tokio::test]
    async fn a_call_is_counted_in_its_own_direction() {
        let cached = ReadThrough::new(MemoryStore::new());
        let counted = |stats: CacheStats| (stats.batches, stats.batched, stats.largest_batch);
        let ids = ["a", "b", "c", "d"].map(|id| AcsId::new(id).unwrap());
        cached.resolve_many(&ids[..3]).await;
        cached.resolve(&ids[3]).await.unwrap();
        assert_eq!((counted(cached.stats()), counted(cached.customer_stats())), ((2, 4, 3), (0, 0, 0)));
        for customer in ["bob", "eve", "bob"] {
            cached.mappings_of(&customer.parse().unwrap(), PageRequest::default()).await.unwrap();
        }
        assert_eq!((counted(cached.stats()), counted(cached.customer_stats())), ((2, 4, 3), (2, 2, 1)));
    }
}
