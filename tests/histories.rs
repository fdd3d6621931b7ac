//! The histories of the cache's models, on real threads over real stores: what tasks do at random is judged by the models' oracle.
#![allow(clippy::unwrap_used)]

// By the name that the models know it by.
extern crate acs_identity as acs_identity_core;

#[allow(dead_code, reason = "on real threads there is less to tell it")]
#[path = "../crates/acs-identity-cache/src/models/operations.rs"]
mod operations;
#[allow(dead_code, reason = "on real threads there is less to tell it")]
#[path = "../crates/acs-identity-cache/src/models/oracle.rs"]
mod oracle;

use std::sync::Arc;
use std::time::Duration;

use acs_identity::cache::ReadThrough;
use acs_identity::sql::{PostgresOptions, SqliteOptions};
use acs_identity::{AcsId, ChangeFeed, CustomerId, MappingStore, MemoryStore};
use acs_identity_servers::{Kind, database};
use operations::{Op, or_leave, run, write};
use oracle::{Bounds, Oracle};

const TASKS: u64 = 6;
const ACTS: u64 = 16;

/// A row of numbers that look random (SplitMix64).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Those whom a history is about.
struct Cast {
    ids: Vec<AcsId>,
    customers: Vec<CustomerId>,
}

impl Cast {
    fn new(history: u64) -> Self {
        Self {
            ids: (0..3).map(|n| format!("{history}-id{n}").parse().unwrap()).collect(),
            customers: ["alice", "bob"].map(|name| format!("{history}-{name}").parse().unwrap()).into(),
        }
    }

    fn act(&self, random: &mut Random) -> Op {
        let one = self.ids[random.below(3) as usize].clone();
        let owner = self.customers[random.below(2) as usize].clone();
        match random.below(16) {
            0..5 => Op::Read(one),
            5 => Op::ReadNow(one),
            6 => Op::Roster(self.ids.iter().cloned().chain([one]).collect()),
            7 | 8 => Op::Page(owner),
            9 => Op::Create(one, owner),
            10 => Op::Replace(one, owner, None),
            11 => Op::ReplaceMany(self.ids.iter().cloned().zip(self.customers.iter().cycle().cloned()).collect()),
            12 => Op::Unlink(one),
            13 => Op::Erase(owner),
            14 if random.below(2) == 0 => Op::PurgeCustomer(owner),
            14 => Op::Purge(one),
            _ => Op::PurgeAll,
        }
    }
}

/// Runs one history; `all_known` claims that the cache knows of the writes that go past it.
async fn history<S>(store: &S, number: u64, all_known: bool) -> Result<ReadThrough<S>, String>
where
    S: MappingStore + ChangeFeed + Clone + 'static,
{
    let day = Duration::from_secs(24 * 3600);
    let mut options = ReadThrough::builder(store.clone()).lifetime(day).absent_lifetime(day).batches_at_once(2);
    if number.is_multiple_of(3) {
        options = options.feed(store.clone());
    }
    let cached = options.build();
    let oracle = Arc::new(Oracle::new(Bounds {
        lifetime: day,
        absent_lifetime: day,
        stale_for: Duration::ZERO,
        patience: day,
        write_deadline: day,
        timers: false,
        one_load: false,
    }));
    let cast = Arc::new(Cast::new(number));
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (cached, store, oracle, cast) = (cached.clone(), store.clone(), oracle.clone(), cast.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = Random(number * TASKS + task);
            for _ in 0..ACTS {
                let op = cast.act(&mut random);
                let is_write =
                    matches!(op, Op::Create(..) | Op::Replace(..) | Op::ReplaceMany(_) | Op::Unlink(_) | Op::Erase(_));
                if is_write && random.below(3) == 0 {
                    write(&op, &store, &oracle, all_known).await;
                } else {
                    // Of a write whose caller has left nobody knows how it ended.
                    let leaves = !is_write && random.below(8) == 0;
                    or_leave(run(&op, &cached, &oracle), leaves.then(|| random.below(8) as usize)).await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    for id in &cast.ids {
        if store.resolve(id).await.map_err(|error| error.to_string())?.is_none() {
            oracle.followed_absence(id, (u64::MAX, false));
        }
        run(&Op::Read(id.clone()), &cached, &oracle).await;
    }
    for customer in &cast.customers {
        run(&Op::Page(customer.clone()), &cached, &oracle).await;
    }
    oracle.verdict()?;
    Ok(cached)
}

/// Runs so many, all of which have to be right, and in all of which together everything has happened that makes it hard.
async fn histories<S>(store: S, count: u64)
where
    S: MappingStore + ChangeFeed + Clone + 'static,
{
    let (mut hits, mut joined, mut refused) = (0, 0, 0);
    for number in 0..count {
        let cached = history(&store, number, false).await.unwrap_or_else(|story| panic!("history {number}: {story}"));
        let stats = cached.stats();
        hits += stats.hits + stats.negative_hits;
        joined += stats.joined;
        refused += stats.refused_as_stale;
    }
    store.close().await;
    assert!(hits > 0 && joined > 0 && refused > 0, "{hits} hits, {joined} joined, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_memory_no_read_is_older_than_what_the_cache_knew() {
    histories(MemoryStore::new(), 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_sqlite_no_read_is_older_than_what_the_cache_knew() {
    let folder = tempfile::tempdir().unwrap();
    histories(SqliteOptions::file(folder.path().join("store.db")).open().await.unwrap(), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_postgres_no_read_is_older_than_what_the_cache_knew() {
    let database = database(Kind::Postgres).await;
    histories(PostgresOptions::url(database.url()).open().await.unwrap(), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_oracle_sees_that_a_cache_does_not_know_of_writes_that_go_past_it() {
    let store = MemoryStore::new();
    for number in 0..500 {
        if let Err(story) = history(&store, 3 * number + 1, true).await {
            return assert!(story.contains("the answer may not be given"), "{story}");
        }
    }
    panic!("none of these histories was wrong");
}
