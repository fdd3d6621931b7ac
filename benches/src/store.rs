//! The measures that all stores have: the store's throughput over that of the plain driver on the same server.

use std::cell::Cell;
use std::error::Error;
use std::time::Instant;

use acs_identity_core::{AcsId, Link, MappingStore};
use futures::future::join_all;
use futures::{StreamExt, stream};
use tokio::runtime::Runtime;

use crate::by_hand::store::{ByHand, New};
use crate::ids::{acs_id, customer, shuffled};
use crate::print;
use crate::rounds::Comparison;

/// How many mappings there are when the measuring begins.
pub const MAPPINGS: usize = 100_000;
/// How many items a batch has.
pub const BATCH: usize = 1000;
/// How many calls are under way at once where there are many.
pub const IN_FLIGHT: usize = 64;
const LOOKUPS: usize = 30_000;
const LOOKUPS_SEQUENTIAL: usize = 5_000;
const BATCHES_TO_RESOLVE: usize = 20;
/// In a turn. What a store does in the background after a batch then mostly falls into its own time.
const BATCHES_TO_LINK: usize = 10;
/// In a round: checkpoints and syncs of the disk then hit both sides.
const TURNS_TO_LINK: usize = 4;

/// A store and its counterpart by hand, on one server.
#[derive(Debug)]
pub struct Bench<'a, S, H> {
    name: &'static str,
    runtime: &'a Runtime,
    store: S,
    by_hand: H,
    /// Those of the mappings that are there, in an order without pattern.
    texts: Vec<String>,
    ids: Vec<AcsId>,
    /// The number of the next batch of new mappings.
    next: Cell<usize>,
}

impl<'a, S: MappingStore, H: ByHand> Bench<'a, S, H> {
    /// With the mappings that are looked for linked. The name is the beginning of those of the measures.
    ///
    /// # Errors
    /// If they can't be linked.
    pub fn new(name: &'static str, runtime: &'a Runtime, store: S, by_hand: H) -> Result<Self, Box<dyn Error>> {
        let texts: Vec<String> = shuffled(MAPPINGS).into_iter().map(acs_id).collect();
        let ids = texts.iter().map(|text| AcsId::new(text.as_str())).collect::<Result<_, _>>()?;
        let bench = Self { name, runtime, store, by_hand, texts, ids, next: Cell::new(0) };
        bench.runtime.block_on(link_all(&bench.store, &bench.new_links(MAPPINGS / BATCH)));
        Ok(bench)
    }

    /// Measures `resolve_one_vs_raw`, `resolve_one_sequential_vs_raw` and `resolve_many_1000_vs_raw`.
    pub fn lookups(&self) {
        for (what, count, in_flight) in
            [("resolve_one_vs_raw", LOOKUPS, IN_FLIGHT), ("resolve_one_sequential_vs_raw", LOOKUPS_SEQUENTIAL, 1)]
        {
            let ours = || {
                let lookups = self.ids[..count].iter().map(|id| self.store.resolve(id));
                self.time(count, all(lookups, in_flight, |answer| matches!(answer, Ok(Some(_)))))
            };
            let theirs = || {
                let lookups = self.texts[..count].iter().map(|id| self.spawned(|by_hand| by_hand.resolve(id.clone())));
                self.time(count, all(lookups, in_flight, |answer| matches!(answer, Ok(Some(_)))))
            };
            self.print(what, &Comparison::measure(ours, theirs), "ns per lookup");
        }
        self.resolve_many();
    }

    /// Measures `resolve_many_1000_vs_raw`.
    pub fn resolve_many(&self) {
        let theirs = || {
            let batches = self.texts.chunks(BATCH).take(BATCHES_TO_RESOLVE);
            let batches = batches.map(|ids| self.spawned(|by_hand| by_hand.resolve_many(ids.to_vec())));
            let found = all(batches, 1, |answers| answers.as_ref().is_ok_and(|all| all.iter().all(Option::is_some)));
            self.time(BATCH * BATCHES_TO_RESOLVE, found)
        };
        let compared = Comparison::measure(|| self.time_batches(&self.store), theirs);
        self.print("resolve_many_1000_vs_raw", &compared, "ns per ID");
    }

    /// Measures batches on another store, which gets the same mappings, against those on this one.
    pub fn resolve_many_vs_this(&self, what: &str, other: impl MappingStore) {
        self.runtime.block_on(link_all(&other, &links((0..MAPPINGS / BATCH).map(rows))));
        let compared = Comparison::measure(|| self.time_batches(&other), || self.time_batches(&self.store));
        self.print(what, &compared, "ns per ID");
        self.runtime.block_on(other.close());
    }

    /// Nanoseconds for one ID of batches on a store.
    fn time_batches(&self, store: &impl MappingStore) -> f64 {
        let batches = self.ids.chunks(BATCH).take(BATCHES_TO_RESOLVE).map(|ids| store.resolve_many(ids));
        let found = all(batches, 1, |answers| answers.iter().all(|answer| matches!(answer, Ok(Some(_)))));
        self.time(BATCH * BATCHES_TO_RESOLVE, found)
    }

    /// Writes the mappings that are looked for by hand, too, where that is not on the store's own tables.
    pub fn fill_by_hand(&self) {
        let batches = (0..MAPPINGS / BATCH).map(rows).map(|new| self.spawned(|by_hand| by_hand.insert_many(new)));
        self.runtime.block_on(all(batches, 1, Result::is_ok));
    }

    /// Measures lookups by so many tasks at once, each of which waits for its own.
    pub fn resolve_by_tasks(&self, what: &str, tasks: usize)
    where
        S: Clone + 'static,
    {
        let count = LOOKUPS / tasks * tasks;
        let ours = || {
            let tasks = self.ids[..count].chunks(count / tasks).map(|ids| {
                let (store, ids) = (self.store.clone(), ids.to_vec());
                tokio::spawn(async move {
                    for id in &ids {
                        assert!(matches!(store.resolve(id).await, Ok(Some(_))));
                    }
                })
            });
            self.time(count, async { assert!(join_all(tasks).await.iter().all(Result::is_ok)) })
        };
        let theirs = || {
            let tasks = self.texts[..count].chunks(count / tasks).map(|ids| {
                let (by_hand, ids) = (self.by_hand.clone(), ids.to_vec());
                tokio::spawn(async move {
                    for id in ids {
                        assert!(matches!(by_hand.clone().resolve(id).await, Ok(Some(_))));
                    }
                })
            });
            self.time(count, async { assert!(join_all(tasks).await.iter().all(Result::is_ok)) })
        };
        self.print(what, &Comparison::measure(ours, theirs), "ns per lookup");
    }

    /// Measures `link_many_vs_raw`.
    pub fn link_many(&self) {
        self.link_many_vs("link_many_vs_raw", H::insert_many);
    }

    /// Measures links against a way of inserting.
    pub fn link_many_vs<F>(&self, what: &str, insert: impl Fn(H, Vec<New>) -> F)
    where
        F: Future<Output = Result<(), H::Error>> + Send + 'static,
    {
        let ours = || {
            let batches = self.new_links(BATCHES_TO_LINK);
            self.time(BATCH * BATCHES_TO_LINK, link_all(&self.store, &batches))
        };
        let theirs = || {
            let batches = self.new_rows(BATCHES_TO_LINK);
            let batches = batches.into_iter().map(|new| self.spawned(|by_hand| insert(by_hand, new)));
            self.time(BATCH * BATCHES_TO_LINK, all(batches, 1, Result::is_ok))
        };
        self.print(what, &Comparison::measure_in_turns(TURNS_TO_LINK, ours, theirs), "ns per link");
    }

    /// Nanoseconds of one of so many links that are not there yet, each in a call of its own, through this store.
    pub fn time_links(&self, store: &impl MappingStore, count: usize) -> f64 {
        let links = self.new_links(count.div_ceil(BATCH)).concat();
        let links = links.into_iter().take(count).map(|link| store.link(link));
        self.time(count, all(links, IN_FLIGHT, Result::is_ok))
    }

    /// Closes the store.
    pub fn close(self) {
        self.runtime.block_on(self.store.close());
    }

    /// Prints a measure of this store.
    pub fn print(&self, what: &str, comparison: &Comparison, cost: &str) {
        let name = format!("{}.{what}", self.name);
        print(&name, comparison.throughput_ratio(), "ratio", comparison.details(cost));
    }

    /// Nanoseconds of one of so many pieces of work.
    fn time(&self, pieces: usize, work: impl Future<Output = ()>) -> f64 {
        let started = Instant::now();
        self.runtime.block_on(work);
        started.elapsed().as_nanos() as f64 / pieces as f64
    }

    /// Work by hand in a task of its own, as in a server.
    async fn spawned<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, work: impl FnOnce(H) -> F) -> T {
        tokio::spawn(work(self.by_hand.clone())).await.expect("no panic")
    }

    /// Batches of mappings that are not there yet.
    fn new_rows(&self, batches: usize) -> Vec<Vec<New>> {
        let from = self.next.get();
        self.next.set(from + batches);
        (from..from + batches).map(rows).collect()
    }

    fn new_links(&self, batches: usize) -> Vec<Vec<Link>> {
        links(self.new_rows(batches))
    }
}

/// The mappings of the batch with a number.
fn rows(batch: usize) -> Vec<New> {
    (batch * BATCH..(batch + 1) * BATCH).map(|n| (acs_id(n), customer(n))).collect()
}

fn links(batches: impl IntoIterator<Item = Vec<New>>) -> Vec<Vec<Link>> {
    let link = |(id, customer): New| Link::create(id.parse().expect("an ID"), customer.parse().expect("a customer"));
    batches.into_iter().map(|rows| rows.into_iter().map(link).collect()).collect()
}

async fn link_all(store: &impl MappingStore, batches: &[Vec<Link>]) {
    let linked = batches.iter().map(|links| store.link_many(links));
    all(linked, 1, |answers| answers.iter().all(Result::is_ok)).await;
}

/// Waits for all calls, so many at once, each of which has to succeed.
async fn all<F: Future>(calls: impl Iterator<Item = F>, in_flight: usize, succeeded: impl Fn(&F::Output) -> bool) {
    let answers = stream::iter(calls).buffer_unordered(in_flight);
    answers.for_each(async |answer| assert!(succeeded(&answer))).await;
}
