//! The measures that all databases have: the store's throughput over that of plain sqlx on the same tables.

use std::cell::Cell;
use std::error::Error;
use std::time::Instant;

use acs_identity_core::{AcsId, Link, MappingStore};
use futures::{StreamExt, stream};
use tokio::runtime::Runtime;

use crate::by_hand::sql::{ByHand, New};
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
const BATCHES_TO_LINK: usize = 10;

/// A store and its counterpart by hand, on one database.
#[derive(Debug)]
pub struct Sql<'a, S, H> {
    name: &'static str,
    runtime: &'a Runtime,
    store: S,
    by_hand: H,
    /// Those of the mappings that are there, in an order without pattern.
    texts: Vec<String>,
    ids: Vec<AcsId>,
    /// The number of the next new mapping.
    next: Cell<usize>,
}

impl<'a, S: MappingStore, H: ByHand> Sql<'a, S, H> {
    /// With the mappings that are looked for linked. The name is the database's in those of the measures.
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
        let ours = || {
            let batches = self.ids.chunks(BATCH).take(BATCHES_TO_RESOLVE).map(|ids| self.store.resolve_many(ids));
            let found = all(batches, 1, |answers| answers.iter().all(|answer| matches!(answer, Ok(Some(_)))));
            self.time(BATCH * BATCHES_TO_RESOLVE, found)
        };
        let theirs = || {
            let batches = self.texts.chunks(BATCH).take(BATCHES_TO_RESOLVE);
            let batches = batches.map(|ids| self.spawned(|by_hand| by_hand.resolve_many(ids.to_vec())));
            let found = all(batches, 1, |answers| answers.as_ref().is_ok_and(|all| all.iter().all(Option::is_some)));
            self.time(BATCH * BATCHES_TO_RESOLVE, found)
        };
        self.print("resolve_many_1000_vs_raw", &Comparison::measure(ours, theirs), "ns per ID");
    }

    /// Measures `link_many_vs_raw`.
    pub fn link_many(&self) {
        self.link_many_vs("link_many_vs_raw", H::insert_many);
    }

    /// Measures links against a way of inserting.
    pub fn link_many_vs<F>(&self, what: &str, insert: impl Fn(H, Vec<New>) -> F)
    where
        F: Future<Output = sqlx::Result<()>> + Send + 'static,
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
        self.print(what, &Comparison::measure(ours, theirs), "ns per link");
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

    /// Prints a measure of this database.
    pub fn print(&self, what: &str, comparison: &Comparison, cost: &str) {
        let name = format!("sql.{}.{what}", self.name);
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
        self.next.set(from + batches * BATCH);
        let batch = |from| (from..from + BATCH).map(|n| (acs_id(n), customer(n))).collect();
        (0..batches).map(|n| batch(from + n * BATCH)).collect()
    }

    fn new_links(&self, batches: usize) -> Vec<Vec<Link>> {
        let link =
            |(id, customer): New| Link::create(id.parse().expect("an ID"), customer.parse().expect("a customer"));
        self.new_rows(batches).into_iter().map(|rows| rows.into_iter().map(link).collect()).collect()
    }
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
