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
#[path = "histories/source.rs"]
mod source;
#[allow(unreachable_pub)]
#[path = "../crates/acs-identity-cache/tests/common/watched.rs"]
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acs_identity::cache::{CacheStats, ReadThrough, TableKind};
use acs_identity::sql::{PostgresOptions, SqliteOptions};
use acs_identity::{
    AcsId, Change, ChangeFeed, Clock, CustomerId, ErrorKind, Linked, LostReason, Mapping, MappingStore, MemoryStore,
    Resolver, SystemClock, Timestamp,
};
use acs_identity_servers::{Kind, database};
use acs_identity_testkit::ManualFeed;
use async_trait::async_trait;
use operations::{Op, or_leave, run, write};
use oracle::{Bounds, Oracle, Since, What};
use source::{LOADS, Source};
use tokio::sync::RwLock;
use watched::{Watched, Watcher};

const TASKS: u64 = 6;
const ACTS: u64 = 16;

/// How long the mappings of guests last, in microseconds.
const STAY: u64 = 25_000;
/// Whose customer ID ends like this is a guest.
const GUEST: &str = "guest";

const DAY: Duration = Duration::from_secs(24 * 3600);
const HUNDRED_DAYS: Duration = DAY.saturating_mul(100);

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
    guest: CustomerId,
}

impl Cast {
    fn new(history: u64) -> Self {
        Self {
            ids: (0..3).map(|n| format!("{history}-id{n}").parse().unwrap()).collect(),
            customers: ["alice", "bob"].map(|name| format!("{history}-{name}").parse().unwrap()).into(),
            guest: format!("{history}-{GUEST}").parse().unwrap(),
        }
    }

    fn read(&self, random: &mut Random) -> Op {
        Op::Read(self.ids[random.below(3) as usize].clone())
    }

    fn act(&self, random: &mut Random) -> Op {
        let one = self.ids[random.below(3) as usize].clone();
        let owner = self.customers[random.below(2) as usize].clone();
        let asked = if random.below(4) == 0 { self.guest.clone() } else { owner.clone() };
        match random.below(18) {
            0..5 => Op::Read(one),
            5 => Op::ReadNow(one),
            6 => Op::Roster(self.ids.iter().cloned().chain([one]).collect()),
            7 | 8 => Op::Page(asked),
            9 => Op::Create(one, owner),
            10 => Op::Replace(one, owner, None),
            16 | 17 => Op::Replace(one, self.guest.clone(), Some(Duration::from_micros(STAY))),
            11 => Op::ReplaceMany(self.ids.iter().cloned().zip(self.customers.iter().cycle().cloned()).collect()),
            12 => Op::Unlink(one),
            13 => Op::Erase(asked),
            14 if random.below(2) == 0 => Op::PurgeCustomer(owner),
            14 => Op::Purge(one),
            _ => Op::PurgeAll,
        }
    }
}

/// What the cache hears of writes that go past it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    /// The store's own, which take a while.
    Own,
    /// Of each write before it returns; but they are lost now and then.
    AtOnce,
}

/// What may happen in a history.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    news: News,
    /// Whether calls fail or panic, and writes lose their answers.
    faults: bool,
    /// Whether answers are loaded anew ahead of their end, and may be given out after it.
    stale: bool,
    table: TableKind,
    /// Claims that the cache knows of all writes that go past it.
    all_known: bool,
}

const BASE: Scenario =
    Scenario { news: News::None, faults: false, stale: false, table: TableKind::Moka, all_known: false };

/// The system's clock, ahead of it by some days.
#[derive(Debug, Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        let days = u32::try_from(self.0.load(Ordering::SeqCst)).unwrap();
        SystemClock.monotonic() + DAY * days
    }
}

/// Tells the oracle of the writes that reach the store, also of those whose callers are told that nobody knows, and of the time.
#[derive(Debug, Clone)]
struct Witness {
    oracle: Arc<Oracle>,
    start: Instant,
}

impl Witness {
    /// How late it is, in microseconds; the oracle knows from now on.
    fn look_at_the_clock(&self) -> u64 {
        let now = self.start.elapsed().as_micros() as u64;
        self.oracle.clock_moved(now);
        now
    }
}

#[async_trait]
impl Watcher for Witness {
    fn begins(&self) -> u64 {
        self.look_at_the_clock();
        self.oracle.step("the store writes")
    }

    async fn linked(&self, begun: u64, id: &AcsId, to: &CustomerId, linked: &Linked) {
        let end = self.oracle.step("the store has written");
        let order = (linked.revision.get(), false);
        if linked.changed {
            self.oracle.written(id, order, Some(to), (begun, end), false);
        }
        if linked.changed && to.as_str().ends_with(GUEST) {
            self.oracle.expires(id, order, begun, (STAY, self.look_at_the_clock() + STAY));
        }
        if linked.previous.is_none() {
            self.oracle.followed_absence(id, order);
        }
    }

    async fn imported(&self, _: &Mapping) {}

    async fn unlinked(&self, begun: u64, gone: &Mapping) {
        let end = self.oracle.step("the store has written");
        self.oracle.written(&gone.acs_id, (gone.revision.get(), true), None, (begun, end), false);
    }

    async fn erased(&self, _: &CustomerId) {}
}

type Cached<S> = ReadThrough<Arc<Source<Watched<S, Witness>>>>;

/// A history under way.
struct World<S> {
    scenario: Scenario,
    oracle: Arc<Oracle>,
    cast: Cast,
    store: Watched<S, Witness>,
    source: Arc<Source<Watched<S, Witness>>>,
    cached: Cached<S>,
    clock: Arc<Ahead>,
    feed: ManualFeed,
    /// Whether the feed is lost.
    lost: RwLock<bool>,
}

impl<S: MappingStore + ChangeFeed + Clone + 'static> World<S> {
    async fn new(store: S, number: u64, scenario: Scenario) -> Self {
        let oracle = Arc::new(Oracle::new(Bounds {
            lifetime: HUNDRED_DAYS,
            absent_lifetime: HUNDRED_DAYS,
            stale_for: if scenario.stale { HUNDRED_DAYS } else { Duration::ZERO },
            load_deadline: HUNDRED_DAYS,
            write_deadline: DAY,
            // Then a caller may be told that the source is not there.
            timers: scenario.faults,
            stale_source: false,
            one_load: false,
        }));
        let witness = Witness { oracle: oracle.clone(), start: Instant::now() };
        let watched = Watched { store: store.clone(), watcher: witness };
        let source = Arc::new(Source::new(watched.clone(), oracle.clone()));
        let options = ReadThrough::builder(source.clone()).lifetime(HUNDRED_DAYS).absent_lifetime(HUNDRED_DAYS);
        let options = options.load_deadline(HUNDRED_DAYS).write_deadline(DAY);
        let mut options = options.batches_at_once(2).table(scenario.table);
        let clock = Arc::new(Ahead::default());
        if scenario.faults {
            options = options.clock(clock.clone());
        }
        if scenario.stale {
            options = options.lifetime(DAY * 2).refresh_ahead(0.8);
            options = options.stale_if_error(HUNDRED_DAYS).soft_deadline(Duration::from_micros(500));
        }
        let feed = ManualFeed::new();
        let cached = match scenario.news {
            News::None => options.build(),
            News::Own => options.feed(store).build(),
            News::AtOnce => options.feed(feed.clone()).build(),
        };
        let cast = Cast::new(number);
        let world =
            Self { scenario, oracle, cast, store: watched, source, cached, clock, feed, lost: RwLock::new(true) };
        if scenario.news == News::AtOnce {
            // The feed is followed from the first question on.
            run(&Op::Read(world.cast.ids[0].clone()), &world.cached, &world.oracle).await;
            world.feed.subscribed(1).await;
            world.turn_feed().await;
        }
        world
    }

    /// The feed is lost, or works again. Nothing that was loaded before is fresh from then on.
    async fn turn_feed(&self) {
        let mut lost = self.lost.write().await;
        *lost = !*lost;
        let step = self.oracle.step(if *lost { "the feed is lost" } else { "the feed is live" });
        self.feed.tell(if *lost { Change::Lost(LostReason::Disconnected) } else { Change::Live }).await;
        self.oracle.step("the cache knows");
        self.oracle.know(What::Fresh, Since::Moment(step));
    }

    /// A write by another process.
    async fn write_elsewhere(&self, op: &Op) {
        let lost = self.lost.read().await;
        if self.scenario.news == News::AtOnce && !*lost {
            let told = Watched { store: self.store.clone(), watcher: self.feed.clone() };
            write(op, &told, &self.oracle, true).await;
        } else {
            write(op, &self.store, &self.oracle, self.scenario.all_known).await;
        }
    }

    /// While the feed is lost, nothing is at hand.
    async fn look_while_lost(&self, id: &AcsId) {
        // Held, so that it is not told to be live in between.
        let lost = self.lost.read().await;
        if *lost {
            assert!(self.cached.resolve_now(id).is_none(), "it was given out while the feed was lost");
        }
    }

    async fn act(&self, random: &mut Random) {
        self.store.watcher.look_at_the_clock();
        // What is kept has to get old, with few writes and purges.
        let only_reads = self.scenario.stale && random.below(4) > 0;
        let op = if only_reads { self.cast.read(random) } else { self.cast.act(random) };
        let is_write =
            matches!(op, Op::Create(..) | Op::Replace(..) | Op::ReplaceMany(_) | Op::Unlink(_) | Op::Erase(_));
        match random.below(24) {
            0 if self.scenario.news == News::AtOnce => self.turn_feed().await,
            1 if self.scenario.news == News::AtOnce => self.look_while_lost(&self.cast.ids[0]).await,
            0 if self.scenario.faults => self.source.faulty.fail_next(1, ErrorKind::Unavailable),
            1 if self.scenario.faults => self.source.faulty.lose_answers(1),
            4 | 5 if self.scenario.faults => self.source.panic_next(),
            // What is barred, as the outcome of its write is not known, is so no more.
            2 if self.scenario.faults => {
                self.clock.0.fetch_add(1 + random.below(3), Ordering::SeqCst);
                if self.scenario.stale {
                    self.source.faulty.fail_next(3, ErrorKind::Unavailable);
                }
            }
            3 => tokio::time::sleep(Duration::from_micros(random.below(STAY))).await,
            _ => {}
        }
        // The oracle takes what may have been erased before it expired for erased, so that erasures of guests must not fail.
        let must_work = self.scenario.faults && matches!(&op, Op::Erase(customer) if *customer == self.cast.guest);
        if must_work || is_write && random.below(3) == 0 {
            return self.write_elsewhere(&op).await;
        }
        // Of a write whose caller has left nobody knows how it ended.
        let leaves = !is_write && random.below(8) == 0;
        or_leave(run(&op, &self.cached, &self.oracle), leaves.then(|| random.below(8) as usize)).await;
    }

    /// What is there at the end, and the verdict.
    async fn end(&self) -> Result<(), String> {
        self.source.heal();
        self.read_everything().await;
        // Who joined a load that has panicked has been told by now.
        self.oracle.task_ended(LOADS);
        let mut there = self.there().await?;
        if there.iter().flatten().any(|customer| *customer == self.cast.guest) {
            tokio::time::sleep(Duration::from_micros(STAY)).await;
            there = self.there().await?;
        }
        for (id, _) in self.cast.ids.iter().zip(there).filter(|(_, customer)| customer.is_none()) {
            self.oracle.followed_absence(id, (u64::MAX, false));
        }
        self.read_everything().await;
        self.oracle.verdict().map(drop)
    }

    /// Whose each ACS ID is.
    async fn there(&self) -> Result<Vec<Option<CustomerId>>, String> {
        let answers = self.store.resolve_many(&self.cast.ids).await;
        let customers = answers.iter().map(|answer| match answer {
            Ok(found) => Ok(found.as_ref().map(|found| found.customer_id().clone())),
            Err(error) => Err(error.to_string()),
        });
        customers.collect()
    }

    async fn read_everything(&self) {
        self.store.watcher.look_at_the_clock();
        for id in &self.cast.ids {
            run(&Op::Read(id.clone()), &self.cached, &self.oracle).await;
        }
        for customer in self.cast.customers.iter().chain([&self.cast.guest]) {
            run(&Op::Page(customer.clone()), &self.cached, &self.oracle).await;
        }
    }
}

/// Runs one history, and says what the cache has done, and how many loads have panicked.
async fn history<S>(store: &S, number: u64, scenario: Scenario) -> Result<(CacheStats, u64), String>
where
    S: MappingStore + ChangeFeed + Clone + 'static,
{
    let world = Arc::new(World::new(store.clone(), number, scenario).await);
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            let mut random = Random(number * TASKS + task);
            for _ in 0..ACTS {
                world.act(&mut random).await;
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    world.end().await?;
    Ok((world.cached.stats(), world.source.panicked()))
}

/// Runs so many of each scenario, all of which have to be right, and in all of which together everything has happened that makes it hard.
async fn histories<S>(store: S, count: u64)
where
    S: MappingStore + ChangeFeed + Clone + 'static,
{
    let faults = Scenario { faults: true, ..BASE };
    let scenarios = [
        BASE,
        Scenario { news: News::Own, ..BASE },
        Scenario { news: News::AtOnce, ..BASE },
        faults,
        Scenario { stale: true, ..faults },
    ];
    let (mut hits, mut joined, mut refused, mut panicked, mut stale, mut refreshed) = (0, 0, 0, 0, 0, 0);
    for (n, scenario) in scenarios.into_iter().enumerate() {
        let mut failed = 0;
        for number in 0..count {
            let table = if number.is_multiple_of(2) { TableKind::Moka } else { TableKind::QuickCache };
            let scenario = Scenario { table, ..scenario };
            let number = n as u64 * count + number;
            let told = history(&store, number, scenario).await;
            let (stats, panics) = told.unwrap_or_else(|story| panic!("history {number}, {scenario:?}: {story}"));
            hits += stats.hits + stats.negative_hits;
            joined += stats.joined;
            refused += stats.refused_as_stale;
            stale += stats.served_stale;
            refreshed += stats.refreshed;
            panicked += panics;
            failed += stats.failed;
        }
        assert_eq!(failed > 0, scenario.faults, "{scenario:?}: {failed} failed");
    }
    let seen = [hits, joined, refused, panicked, stale, refreshed];
    assert!(!seen.contains(&0), "hits, joined, refused, panicked, stale, refreshed: {seen:?}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_memory_no_read_is_older_than_what_the_cache_knew() {
    histories(MemoryStore::new(), 80).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_sqlite_no_read_is_older_than_what_the_cache_knew() {
    let folder = tempfile::tempdir().unwrap();
    histories(SqliteOptions::file(folder.path().join("store.db")).open().await.unwrap(), 28).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_postgres_no_read_is_older_than_what_the_cache_knew() {
    let database = database(Kind::Postgres).await;
    histories(PostgresOptions::url(database.url()).open().await.unwrap(), 28).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_oracle_sees_that_a_cache_does_not_know_of_writes_that_go_past_it() {
    let store = MemoryStore::new();
    let scenario = Scenario { all_known: true, ..BASE };
    for number in 0..500 {
        if let Err(story) = history(&store, number, scenario).await {
            return assert!(story.contains("the answer may not be given"), "{story}");
        }
    }
    panic!("none of these histories was wrong");
}
