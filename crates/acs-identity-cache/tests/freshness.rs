//! How answers are renewed before their end, and what is given out when the source does not answer.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::{ReadThrough, ReadThroughBuilder};
use acs_identity_core::{
    Change, ErrorKind, Expect, IdentityMap, Link, LostReason, MappingStore, MemoryStore, PageRequest, Resolver,
    Revision,
};
use acs_identity_testkit::{Call, Counting, Faulty, Gated, ManualFeed, Point};
use common::{
    RuntimeClock, Source, age, asking, builder_for, customer, id, ids, ids_of, link, on_runtime_clock, said, settle,
    who,
};
use tokio::time::{Instant, sleep, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

/// With answers that live a hundred seconds, and are renewed in the last twenty.
fn renewing(source: &Arc<Source>) -> ReadThrough<Arc<Source>> {
    on_runtime_clock(source).refresh_ahead(0.2).build()
}

/// With answers that live a hundred seconds, and may be given out for fifty more.
fn lenient(source: &Arc<Source>) -> ReadThrough<Arc<Source>> {
    on_runtime_clock(source).stale_if_error(50 * SECOND).build()
}

/// The number of the call of the source from which the stored answer is.
fn call_of<R: Resolver + 'static>(cached: &ReadThrough<R>, acs_id: &str) -> Option<u64> {
    cached.resolve_now(&id(acs_id)).map(|found| found.and_then(|found| found.revision()).map_or(0, Revision::get))
}

#[tokio::test(start_paused = true)]
async fn a_hit_in_the_last_part_of_a_lifetime_renews_the_answer_once_and_waits_for_nothing() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    who(&cached, "id1").await;
    sleep(80 * SECOND).await;
    assert_eq!(call_of(&cached, "id1"), Some(1));
    settle().await;
    assert_eq!(call_of(&cached, "id1"), Some(1));
    source.hold();
    settle().await;
    assert_eq!((source.count(), cached.stats().refreshed), (2, 1), "a hit in the last part has it loaded");
    for _ in 0..5 {
        assert_eq!(call_of(&cached, "id1"), Some(1), "meanwhile the old answer is given out");
    }
    source.let_through(1);
    settle().await;
    assert_eq!(call_of(&cached, "id1"), Some(2));
    assert_eq!((source.count(), cached.stats().refreshed, cached.stats().misses), (2, 1, 1));
    // The new one has a whole lifetime.
    sleep(79 * SECOND).await;
    assert_eq!((call_of(&cached, "id1"), source.count()), (Some(2), 2));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_not_renewed() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    who(&cached, "id1").await;
    sleep(99 * SECOND).await;
    assert_eq!(source.count(), 1);
    sleep(SECOND).await;
    assert_eq!(call_of(&cached, "id1"), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_renewed_whichever_way_it_is_asked_for() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    let roster = ids(&["id1", "id2", "id3"]);
    cached.resolve_many(&roster).await;
    let map = IdentityMap::new(cached.clone());
    for ask in 0..3 {
        sleep(90 * SECOND).await;
        match ask {
            0 => drop(map.resolve_many(&roster).await),
            1 => drop(cached.resolve_many(&roster).await),
            _ => {
                for id in &roster {
                    cached.resolve(id).await.unwrap();
                }
            }
        }
        settle().await;
        assert_eq!(cached.stats().refreshed, 3 * (ask + 1));
    }
    // What a roster has found due goes in one call.
    assert_eq!(source.sizes()[..3], [3, 3, 3]);
    assert_eq!(cached.stats().misses, 3);
}

#[tokio::test(start_paused = true)]
async fn a_customers_page_is_renewed_ahead_too() {
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Counting::new(MemoryStore::with_clock(clock.clone())));
    let builder = builder_for(store.clone()).clock(clock).jitter(0.0).lifetime(100 * SECOND);
    let cached = builder.refresh_ahead(0.2).build();
    link(&cached, "id1", "bob").await;
    ids_of(&cached, "bob").await;
    sleep(90 * SECOND).await;
    for _ in 0..2 {
        assert_eq!(ids_of(&cached, "bob").await, ["id1"]);
        settle().await;
    }
    assert_eq!((store.calls(Call::MappingsOf), cached.customer_stats().refreshed), (2, 1));
    sleep(50 * SECOND).await;
    assert_eq!(ids_of(&cached, "bob").await, ["id1"]);
    assert_eq!((store.calls(Call::MappingsOf), cached.customer_stats().misses), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_renewed_stays_until_its_end() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    who(&cached, "id1").await;
    source.fail(ErrorKind::Unavailable);
    sleep(80 * SECOND).await;
    for second in 0..20 {
        assert_eq!(call_of(&cached, "id1"), Some(1), "{second} seconds before its end");
        sleep(SECOND).await;
    }
    assert_eq!(call_of(&cached, "id1"), None);
    assert!(source.count() > 2, "it was tried again");
    source.heal();
    sleep(SECOND).await;
    assert_eq!(who(&cached, "id1").await.as_deref(), Some("id1"));
}

#[tokio::test(start_paused = true)]
async fn after_a_renewal_that_failed_the_next_one_waits_however_many_hits_there_are() {
    // A tenth of the last part of the lifetime, and a second at most.
    for (lifetime, tries) in [(5 * SECOND, 10), (1000 * SECOND, 200)] {
        for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt] {
            let source = Arc::new(Source::open());
            let cached = on_runtime_clock(&source).refresh_ahead(0.2).lifetime(lifetime).build();
            who(&cached, "id1").await;
            source.fail(kind);
            let end = Instant::now() + lifetime;
            sleep(lifetime * 4 / 5).await;
            while Instant::now() < end {
                assert_eq!(call_of(&cached, "id1"), Some(1));
                sleep(Duration::from_millis(5)).await;
            }
            let tried = source.count() - 1;
            assert!(tried <= tries && tried >= tries * 9 / 10, "{tried} times in the last part of {lifetime:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_holds_up_neither_those_of_others_nor_who_waits() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    cached.resolve_many(&ids(&["id1", "id2"])).await;
    sleep(85 * SECOND).await;
    source.fail(ErrorKind::Unavailable);
    call_of(&cached, "id1");
    settle().await;
    source.heal();
    assert_eq!((call_of(&cached, "id1"), call_of(&cached, "id2")), (Some(1), Some(1)));
    settle().await;
    assert_eq!((call_of(&cached, "id1"), call_of(&cached, "id2")), (Some(1), Some(3)));
    cached.purge(&id("id1"));
    assert_eq!((who(&cached, "id1").await.as_deref(), call_of(&cached, "id1")), (Some("id1"), Some(4)));
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_spared_a_hit_does_not_try_to_renew() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    cached.resolve_many(&ids(&["id1"])).await;
    source.fail(ErrorKind::Unavailable);
    for n in 0..5 {
        cached.resolve(&id(&format!("other{n}"))).await.unwrap_err();
    }
    sleep(90 * SECOND).await;
    // The probe fails, and then nobody is let through for half a second at least.
    cached.resolve(&id("probe")).await.unwrap_err();
    let before = (source.count(), cached.stats());
    for _ in 0..10 {
        assert_eq!(call_of(&cached, "id1"), Some(1));
    }
    settle().await;
    let after = cached.stats();
    assert_eq!((source.count(), after.refreshed, after.refused, after.failed), {
        let (calls, stats) = before;
        (calls, stats.refreshed, stats.refused, stats.failed)
    });
}

#[tokio::test(start_paused = true)]
async fn an_absent_answer_is_renewed_ahead_too() {
    let source = Arc::new(Source::open());
    let cached = renewing(&source);
    who(&cached, "unknown").await;
    sleep(90 * SECOND).await;
    assert_eq!(call_of(&cached, "unknown"), Some(0));
    settle().await;
    sleep(50 * SECOND).await;
    assert_eq!(call_of(&cached, "unknown"), Some(0));
    assert_eq!(source.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_renewed_while_its_id_is_linked_anew_is_not_kept() {
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Gated::new(MemoryStore::with_clock(clock.clone())));
    let builder = builder_for(store.clone()).clock(clock).jitter(0.0).lifetime(100 * SECOND);
    let cached = builder.refresh_ahead(0.2).build();
    link(&cached, "id1", "alice").await;
    who(&cached, "id1").await;
    sleep(90 * SECOND).await;
    let hold = store.hold(Call::Resolve, Point::After);
    cached.resolve_now(&id("id1"));
    hold.reached().await;
    link(&cached, "id1", "bob").await;
    hold.release();
    settle().await;
    assert!(cached.resolve_now(&id("id1")).is_none());
    assert_eq!(who(&cached, "id1").await.as_deref(), Some("bob"));
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_to_a_cache_gives_out_nothing_stale() {
    let source = Arc::new(Source::open());
    let cached = on_runtime_clock(&source).build();
    who(&cached, "id1").await;
    source.fail(ErrorKind::Unavailable);
    sleep(100 * SECOND).await;
    assert_eq!(said(&cached.resolve(&id("id1")).await), Err(ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_given_out_for_as_long_as_allowed_and_says_how_old_it_is() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        let source = Arc::new(Source::open());
        let cached = lenient(&source);
        let start = Instant::now();
        who(&cached, "id1").await;
        source.fail(kind);
        sleep(99 * SECOND).await;
        assert_eq!(age(&cached.resolve(&id("id1")).await), None, "it is fresh as long as it lives");
        for elapsed in [100, 120, 149].map(Duration::from_secs) {
            sleep_until(start + elapsed).await;
            let answer = cached.resolve(&id("id1")).await;
            assert_eq!((said(&answer), age(&answer)), (Ok(Some("id1")), Some(start.elapsed())));
            let roster = cached.resolve_many(&ids(&["id1", "id2", "id1"])).await;
            assert!(roster[1].is_err(), "nothing is known of it");
            assert_eq!((age(&roster[0]), age(&roster[2])), (age(&answer), age(&answer)));
        }
        assert_eq!(cached.stats().served_stale, 6);
        assert!(cached.resolve_now(&id("id1")).is_none(), "it is not at hand: the source has to be asked");
        sleep_until(start + 150 * SECOND).await;
        assert!(cached.resolve(&id("id1")).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_defect_is_not_covered_by_a_stale_answer() {
    let source = Arc::new(Source::open());
    let cached = lenient(&source);
    who(&cached, "id1").await;
    sleep(120 * SECOND).await;
    for kind in [ErrorKind::Corrupt, ErrorKind::Internal, ErrorKind::Denied] {
        source.fail(kind);
        assert_eq!(said(&cached.resolve(&id("id1")).await), Err(kind));
    }
    source.fail(ErrorKind::Unavailable);
    assert_eq!(said(&cached.resolve(&id("id1")).await), Ok(Some("id1")));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_never_given_out_after_the_end_of_its_mapping() {
    let source = Arc::new(Source::open());
    let builder = on_runtime_clock(&source).stale_if_error(50 * SECOND).lifetime(20 * SECOND);
    let cached = builder.build();
    who(&cached, "brief").await;
    source.fail(ErrorKind::Unavailable);
    sleep(29 * SECOND).await;
    let answer = cached.resolve(&id("brief")).await;
    assert_eq!(age(&answer), Some(29 * SECOND));
    assert_eq!(answer.unwrap().unwrap().remaining(), Some(SECOND));
    sleep(SECOND).await;
    assert_eq!(said(&cached.resolve(&id("brief")).await), Err(ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn an_absent_answer_is_never_given_out_stale_nor_the_one_before_it() {
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Faulty::new(MemoryStore::with_clock(clock.clone())));
    let builder = builder_for(store.clone()).clock(clock).jitter(0.0).lifetime(100 * SECOND);
    let cached = builder.absent_lifetime(SECOND).stale_if_error(1000 * SECOND).build();
    link(store.as_ref(), "id1", "bob").await;
    who(&cached, "id1").await;
    // Somebody else unlinks it, and the cache sees that when the lifetime is over.
    store.unlink(&id("id1"), Expect::Any).await.unwrap();
    sleep(100 * SECOND).await;
    assert_eq!(who(&cached, "id1").await, None);
    sleep(SECOND).await;
    store.fail_all(ErrorKind::Unavailable);
    assert_eq!(said(&cached.resolve(&id("id1")).await), Err(ErrorKind::Unavailable));
    assert_eq!(cached.stats().served_stale, 0);
}

#[tokio::test(start_paused = true)]
async fn a_customers_page_is_never_given_out_stale() {
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Faulty::new(MemoryStore::with_clock(clock.clone())));
    let cached = builder_for(store.clone()).clock(clock).stale_if_error(1000 * SECOND).build();
    link(&cached, "id1", "bob").await;
    ids_of(&cached, "bob").await;
    store.fail_all(ErrorKind::Unavailable);
    assert_eq!(ids_of(&cached, "bob").await, ["id1"]);
    sleep(300 * SECOND).await;
    let error = cached.mappings_of(&customer("bob"), PageRequest::default()).await.unwrap_err();
    assert_eq!((error.kind(), cached.customer_stats().served_stale), (ErrorKind::Unavailable, 0));
}

/// A cache with an answer that may be given out stale, whose source then stops to answer.
struct Outage {
    cached: ReadThrough<Arc<Faulty<MemoryStore>>>,
    feed: ManualFeed,
}

impl Outage {
    /// Of id1, which is Bob's.
    async fn prepare() -> Self {
        let clock = Arc::new(RuntimeClock::new());
        let store = Arc::new(Faulty::new(MemoryStore::with_clock(clock.clone())));
        link(store.as_ref(), "id1", "bob").await;
        let feed = ManualFeed::new();
        let options = |builder: ReadThroughBuilder<_>| builder.clock(clock).jitter(0.0).stale_if_error(1000 * SECOND);
        let cached = options(builder_for(store)).feed(feed.clone()).build();
        who(&cached, "id1").await;
        feed.subscribed(1).await;
        feed.tell(Change::Live).await;
        who(&cached, "id1").await;
        assert!(cached.resolve_now(&id("id1")).is_some());
        Self { cached, feed }
    }

    /// Whether it is given out, now and when its lifetime is over.
    async fn is_served(&self) -> bool {
        self.cached.inner().fail_all(ErrorKind::Unavailable);
        let now = self.cached.resolve(&id("id1")).await.is_ok();
        sleep(400 * SECOND).await;
        let later = self.cached.resolve(&id("id1")).await.is_ok();
        assert_eq!(now, later);
        now
    }
}

/// Whether the answer is given out after this.
async fn is_served_after(change: impl AsyncFn(&ReadThrough<Arc<Faulty<MemoryStore>>>)) -> bool {
    let outage = Outage::prepare().await;
    change(&outage.cached).await;
    outage.is_served().await
}

#[tokio::test(start_paused = true)]
async fn what_this_process_has_changed_is_never_given_out_stale() {
    assert!(!is_served_after(async |cached| link(cached, "id1", "alice").await).await);
    let relink = || [Link::replace(id("id1"), customer("alice"))];
    assert!(!is_served_after(async |cached| assert!(cached.link_many(&relink()).await[0].is_ok())).await);
    assert!(!is_served_after(async |cached| drop(cached.unlink(&id("id1"), Expect::Any).await.unwrap())).await);
    assert!(
        !is_served_after(async |cached| assert_eq!(cached.unlink_customer(&customer("bob")).await.unwrap(), 1)).await
    );
    assert!(!is_served_after(async |cached| cached.purge(&id("id1"))).await);
    assert!(!is_served_after(async |cached| cached.purge_customer(&customer("bob"))).await);
    assert!(!is_served_after(async |cached| cached.purge_all()).await);
    // But something else's change is none of it.
    assert!(is_served_after(async |cached| link(cached, "id2", "carol").await).await);
}

#[tokio::test(start_paused = true)]
async fn what_this_process_may_have_changed_is_never_given_out_stale() {
    let lost = |cached: &ReadThrough<Arc<Faulty<MemoryStore>>>| cached.inner().lose_answers(1);
    let unlink = async |cached: &ReadThrough<_>| {
        lost(cached);
        cached.unlink(&id("id1"), Expect::Any).await.unwrap_err();
    };
    assert!(!is_served_after(unlink).await);
    let erase = async |cached: &ReadThrough<_>| {
        lost(cached);
        cached.unlink_customer(&customer("bob")).await.unwrap_err();
    };
    assert!(!is_served_after(erase).await);
}

#[tokio::test(start_paused = true)]
async fn what_the_feed_says_to_have_changed_is_never_given_out_stale() {
    let newer = Some(Revision::MAX);
    for (change, is_served) in [
        (Change::Acs(id("id1"), None), false),
        (Change::Acs(id("id1"), newer), false),
        (Change::Customer(customer("bob")), false),
        (Change::All, false),
        (Change::Acs(id("id2"), newer), true),
        (Change::Customer(customer("carol")), true),
        // What others change meanwhile is what one lets oneself in for.
        (Change::Lost(LostReason::Disconnected), true),
        (Change::Live, true),
    ] {
        let outage = Outage::prepare().await;
        outage.feed.tell(change.clone()).await;
        assert_eq!(outage.is_served().await, is_served, "after {change:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_everything_was_forgotten_is_never_given_out_stale_either() {
    let source = Arc::new(Source::held());
    let cached = lenient(&source);
    let before = asking(&cached, "id1");
    settle().await;
    cached.purge_all();
    source.let_through(1);
    assert_eq!(said(&before.await.unwrap()), Ok(Some("id1")));
    assert_eq!(cached.stats().refused_as_stale, 1);
    source.fail(ErrorKind::Unavailable);
    source.let_through(1);
    assert_eq!(said(&cached.resolve(&id("id1")).await), Err(ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_was_known_before_an_answer_that_was_not_kept_is_never_given_out_stale() {
    let clock = Arc::new(RuntimeClock::new());
    let faulty = Arc::new(Faulty::new(MemoryStore::with_clock(clock.clone())));
    let store = Arc::new(Gated::new(faulty.clone()));
    let cached = builder_for(store.clone()).clock(clock).stale_if_error(1000 * SECOND).build();
    link(faulty.as_ref(), "id1", "alice").await;
    who(&cached, "id1").await;
    sleep(400 * SECOND).await;
    // Somebody else links it to Bob, of whom nothing is kept while another ID is linked to him here.
    link(faulty.as_ref(), "id1", "bob").await;
    let hold = store.hold(Call::Link, Point::Before);
    let writing = tokio::spawn({
        let cached = cached.clone();
        async move { link(&cached, "id9", "bob").await }
    });
    hold.reached().await;
    assert_eq!(who(&cached, "id1").await.as_deref(), Some("bob"));
    assert_eq!(cached.stats().refused_as_stale, 1);
    hold.release();
    writing.await.unwrap();
    faulty.fail_all(ErrorKind::Unavailable);
    assert_eq!(said(&cached.resolve(&id("id1")).await), Err(ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_its_source_says_to_be_stale_is_not_made_fresh_by_a_cache() {
    let source = Arc::new(Source::open());
    let clock = Arc::new(RuntimeClock::new());
    let inner = lenient(&source);
    let outer = builder_for(inner.clone()).clock(clock).lifetime(10 * SECOND).stale_if_error(SECOND).build();
    assert_eq!(age(&outer.resolve(&id("id1")).await), None);
    source.fail(ErrorKind::Unavailable);
    sleep(120 * SECOND).await;
    for times in 1..=2 {
        let answer = outer.resolve(&id("id1")).await;
        assert_eq!(age(&answer), Some(120 * SECOND));
        assert!(outer.resolve_now(&id("id1")).is_none());
        let (inner, outer) = (inner.stats(), outer.stats());
        assert_eq!((inner.served_stale, outer.refused_as_stale, outer.served_stale), (times, times, 0));
    }
    sleep(30 * SECOND).await;
    assert_eq!(said(&outer.resolve(&id("id1")).await), Err(ErrorKind::Unavailable), "it is not given out any longer");
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_covered_by_a_stale_answer_after_the_soft_deadline_and_its_own_is_kept() {
    let source = Arc::new(Source::open());
    let builder = on_runtime_clock(&source).stale_if_error(50 * SECOND).load_deadline(10 * SECOND);
    let cached = builder.soft_deadline(2 * SECOND).build();
    who(&cached, "id1").await;
    source.hold();
    sleep(100 * SECOND).await;
    let asked = Instant::now();
    let known = id("id1");
    let (answer, roster, fresh) = tokio::join!(
        cached.resolve(&known),
        async { cached.resolve_many(&ids(&["id1"])).await[0].clone() },
        // Of this one nothing is known, so its caller waits on.
        async {
            sleep(3 * SECOND).await;
            source.let_through(9);
            cached.resolve(&id("id2")).await
        }
    );
    assert_eq!((age(&answer), age(&roster), age(&fresh)), (Some(102 * SECOND), Some(102 * SECOND), None));
    assert_eq!((asked.elapsed(), cached.stats().served_stale), (3 * SECOND, 2));
    // The load was let through a second after it had been given up.
    assert_eq!(call_of(&cached, "id1"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn the_soft_deadline_is_none_where_nothing_is_known() {
    let source = Arc::new(Source::held());
    let builder = on_runtime_clock(&source).stale_if_error(50 * SECOND).load_deadline(10 * SECOND);
    let cached = builder.soft_deadline(2 * SECOND).build();
    let asked = Instant::now();
    assert_eq!(said(&cached.resolve(&id("id1")).await), Err(ErrorKind::Timeout));
    assert_eq!(asked.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_load_beyond_the_hard_deadline_times_out_and_its_late_answer_is_used() {
    let source = Arc::new(Source::held());
    let cached = on_runtime_clock(&source).load_deadline(2 * SECOND).build();
    let start = Instant::now();
    assert_eq!(said(&cached.resolve(&id("id1")).await), Err(ErrorKind::Timeout));
    assert_eq!(start.elapsed(), 2 * SECOND);
    sleep(SECOND).await;
    source.let_through(1);
    settle().await;
    assert_eq!((call_of(&cached, "id1"), source.count()), (Some(1), 1));
    // It is as old as its load, not as its answer.
    sleep_until(start + 100 * SECOND).await;
    assert_eq!(call_of(&cached, "id1"), None);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_used_until_that_of_a_younger_load_takes_its_place() {
    let source = Arc::new(Source::held());
    let cached = on_runtime_clock(&source).load_deadline(2 * SECOND).build();
    asking(&cached, "id1").await.unwrap().unwrap_err();
    sleep(SECOND).await;
    // Nobody joins a load that is late.
    let second = asking(&cached, "id1");
    settle().await;
    assert_eq!(source.count(), 2);
    source.let_through(1);
    settle().await;
    assert_eq!(call_of(&cached, "id1"), Some(1));
    source.let_through(1);
    assert_eq!(said(&second.await.unwrap()), Ok(Some("id1")));
    assert_eq!(call_of(&cached, "id1"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_take_the_place_of_that_of_a_younger_load() {
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Gated::new(MemoryStore::with_clock(clock.clone())));
    let cached = builder_for(store.clone()).clock(clock).load_deadline(2 * SECOND).build();
    link(store.as_ref(), "id1", "alice").await;
    let hold = store.hold(Call::Resolve, Point::After);
    asking(&cached, "id1").await.unwrap().unwrap_err();
    sleep(SECOND).await;
    link(store.as_ref(), "id1", "bob").await;
    assert_eq!(who(&cached, "id1").await.as_deref(), Some("bob"));
    hold.release();
    settle().await;
    assert_eq!(cached.stats().refused_as_stale, 1);
    assert_eq!(who(&cached, "id1").await.as_deref(), Some("bob"));
    assert_eq!(cached.stats().hits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_never_ends_is_let_go_after_twice_its_deadline() {
    let source = Arc::new(Source::held());
    let cached = on_runtime_clock(&source).load_deadline(2 * SECOND).build();
    asking(&cached, "id1").await.unwrap().unwrap_err();
    assert_eq!(cached.stats().failed, 0);
    sleep(2 * SECOND).await;
    settle().await;
    assert_eq!(cached.stats().failed, 1);
    source.let_through(1);
    settle().await;
    assert_eq!(call_of(&cached, "id1"), None, "its call was dropped");
}
