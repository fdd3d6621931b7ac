//! Gathers loads of single ACS IDs into batches.
//!
//! A load that finds fewer batches under way than there may be goes at once, with those that came until its task runs. The others wait
//! for the end of one of these, and then go together: also those of callers who got their answers from it and ask on, as they
//! run before it takes the next batch. So a lone lookup waits for nothing, and the busier the source is, the larger the batches are.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Answers, Error, ErrorKind, Resolution, Resolver};
use tracing::Instrument;

use crate::counters::Event;
use crate::flight::late;
use crate::guarded::caught;
use crate::lane;
use crate::read_through::Shared;
use crate::sync::{Mutex, MutexGuard, lock, pause, spawn, timeout};
use crate::traced::{self, Direction};
use crate::values::micros;

pub(crate) type Load = lane::Load<AcsId, Option<Resolution>>;

/// The loads that wait for their batch.
pub(crate) struct Batches {
    queue: Mutex<Queue>,
    /// The most loads in a batch.
    size: usize,
    /// The most batches under way.
    at_once: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Load>,
    under_way: usize,
    /// When a call last began, in microseconds.
    moved: u64,
    /// How many times all rights were declared void.
    round: u64,
}

impl Queue {
    fn take(&mut self, size: usize) -> Vec<Load> {
        let size = size.min(self.waiting.len());
        self.waiting.drain(..size).collect()
    }

    /// Declares all rights void if nothing has moved for longer than a call has its right: then the runtimes that they are used
    /// on stand still, and would keep everybody waiting.
    fn expire(&mut self, now: u64, deadline: u64) {
        if self.under_way > 0 && now > self.moved.saturating_add(deadline) {
            self.round += 1;
            self.under_way = 0;
        }
    }
}

impl Batches {
    pub(crate) fn new(size: usize, at_once: usize) -> Self {
        Self { queue: Mutex::default(), size: size.max(1), at_once: at_once.max(1) }
    }

    /// The next batch of who has a right of this round. If there is none, the right is given back.
    fn next(&self, round: u64) -> Option<Vec<Load>> {
        let mut queue = self.with_right(round)?;
        Some(queue.take(self.size))
    }

    /// The queue for who has a right of this round, if somebody waits. If nobody does, the right is given back.
    fn with_right(&self, round: u64) -> Option<MutexGuard<'_, Queue>> {
        let mut queue = lock(&self.queue);
        if queue.round != round {
            return None;
        }
        if queue.waiting.is_empty() {
            queue.under_way -= 1;
            return None;
        }
        Some(queue)
    }
}

impl<R: Resolver + 'static> Shared<R> {
    /// Has loads run as soon as it may be.
    pub(crate) fn submit(self: &Arc<Self>, loads: impl IntoIterator<Item = Load>) {
        let mut loads = loads.into_iter();
        let now = self.time.now();
        if let Err(open) = self.breaker.admit(now) {
            for load in loads {
                self.ids.counters().count(Event::Refused);
                load.land(Err(open.clone()));
            }
            return;
        }
        let (begun, round) = {
            let mut queue = lock(&self.batches.queue);
            queue.expire(now, micros(self.load_deadline));
            queue.waiting.extend(&mut loads);
            // Also if a task that takes these loads has begun, but not run yet: its runtime may stand still.
            let begun = queue.waiting.len().div_ceil(self.batches.size).min(self.batches.at_once - queue.under_way);
            queue.under_way += begun;
            if begun > 0 {
                queue.moved = now;
            }
            (begun, queue.round)
        };
        for _ in 0..begun {
            let turn = Turn { shared: self.clone(), right: Some(round) };
            spawn(self.tasks.track_future(turn.run()));
        }
    }
}

/// The run of some batches.
struct Turn<R: Resolver + 'static> {
    shared: Arc<Shared<R>>,
    /// The right to have a batch under way, by its round.
    right: Option<u64>,
}

impl<R: Resolver + 'static> Turn<R> {
    /// Runs a batch, and then others as long as some wait.
    async fn run(mut self) {
        while let Some(batch) = self.next() {
            self.load(batch).await;
            let Some(right) = self.right else { return };
            if self.shared.batches.with_right(right).is_none() {
                self.right = None;
                return;
            }
            // Those who have their answers now may ask on, which is to go with those who wait.
            pause().await;
        }
    }

    fn next(&mut self) -> Option<Vec<Load>> {
        let next = self.shared.batches.next(self.right?);
        if next.is_none() {
            self.right = None;
        }
        next
    }

    /// Gives the right to those who wait, as this batch takes too long, or its runtime is shutting down.
    fn pass_on(&mut self) {
        if let (Some(round), Some(next)) = (self.right, self.next()) {
            self.right = None;
            let mut turn = Self { shared: self.shared.clone(), right: Some(round) };
            spawn(self.shared.tasks.track_future(async move {
                turn.load(next).await;
                turn.run().await;
            }));
        }
    }

    /// Runs a batch. One that fails for good is split until what it fails for stands alone.
    async fn load(&mut self, batch: Vec<Load>) {
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

    /// Asks about all of a part in one call. It has the deadline twice: the first time with its right, and then, since a
    /// late answer is still of use, without.
    async fn ask(&mut self, part: &[Load]) -> Result<Vec<Answer>, Error> {
        let shared = self.shared.clone();
        lock(&shared.batches.queue).moved = shared.time.now();
        shared.ids.counters().count_batch(part.len());
        part.iter().for_each(Load::begin);
        let span = traced::load(Direction::ById, part.len());
        let mut asking = pin!(caught(shared.ask(part)).instrument(span.clone()));
        let deadline: Duration = shared.load_deadline;
        let mut answered = timeout(deadline, &mut asking).await;
        if answered.is_none() {
            shared.breaker.note(false, shared.time.now());
            self.pass_on();
            answered = timeout(deadline, &mut asking).await;
        }
        let answers = answered.map_or_else(|| Err(late()), Result::flatten);
        traced::ended(&span, worst(&answers));
        match &answers {
            Ok(all) if all.iter().all(is_down) => shared.breaker.note(false, shared.time.now()),
            Ok(_) => shared.breaker.note(true, shared.time.now()),
            // A defect, or late, which has been noted.
            Err(_) => {}
        }
        answers
    }
}

impl<R: Resolver + 'static> Drop for Turn<R> {
    fn drop(&mut self) {
        if self.right.is_some() {
            traced::runtime_lost("load");
        }
        self.pass_on();
    }
}

impl<R: Resolver> Shared<R> {
    async fn ask(&self, part: &[Load]) -> Result<Vec<Answer>, Error> {
        if let [load] = part {
            return Ok(vec![self.resolver.resolve(load.key()).await]);
        }
        let ids: Vec<AcsId> = part.iter().map(|load| load.key().clone()).collect();
        let answers: Answers = self.resolver.resolve_many(&ids).await;
        if answers.len() != ids.len() {
            return Err(Error::new(ErrorKind::Internal, "the resolver did not answer each ID"));
        }
        Ok(answers.into_iter().collect())
    }
}

/// Whether a failure may be that of one ID, and will be the same another time. That the source was not there, or lets nobody in, is
/// no ID's fault, and to ask in parts would only be to ask more often.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Denied, Misconfigured, Unsupported};
    !error.is_transient() && !matches!(error.kind(), Denied | Misconfigured | Unsupported)
}

/// How a call ended: its own error, or that of the first answer that is one.
fn worst(answers: &Result<Vec<Answer>, Error>) -> Option<ErrorKind> {
    match answers {
        Ok(all) => all.iter().find_map(|answer| answer.as_ref().err()).map(Error::kind),
        Err(error) => Some(error.kind()),
    }
}

/// Whether the source was not there to answer.
fn is_down(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(Error::is_transient)
}

fn fails_for_good(answers: &[Answer]) -> bool {
    answers.iter().all(|answer| answer.as_ref().is_err_and(is_final))
}
