//! The other direction: customers' first pages are shared, bounded and spared as answers for ACS IDs are.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::{ReadThrough, ReadThroughBuilder};
use acs_identity_core::{Clock, Error, ErrorKind, MappingStore, MemoryStore, Page, PageRequest, Result};
use acs_identity_testkit::{Call, Counting, Faulty, Gated, Hold, ManualClock, Point};
use common::{RuntimeClock, Source, builder_for, customer, id, ids_of, link, on_runtime_clock, settle, until};
use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

type Store = Arc<Counting<Arc<Gated<Arc<Faulty<MemoryStore>>>>>>;

/// A cache over a store whose calls can be counted, held and failed.
struct World {
    cached: ReadThrough<Store>,
    store: Store,
    gate: Arc<Gated<Arc<Faulty<MemoryStore>>>>,
    faulty: Arc<Faulty<MemoryStore>>,
}

impl World {
    /// Bob has id0 to id4; each of a hundred other customers has one ID.
    async fn new(options: impl FnOnce(ReadThroughBuilder<Store>) -> ReadThroughBuilder<Store>) -> Self {
        Self::with_clock(Arc::new(RuntimeClock::new()), options).await
    }

    async fn with_clock(
        clock: Arc<dyn Clock>,
        options: impl FnOnce(ReadThroughBuilder<Store>) -> ReadThroughBuilder<Store>,
    ) -> Self {
        let memory = MemoryStore::with_clock(clock.clone());
        for n in 0..5 {
            link(&memory, &format!("id{n}"), "bob").await;
        }
        for n in 0..100 {
            link(&memory, &format!("other{n}"), &format!("customer{n}")).await;
        }
        let faulty = Arc::new(Faulty::new(memory));
        let gate = Arc::new(Gated::new(faulty.clone()));
        let store = Arc::new(Counting::new(gate.clone()));
        let cached = options(builder_for(store.clone()).clock(clock).jitter(0.0)).build();
        Self { cached, store, gate, faulty }
    }

    /// Asks for a customer's first page in a task of its own.
    fn asking(&self, of: &str, size: u32) -> JoinHandle<Result<usize>> {
        let (cached, of) = (self.cached.clone(), customer(of));
        let page = PageRequest::first(size).expect("a size");
        tokio::spawn(async move {
            let Page { items, .. } = cached.mappings_of(&of, page).await?;
            Ok(items.len())
        })
    }

    async fn ask(&self, of: &str, size: u32) -> Result<usize> {
        self.asking(of, size).await.expect("no panic")
    }

    fn calls(&self) -> u64 {
        self.store.calls(Call::MappingsOf)
    }

    /// Holds the next so many pages before the store is asked.
    fn hold(&self, pages: usize) -> Vec<Hold> {
        (0..pages).map(|_| self.gate.hold(Call::MappingsOf, Point::Before)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_questions_for_pages_of_three_sizes_are_three_loads() {
    let world = World::new(|options| options).await;
    let hold = world.hold(1);
    let asked: Vec<_> = (0..1000).map(|n| (n, world.asking("bob", [2, 3, 4][n % 3]))).collect();
    settle().await;
    assert_eq!(world.calls(), 1);
    drop(hold);
    for (n, answer) in asked {
        assert_eq!(answer.await.unwrap().unwrap(), [2, 3, 4][n % 3]);
    }
    assert_eq!((world.calls(), world.cached.customer_stats().loaded), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_load_of_another_size_that_is_complete_gets_its_answer() {
    let world = World::new(|options| options).await;
    let hold = world.hold(1);
    let first = world.asking("bob", 5);
    settle().await;
    let others = [6, 100, 1000].map(|size| world.asking("bob", size));
    settle().await;
    drop(hold);
    assert_eq!(first.await.unwrap().unwrap(), 5);
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), 5);
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_loads_of_another_size_waits_no_longer_than_the_loads_deadline() {
    let world = World::new(|options| options.load_deadline(10 * SECOND)).await;
    let holds = world.hold(2);
    let start = Instant::now();
    let first = world.asking("bob", 2);
    settle().await;
    let second = world.asking("bob", 3);
    sleep(6 * SECOND).await;
    let [first_hold, second_hold] = <[Hold; 2]>::try_from(holds).unwrap();
    first_hold.release();
    assert_eq!(first.await.unwrap().unwrap(), 2);
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < 10 * SECOND + SECOND / 10, "{:?}", start.elapsed());
    second_hold.release();
    settle().await;
    // It was its own load in the end, which is kept.
    assert_eq!((world.ask("bob", 3).await.unwrap(), world.calls()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn no_more_pages_are_loaded_at_once_than_calls_may_be_under_way() {
    let world = World::new(|options| options.batches_at_once(4)).await;
    let mut holds = world.hold(100);
    let asked: Vec<_> = (0..100).map(|n| world.asking(&format!("customer{n}"), 10)).collect();
    for done in 0..=96 {
        settle().await;
        assert_eq!(world.calls(), 4 + done, "as many as may be, as each that ends lets one in");
        holds.remove(0).release();
    }
    holds.clear();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap(), 1);
    }
    assert_eq!(world.calls(), 100);
}

#[tokio::test(start_paused = true)]
async fn pages_that_hang_let_others_in_after_the_loads_deadline() {
    let world = World::new(|options| options.batches_at_once(2).load_deadline(10 * SECOND)).await;
    let holds = world.hold(2);
    let hanging = [0, 1].map(|n| world.asking(&format!("customer{n}"), 10));
    sleep(SECOND).await;
    let waiting = world.asking("bob", 10);
    for answer in hanging {
        assert_eq!(answer.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(waiting.await.unwrap().unwrap(), 5);
    // And what they answer late is of use.
    drop(holds);
    settle().await;
    assert_eq!(world.calls(), 3);
    for n in 0..2 {
        assert_eq!(world.ask(&format!("customer{n}"), 10).await.unwrap(), 1);
    }
    assert_eq!(world.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn customers_whose_pages_always_hang_leave_the_others_half_of_the_calls_however_many_they_are() {
    for at_once in [2, 4] {
        let source = Arc::new(Source::open());
        let cached = on_runtime_clock(&source).batches_at_once(at_once).load_deadline(2 * SECOND).build();
        let page = async |of: &str| Ok(cached.mappings_of(&customer(of), PageRequest::default()).await?.items.len());
        let hanging: Vec<String> = (0..30).map(|n| format!("hang{n}")).collect();
        // Nobody knows them yet.
        for hang in &hanging {
            assert_eq!(page(hang).await.map_err(|error: Error| error.kind()), Err(ErrorKind::Timeout));
            assert_eq!(page(&hang.replace("hang", "beside")).await.ok(), Some(1));
        }
        for round in 0..100 {
            for hang in &hanging {
                let (cached, hang) = (cached.clone(), customer(hang));
                tokio::spawn(async move { cached.mappings_of(&hang, PageRequest::default()).await });
            }
            settle().await;
            let asked = Instant::now();
            assert_eq!(page(&format!("customer{round}")).await.ok(), Some(1));
            assert_eq!(asked.elapsed(), Duration::ZERO, "in round {round}");
            sleep(SECOND / 3).await;
        }
        let often = source.calls().iter().filter(|call| call[0].starts_with("hang")).count();
        assert!(often > hanging.len() + at_once, "they are still asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn a_customer_whose_page_hangs_takes_no_call_for_each_piece_of_news() {
    let source = Arc::new(Source::open());
    let cached = on_runtime_clock(&source).batches_at_once(4).load_deadline(2 * SECOND).build();
    for round in 0..200 {
        cached.purge(&id("stranger"));
        tokio::spawn({
            let cached = cached.clone();
            async move { cached.mappings_of(&customer("hang"), PageRequest::default()).await }
        });
        settle().await;
        let asked = Instant::now();
        assert_eq!(ids_of(&cached, &format!("customer{round}")).await.len(), 1);
        assert_eq!(asked.elapsed(), Duration::ZERO, "in round {round}");
        sleep(SECOND / 20).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_for_the_loads_deadline_is_not_asked_for_any_more() {
    let world = World::new(|options| options.batches_at_once(1).load_deadline(10 * SECOND)).await;
    let hold = world.hold(100);
    let asked: Vec<_> = (0..100).map(|n| world.asking(&format!("customer{n}"), 10)).collect();
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    drop(hold);
    sleep(30 * SECOND).await;
    assert!(world.calls() <= 2, "{} pages were loaded for nobody", world.calls());
    assert_eq!(world.ask("bob", 10).await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_opens_the_breaker_after_one_deadline() {
    let world = World::new(|options| options.batches_at_once(5).load_deadline(10 * SECOND)).await;
    let _holds = world.hold(5);
    let asked: Vec<_> = (0..5).map(|n| world.asking(&format!("customer{n}"), 10)).collect();
    sleep(9 * SECOND).await;
    assert!(!world.cached.stats().breaker_open);
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    settle().await;
    assert!(world.cached.stats().breaker_open);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_denied_is_a_source_that_is_there() {
    let world = World::new(|options| options).await;
    for _ in 0..3 {
        world.faulty.fail_next(4, ErrorKind::Unavailable);
        for n in 0..4 {
            world.ask(&format!("customer{n}"), 10).await.unwrap_err();
        }
        world.faulty.fail_next(1, ErrorKind::Denied);
        assert_eq!(world.ask("bob", 10).await.unwrap_err().kind(), ErrorKind::Denied);
        assert!(!world.cached.stats().breaker_open);
    }
}

#[test]
fn pages_on_a_runtime_that_stands_still_do_not_keep_those_of_others_out() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (still, driven) = (runtime(), runtime());
    let clock = ManualClock::new();
    let options = |options: ReadThroughBuilder<Store>| options.batches_at_once(2).load_deadline(10 * SECOND);
    let world = still.block_on(World::with_clock(Arc::new(clock.clone()), options));
    let _holds = world.hold(2);
    let _asked = still.block_on(async {
        let asked = [0, 1].map(|n| world.asking(&format!("customer{n}"), 10));
        until(|| world.calls() >= 2).await;
        asked
    });
    clock.advance(11 * SECOND);
    assert_eq!(driven.block_on(world.ask("bob", 10)).unwrap(), 5);
}

#[test]
fn those_in_line_on_a_runtime_that_stands_still_hold_up_nobody() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (still, driven) = (runtime(), runtime());
    let clock = ManualClock::new();
    let options = |options: ReadThroughBuilder<Store>| options.batches_at_once(1).load_deadline(10 * SECOND);
    let world = still.block_on(World::with_clock(Arc::new(clock.clone()), options));
    let _holds = world.hold(1);
    let in_line: Vec<_> = still.block_on(async {
        let asked = (0..10).map(|n| world.asking(&format!("customer{n}"), 10)).collect();
        until(|| world.cached.customer_stats().misses >= 10).await;
        asked
    });
    clock.advance(11 * SECOND);
    for _ in 0..2 {
        assert_eq!(driven.block_on(world.ask("bob", 10)).unwrap(), 5);
    }
    // Those who still waited were answered before.
    assert_eq!(world.calls(), 11);
    drop(in_line);
}

#[tokio::test(start_paused = true)]
async fn pages_are_loaded_in_the_order_in_which_they_were_asked_for() {
    let source = Arc::new(Source::held());
    let cached = on_runtime_clock(&source).batches_at_once(1).build();
    let customers: Vec<String> = (0..10).map(|n| format!("customer{n}")).collect();
    let mut asked = Vec::new();
    for of in &customers {
        let (cached, of) = (cached.clone(), customer(of));
        asked.push(tokio::spawn(async move { cached.mappings_of(&of, PageRequest::default()).await }));
        settle().await;
    }
    // Also those that nobody waits for any more, as long as they are within their deadline.
    asked.remove(3).abort();
    source.let_through(10);
    assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(source.calls().concat(), customers);
}

#[tokio::test(start_paused = true)]
async fn a_link_through_the_cache_is_on_every_page_whatever_its_size() {
    let world = World::new(|options| options).await;
    let hold = world.hold(1);
    let first = world.asking("bob", 2);
    settle().await;
    let second = world.asking("bob", 10);
    settle().await;
    link(&world.cached, "id9", "bob").await;
    drop(hold);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    for size in [10, 2, 10] {
        assert_eq!(world.ask("bob", size).await.unwrap(), 6.min(size as usize));
    }
}
