//! Random histories.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use acs_identity_core::{AcsId, Clock, CustomerId};
use shuttle::rand::{Rng, thread_rng};
use shuttle::{Config, Runner};

use super::operations::{Op, run};
use super::oracle::{Bounds, Oracle};
use super::restless::Restless;
use super::sync::{all_over, begin};
use super::world::{Faults, World};
use crate::ReadThrough;
use crate::sync::Guard;

/// What may happen in a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    /// Besides reads.
    pub(super) acts: &'static [Act],
    /// How many tasks, and how many acts of each, at most.
    pub(super) tasks: usize,
    pub(super) length: usize,
    pub(super) ids: usize,
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
    NewsOfAll,
}

pub(super) const BASE: Scenario = Scenario {
    acts: &[Act::Read],
    tasks: 4,
    length: 4,
    ids: 2,
    faults: Faults { down: 0, panics: 0, hangs: 0, unknown: 0 },
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
const PATIENCE: Duration = Duration::from_secs(10);
const WRITE_DEADLINE: Duration = Duration::from_secs(20);

fn id(n: usize) -> AcsId {
    format!("id{n}").parse().expect("an ID")
}

fn customer(n: usize) -> CustomerId {
    ["alice", "bob"][n].parse().expect("a customer")
}

/// Runs so many histories and stops at the first that goes wrong, or after a time; says how many there were, and its story.
pub(super) fn explore(scenario: Scenario, off: Option<Guard>, seed: u64, executions: usize) -> (usize, Option<String>) {
    let scheduler = Restless::new(seed, executions);
    let over = scheduler.over.clone();
    let found = Arc::new(Mutex::new(None));
    let wrong = found.clone();
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    let count = Runner::new(scheduler, config).run(move || {
        if let Err(story) = shuttle::future::block_on(history(scenario, off)) {
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
        patience: PATIENCE,
        write_deadline: WRITE_DEADLINE,
        timers: scenario.timers,
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
        .load_deadline(PATIENCE)
        .write_deadline(WRITE_DEADLINE)
        .batch_size(2)
        .batches_at_once(scenario.batches_at_once);
    if scenario.feed {
        oracle.deaf(true);
        options = options.feed(world.clone());
    }
    if scenario.stale {
        options = options.stale_if_error(STALE_FOR).soft_deadline(PATIENCE / 2);
    }
    if scenario.refresh {
        options = options.refresh_ahead(0.9);
    }
    let cached = options.build();
    for n in 0..scenario.ids {
        if thread_rng().gen_range(0..4) > 0 {
            world.foreign(&id(n), Some(&customer(thread_rng().gen_range(0..2))));
        }
    }
    let tasks: Vec<_> = (0..thread_rng().gen_range(2..=scenario.tasks))
        .map(|_| {
            let (cached, world, oracle) = (cached.clone(), world.clone(), oracle.clone());
            shuttle::future::spawn(async move {
                for _ in 0..thread_rng().gen_range(1..=scenario.length) {
                    act(&scenario, &cached, &world, &oracle).await;
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
async fn act(scenario: &Scenario, cached: &ReadThrough<World>, world: &World, oracle: &Oracle) {
    let mut random = thread_rng();
    let (one, other) = (id(random.gen_range(0..scenario.ids)), id(random.gen_range(0..scenario.ids)));
    let owner = customer(random.gen_range(0..2));
    let what = scenario.acts[random.gen_range(0..scenario.acts.len())];
    let op = match what {
        Act::Read => Op::Read(one),
        Act::ReadNow => Op::ReadNow(one),
        Act::Roster => Op::Roster(vec![one.clone(), other, one]),
        Act::Page => Op::Page(owner),
        Act::Create => Op::Create(one, owner),
        Act::Replace => Op::Replace(one, owner, None),
        Act::ReplaceForAWhile => Op::Replace(one, owner, Some(Duration::from_secs(30))),
        Act::Unlink => Op::Unlink(one),
        Act::Erase => Op::Erase(owner),
        Act::Purge => Op::Purge(one),
        Act::PurgeCustomer => Op::PurgeCustomer(owner),
        Act::PurgeAll => Op::PurgeAll,
        Act::Elsewhere => return world.foreign(&one, (random.gen_range(0..3) > 0).then_some(&owner)),
        Act::Wait => return world.pass([3, 15, 35, 110][random.gen_range(0..4)]),
        Act::Feed => return world.set_feed(random.gen_range(0..2) == 0),
        Act::NewsOfAll => return world.tell_all(),
    };
    let leaves = scenario.leave > 0 && random.gen_range(0..16) < scenario.leave;
    let mut patience = if leaves { random.gen_range(0..6) } else { usize::MAX };
    let mut running = pin!(run(&op, cached, oracle));
    // One who leaves drops the call at some point where it waits.
    std::future::poll_fn(|context| {
        if let Poll::Ready(()) = running.as_mut().poll(context) {
            return Poll::Ready(());
        }
        if patience == usize::MAX {
            return Poll::Pending;
        }
        if patience == 0 {
            return Poll::Ready(());
        }
        patience -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

mod tests {
    use super::*;

    use Act::*;

    const READS: Scenario = Scenario { acts: &[Read, Read, ReadNow, Roster, Page], ..BASE };
    const WRITES: Scenario = Scenario {
        acts: &[
            Read,
            Read,
            Read,
            ReadNow,
            Roster,
            Page,
            Page,
            Create,
            Replace,
            Replace,
            Unlink,
            Erase,
            Purge,
            PurgeCustomer,
            PurgeAll,
            Elsewhere,
            Elsewhere,
        ],
        ..BASE
    };
    const TIME: Scenario = Scenario {
        acts: &[Read, Read, ReadNow, Roster, Page, Replace, ReplaceForAWhile, Elsewhere, Elsewhere, Wait, Wait],
        ..BASE
    };
    const FEED: Scenario = Scenario {
        acts: &[Read, Read, ReadNow, Page, Roster, Replace, Erase, Elsewhere, Elsewhere, Feed, NewsOfAll],
        feed: true,
        ..BASE
    };
    const UNKNOWN: Scenario = Scenario {
        acts: &[Read, Read, ReadNow, Page, Roster, Create, Replace, Unlink, Erase, Wait, Wait],
        faults: Faults { unknown: 8, ..BASE.faults },
        ..BASE
    };

    fn check(scenario: Scenario) {
        let n: usize = std::env::var("N").map_or(1000, |n| n.parse().unwrap());
        let seed: u64 = std::env::var("SEED").map_or(1, |n| n.parse().unwrap());
        let started = Instant::now();
        let (count, wrong) = explore(scenario, None, seed, n);
        eprintln!("{count} in {:?}", started.elapsed());
        assert!(wrong.is_none(), "{}", wrong.unwrap());
    }

    #[test]
    fn reads() {
        check(READS);
    }
    #[test]
    fn reads_faulty() {
        check(Scenario { faults: Faults { down: 2, panics: 2, ..BASE.faults }, leave: 4, ..READS });
    }
    #[test]
    fn writes() {
        check(WRITES);
    }
    #[test]
    fn writes_faulty() {
        check(Scenario {
            faults: Faults { down: 1, panics: 1, ..BASE.faults },
            leave: 3,
            batches_at_once: 1,
            ..WRITES
        });
    }
    #[test]
    fn time() {
        check(TIME);
    }
    #[test]
    fn time_ahead() {
        check(Scenario { refresh: true, ..TIME });
    }
    #[test]
    fn feed() {
        check(FEED);
    }
    #[test]
    fn unknown() {
        check(UNKNOWN);
    }
    #[test]
    fn stale() {
        check(Scenario { stale: true, faults: Faults { down: 4, ..BASE.faults }, ..TIME });
    }
    #[test]
    fn stale_writes() {
        check(Scenario { stale: true, faults: Faults { down: 4, ..BASE.faults }, ..WRITES });
    }
    #[test]
    fn stale_feed() {
        check(Scenario { stale: true, faults: Faults { down: 4, ..BASE.faults }, ..FEED });
    }
    #[test]
    fn timers() {
        check(Scenario {
            stale: true,
            timers: true,
            faults: Faults { hangs: 2, down: 1, ..BASE.faults },
            leave: 2,
            ..UNKNOWN
        });
    }
}
