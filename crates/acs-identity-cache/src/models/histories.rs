//! Random histories.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acs_identity_core::{AcsId, Clock, CustomerId};
use shuttle::rand::{Rng, thread_rng};
use shuttle::{Config, Runner};

use super::operations::{Op, or_leave, run};
use super::oracle::{Bounds, Oracle};
use super::restless::Restless;
use super::sync::{all_over, begin};
use super::world::{Faults, World};
use crate::ReadThrough;
use crate::sync::Guard;

/// What may happen in a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    /// Besides the reads at the end.
    pub(super) acts: &'static [Act],
    /// Whether one task reads, and does nothing else, and the others do the rest.
    pub(super) one_reader: bool,
    /// How many tasks, and how many acts of each, at most.
    pub(super) tasks: usize,
    pub(super) length: usize,
    pub(super) ids: usize,
    /// How many seconds pass at a time.
    pub(super) waits: &'static [u64],
    pub(super) faults: Faults,
    pub(super) feed: bool,
    pub(super) timers: bool,
    pub(super) stale: bool,
    pub(super) refresh: bool,
    /// How many callers of 16 leave.
    pub(super) leave: u32,
    pub(super) batches_at_once: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Read,
    ReadNow,
    Roster,
    Page,
    Create,
    Replace,
    ReplaceForAWhile,
    ReplaceMany,
    Unlink,
    Erase,
    Purge,
    PurgeCustomer,
    PurgeAll,
    /// A write by another process.
    Elsewhere,
    /// Time passes.
    Wait,
    Feed,
    FeedEnds,
    NewsOfAll,
}

pub(super) const BASE: Scenario = Scenario {
    acts: &[Act::Read],
    one_reader: false,
    tasks: 4,
    length: 4,
    ids: 2,
    waits: &[3, 15, 35, 110],
    faults: Faults { down: 0, panics: 0, hangs: 0, unknown: 0, stale: 0, slow: 8 },
    feed: false,
    timers: false,
    stale: false,
    refresh: false,
    leave: 0,
    batches_at_once: 2,
};

const LIFETIME: Duration = Duration::from_secs(100);
const ABSENT_LIFETIME: Duration = Duration::from_secs(40);
const STALE_FOR: Duration = Duration::from_secs(200);
const LOAD_DEADLINE: Duration = Duration::from_secs(10);
const WRITE_DEADLINE: Duration = Duration::from_secs(20);

fn id(n: usize) -> AcsId {
    format!("id{n}").parse().expect("an ID")
}

fn customer(n: usize) -> CustomerId {
    ["alice", "bob"][n].parse().expect("a customer")
}

/// Runs so many histories and stops at the first that goes wrong, or after a time; says how many there were, and its story.
pub(super) fn explore(scenario: Scenario, off: Option<Guard>, seed: u64, executions: usize) -> (usize, Option<String>) {
    explore_any(seed, executions, move || shuttle::future::block_on(history(scenario, off)))
}

/// The same of histories of any sort.
pub(super) fn explore_any(
    seed: u64,
    executions: usize,
    history: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> (usize, Option<String>) {
    let scheduler = Restless::new(seed, executions);
    let over = scheduler.over.clone();
    let found = Arc::new(Mutex::new(None));
    let wrong = found.clone();
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    let count = Runner::new(scheduler, config).run(move || {
        if let Err(story) = history() {
            *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(story);
            over.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    (count, found)
}

async fn history(scenario: Scenario, off: Option<Guard>) -> Result<(), String> {
    let oracle = Arc::new(Oracle::new(Bounds {
        lifetime: LIFETIME,
        absent_lifetime: ABSENT_LIFETIME,
        stale_for: STALE_FOR,
        load_deadline: LOAD_DEADLINE,
        write_deadline: WRITE_DEADLINE,
        timers: scenario.timers,
        stale_source: scenario.faults.stale > 0,
        one_load: scenario.acts.iter().all(|act| matches!(act, Act::Read | Act::ReadNow | Act::Roster | Act::Page)),
    }));
    let told = oracle.clone();
    begin(off, scenario.timers, move |task| told.task_ended(task));
    let world = World::new(oracle.clone(), scenario.faults, WRITE_DEADLINE);
    let clock: Arc<dyn Clock> = Arc::new(world.clone());
    let mut options = ReadThrough::builder(world.clone())
        .clock(clock)
        .jitter(0.0)
        .lifetime(LIFETIME)
        .absent_lifetime(ABSENT_LIFETIME)
        .load_deadline(LOAD_DEADLINE)
        .write_deadline(WRITE_DEADLINE)
        .batch_size(2)
        .batches_at_once(scenario.batches_at_once);
    if scenario.feed {
        oracle.deaf(true);
        options = options.feed(world.clone());
    }
    if scenario.stale {
        options = options.stale_if_error(STALE_FOR).soft_deadline(LOAD_DEADLINE / 2);
    }
    if scenario.refresh {
        options = options.refresh_ahead(0.9);
    }
    // Both tables, in turn.
    #[cfg(feature = "quick-cache")]
    if thread_rng().gen_range(0..2) == 0 {
        options = options.table(crate::TableKind::QuickCache);
    }
    let cached = options.build();
    for n in 0..scenario.ids {
        if thread_rng().gen_range(0..4) > 0 {
            world.foreign(&id(n), Some(&customer(thread_rng().gen_range(0..2))));
        }
    }
    let tasks: Vec<_> = (0..thread_rng().gen_range(2..=scenario.tasks))
        .map(|task| {
            let acts = if scenario.one_reader && task == 0 { &[Act::Read] } else { scenario.acts };
            let (cached, world, oracle) = (cached.clone(), world.clone(), oracle.clone());
            shuttle::future::spawn(async move {
                for _ in 0..thread_rng().gen_range(1..=scenario.length) {
                    act(&scenario, acts, &cached, &world, &oracle).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(|_| "a caller has died")?;
    }
    // Whatever was kept last is seen twice.
    for _ in 0..2 {
        for n in 0..scenario.ids {
            run(&Op::Read(id(n)), &cached, &oracle).await;
        }
        for n in 0..2 {
            run(&Op::Page(customer(n)), &cached, &oracle).await;
        }
    }
    drop(cached);
    all_over().await;
    oracle.verdict().map(drop)
}

/// Does something at random.
async fn act(scenario: &Scenario, acts: &[Act], cached: &ReadThrough<World>, world: &World, oracle: &Oracle) {
    let mut random = thread_rng();
    let (one, other) = (id(random.gen_range(0..scenario.ids)), id(random.gen_range(0..scenario.ids)));
    let owner = customer(random.gen_range(0..2));
    let what = acts[random.gen_range(0..acts.len())];
    let op = match what {
        Act::Read => Op::Read(one),
        Act::ReadNow => Op::ReadNow(one),
        Act::Roster => Op::Roster(vec![one.clone(), other, one]),
        Act::Page => Op::Page(owner),
        Act::Create => Op::Create(one, owner),
        Act::Replace => Op::Replace(one, owner, None),
        Act::ReplaceForAWhile => Op::Replace(one, owner, Some(Duration::from_secs(5))),
        Act::ReplaceMany => Op::ReplaceMany((0..scenario.ids).map(|n| (id(n), owner.clone())).collect()),
        Act::Unlink => Op::Unlink(one),
        Act::Erase => Op::Erase(owner),
        Act::Purge => Op::Purge(one),
        Act::PurgeCustomer => Op::PurgeCustomer(owner),
        Act::PurgeAll => Op::PurgeAll,
        Act::Elsewhere => return world.foreign(&one, (random.gen_range(0..3) > 0).then_some(&owner)),
        Act::Wait => return world.pass(scenario.waits[random.gen_range(0..scenario.waits.len())]),
        Act::Feed => return world.set_feed(random.gen_range(0..2) == 0),
        Act::FeedEnds => return world.end_feed(),
        Act::NewsOfAll => return world.tell_all(),
    };
    let leaves = scenario.leave > 0 && random.gen_range(0..16) < scenario.leave;
    // One who leaves drops the call at some point where it waits.
    let looks = leaves.then(|| random.gen_range(0..6));
    or_leave(run(&op, cached, oracle), looks).await;
}
