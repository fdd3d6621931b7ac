//! How long answers are kept, how many, and what is counted.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::{CacheStats, ReadThrough, TableKind};
use acs_identity_core::{
    AcsId, CustomerId, ErrorKind, IdentityMap, Link, MappingStore, MemoryStore, PageRequest, Resolver, Revision,
    resolver_fn,
};
use acs_identity_testkit::{Call, Counting};
use common::{Source, asking, asking_for, customer, id, ids_of, link, on_manual_clock, on_runtime_clock, settle, who};

const SECOND: Duration = Duration::from_secs(1);

const TABLES: &[TableKind] = &[
    TableKind::Moka,
    #[cfg(feature = "quick-cache")]
    TableKind::QuickCache,
];

#[tokio::test]
async fn a_found_answer_and_an_absent_one_live_as_long_as_set() {
    let (cached, store, clock) = on_manual_clock(Counting::new);
    link(store.as_ref(), "8:acs:r_1", "bob").await;
    let ask = async || {
        who(&cached, "8:acs:r_1").await;
        who(&cached, "8:acs:r_2").await;
        store.calls(Call::Resolve)
    };
    assert_eq!(ask().await, 2);
    clock.advance(10 * SECOND - Duration::from_micros(1));
    assert_eq!(ask().await, 2);
    clock.advance(Duration::from_micros(1));
    assert_eq!(ask().await, 3, "the absent answer is asked for again after ten seconds");
    clock.advance(90 * SECOND - Duration::from_micros(1));
    assert_eq!(ask().await, 4);
    clock.advance(Duration::from_micros(1));
    assert_eq!(ask().await, 5, "the found answer is asked for again after a hundred seconds");
}

#[tokio::test]
async fn an_absent_answer_is_kept_where_a_found_one_was_and_the_other_way_round() {
    let (cached, store, clock) = on_manual_clock(|memory| memory);
    link(store.as_ref(), "8:acs:r_1", "bob").await;
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"));
    store.unlink(&id("8:acs:r_1"), acs_identity_core::Expect::Any).await.unwrap();
    clock.advance(100 * SECOND);
    for _ in 0..2 {
        assert_eq!(who(&cached, "8:acs:r_1").await, None);
    }
    assert_eq!((cached.stats().hits, cached.stats().negative_hits), (0, 1));
    link(store.as_ref(), "8:acs:r_1", "carol").await;
    clock.advance(10 * SECOND);
    for _ in 0..2 {
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("carol"));
    }
    assert_eq!((cached.stats().hits, cached.stats().negative_hits), (1, 1));
}

#[tokio::test]
async fn an_answer_never_outlives_its_mapping_and_its_lifetime_counts_down() {
    let (cached, _, clock) = on_manual_clock(|memory| memory);
    let link = Link::create(id("8:acs:r_1"), customer("bob")).expiring_in(30 * SECOND);
    cached.link(link).await.unwrap();
    for elapsed in [0, 10, 19] {
        clock.advance(elapsed * SECOND);
        let found = cached.resolve(&id("8:acs:r_1")).await.unwrap().unwrap();
        let total: u32 = [0, 10, 19].iter().take_while(|step| **step <= elapsed).sum();
        assert_eq!(found.remaining(), Some((30 - total) * SECOND));
    }
    assert_eq!(ids_of(&cached, "bob").await, ["8:acs:r_1"]);
    clock.advance(SECOND);
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
    assert!(ids_of(&cached, "bob").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_load_so_late_that_its_answer_may_be_over_is_given_one_that_is_not() {
    let source = Arc::new(Source::held());
    let cached = on_runtime_clock(&source).load_deadline(60 * SECOND).build();
    let asked_at = async |at: u32| {
        tokio::time::sleep(at * SECOND).await;
        let asked = (asking(&cached, "brief"), asking_for(&cached, &["brief", "other"]));
        settle().await;
        asked
    };
    let (first, in_time, late) = (asked_at(0).await, asked_at(10).await, asked_at(30).await);
    source.let_through(1);
    settle().await;
    assert_eq!(source.calls(), [vec!["brief", "other"], vec!["brief"]], "those who came late share a new load");
    source.let_through(1);
    for (asked, call, left) in [(first, 1, 30), (in_time, 1, 20), (late, 2, 30)] {
        for answer in [asked.0.await.unwrap(), asked.1.await.unwrap().into_iter().next().unwrap()] {
            let found = answer.unwrap().unwrap();
            assert_eq!(found.revision(), Some(Revision::new(call)));
            let told = found.remaining().unwrap();
            assert!(told <= left * SECOND && told > (left - 1) * SECOND, "{told:?} of {left} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lasts_no_time_is_given_to_all_who_asked_before_its_load_began() {
    let source = Arc::new(Source::held());
    let cached = on_runtime_clock(&source).batches_at_once(1).build();
    let busy = asking(&cached, "other");
    settle().await;
    let asked: Vec<_> = (0..200).map(|_| asking(&cached, "instant")).collect();
    settle().await;
    source.let_through(2);
    for asked in asked {
        assert_eq!(asked.await.unwrap().unwrap().unwrap().remaining(), Some(Duration::ZERO));
    }
    busy.await.unwrap().unwrap();
    assert_eq!(source.sizes(), [1, 1]);
    source.let_through(1);
    assert!(cached.resolve(&id("instant")).await.unwrap().is_some(), "it is not kept");
    assert_eq!(source.count(), 3);
}

#[tokio::test]
async fn a_page_tells_the_time_at_which_it_is_shown() {
    let (cached, _, clock) = on_manual_clock(|memory| memory);
    cached.link(Link::create(id("8:acs:r_1"), customer("bob")).expiring_in(30 * SECOND)).await.unwrap();
    let left = async || {
        let page = cached.mappings_of(&customer("bob"), PageRequest::default()).await.unwrap();
        page.items[0].expires_at.unwrap().since(page.read_at)
    };
    assert_eq!(left().await, 30 * SECOND);
    clock.advance(10 * SECOND);
    assert_eq!(left().await, 20 * SECOND);
    assert_eq!(cached.customer_stats().hits, 1);
}

#[tokio::test]
async fn a_lifetime_of_zero_keeps_nothing() {
    let cached =
        ReadThrough::builder(MemoryStore::new()).absent_lifetime(Duration::ZERO).lifetime(Duration::ZERO).build();
    link(&cached, "8:acs:r_1", "bob").await;
    for _ in 0..2 {
        who(&cached, "8:acs:r_1").await;
        who(&cached, "8:acs:r_2").await;
    }
    assert_eq!((cached.stats().hits, cached.stats().negative_hits, cached.stats().loaded), (0, 0, 4));
}

#[tokio::test]
async fn the_longest_lifetime_and_deadlines_are_taken_as_they_are() {
    let longest = Duration::MAX;
    let store = Arc::new(acs_identity_testkit::Faulty::new(MemoryStore::new()));
    let cached = ReadThrough::builder(store.clone())
        .lifetime(longest)
        .absent_lifetime(longest)
        .jitter(0.5)
        .load_deadline(longest)
        .write_deadline(longest)
        .build();
    link(&cached, "8:acs:r_1", "bob").await;
    for _ in 0..2 {
        who(&cached, "8:acs:r_1").await;
        who(&cached, "8:acs:r_2").await;
    }
    assert_eq!((cached.stats().hits, cached.stats().negative_hits), (1, 1));
    store.lose_answers(2);
    assert!(cached.unlink_customer(&customer("bob")).await.is_err());
    assert!(cached.link(Link::replace(id("8:acs:r_1"), customer("carol"))).await.is_err());
    for _ in 0..2 {
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("carol"));
    }
    assert_eq!(cached.stats().hits, 1);
}

#[tokio::test]
async fn what_was_loaded_together_is_not_reloaded_together() {
    let clock = acs_identity_testkit::ManualClock::new();
    let cached = ReadThrough::builder(resolver_fn(async |_: AcsId| Ok(Some(CustomerId::from(1)))))
        .clock(Arc::new(clock.clone()))
        .lifetime(100 * SECOND)
        .jitter(0.2)
        .build();
    let ids: Vec<AcsId> = (0..1000).map(|n| id(&format!("8:acs:r_{n}"))).collect();
    let fresh = || ids.iter().filter(|id| cached.resolve_now(id).is_some()).count();
    cached.resolve_many(&ids).await;
    clock.advance(80 * SECOND - Duration::from_micros(1));
    assert_eq!(fresh(), 1000);
    clock.advance(10 * SECOND);
    let half = fresh();
    assert!((400..600).contains(&half), "{half} of 1000 after half of the jitter");
    clock.advance(10 * SECOND + Duration::from_micros(1));
    assert_eq!(fresh(), 0);
}

#[tokio::test]
async fn a_flood_of_unknown_ids_pushes_out_no_known_one() {
    let memory = MemoryStore::new();
    let known: Vec<AcsId> = (0..500).map(|n| id(&format!("8:acs:known_{n}"))).collect();
    for id in &known {
        memory.link(Link::create(id.clone(), customer("bob"))).await.unwrap();
    }
    let cached = ReadThrough::builder(memory).capacity(1000).absent_capacity(100).build();
    cached.resolve_many(&known).await;
    for n in 0..20 {
        let unknown: Vec<AcsId> = (0..1000).map(|m| id(&format!("8:acs:unknown_{n}_{m}"))).collect();
        cached.resolve_many(&unknown).await;
        assert!(known.iter().all(|id| cached.resolve_now(id).is_some()));
    }
    assert!(cached.stats().evicted >= 19_000, "{:?}", cached.stats());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_loaded_again_pushes_out_nothing() {
    for table in TABLES {
        let source = Arc::new(Source::open());
        let cached = on_runtime_clock(&source).table(*table).build();
        for _ in 0..10 {
            who(&cached, "id1").await;
            tokio::time::sleep(100 * SECOND).await;
        }
        assert_eq!((cached.stats().loaded, cached.stats().evicted), (10, 0), "{table:?}");
    }
}

#[tokio::test]
async fn the_longest_page_is_kept_if_there_is_room_for_two() {
    let store = MemoryStore::new();
    let links: Vec<Link> = (0..1000).map(|n| Link::create(id(&format!("8:acs:r_{n}")), customer("bob"))).collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    for table in TABLES {
        for capacity in [2000, 2500, 10_000] {
            let cached = ReadThrough::builder(store.clone()).customer_capacity(capacity).table(*table).build();
            for _ in 0..2 {
                assert_eq!(ids_of(&cached, "bob").await.len(), 1000);
            }
            let stats = cached.customer_stats();
            assert_eq!((stats.hits, stats.evicted), (1, 0), "{table:?} of {capacity}");
        }
    }
}

#[tokio::test]
async fn a_link_that_is_made_through_the_cache_is_seen_at_once_after_an_absent_answer() {
    let (cached, _, _) = on_manual_clock(|memory| memory);
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
    assert!(ids_of(&cached, "bob").await.is_empty());
    link(&cached, "8:acs:r_1", "bob").await;
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"));
    assert_eq!(ids_of(&cached, "bob").await, ["8:acs:r_1"]);
}

#[test]
fn a_hit_asks_nobody_and_needs_no_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (cached, store, _) = on_manual_clock(Counting::new);
    runtime.block_on(link(store.as_ref(), "8:acs:r_1", "bob"));
    runtime.block_on(who(&cached, "8:acs:r_1"));
    drop(runtime);

    let map = IdentityMap::new(cached.clone());
    let calls = store.total();
    // Without a runtime, a task that was started would panic here, and one poll is all there is.
    let one = id("8:acs:r_1");
    let mut hit = std::pin::pin!(map.resolve(&one));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Ok(Some(found))) = hit.as_mut().poll(&mut context) else {
        panic!("a hit is at hand at once")
    };
    assert_eq!(found.customer_id().as_str(), "bob");
    assert_eq!((store.total(), cached.stats().hits), (calls, 1));
}

#[tokio::test]
async fn pages_that_a_cached_one_cannot_answer_come_from_the_store() {
    let (cached, store, _) = on_manual_clock(Counting::new);
    for n in 0..3 {
        link(&cached, &format!("8:acs:r_{n}"), "bob").await;
    }
    let page = async |limit, cursor: Option<_>| {
        let mut request = PageRequest::first(limit).unwrap();
        if let Some(cursor) = cursor {
            request = request.after(cursor);
        }
        cached.mappings_of(&customer("bob"), request).await.unwrap()
    };
    let first = page(2, None).await;
    assert_eq!((first.items.len(), store.calls(Call::MappingsOf)), (2, 1));
    assert_eq!(page(2, None).await.items, first.items);
    assert_eq!(store.calls(Call::MappingsOf), 1);
    assert_eq!(page(2, first.next).await.items.len(), 1);
    assert_eq!(store.calls(Call::MappingsOf), 2);
    // A page of another size takes the place of the first, and being complete it also answers for larger ones.
    for limit in [3, 3, 1000] {
        assert_eq!(page(limit, None).await.items.len(), 3);
    }
    assert_eq!(store.calls(Call::MappingsOf), 3);
    assert_eq!(page(2, None).await.items.len(), 2);
    assert_eq!(store.calls(Call::MappingsOf), 4);
    let stats = cached.customer_stats();
    assert_eq!((stats.hits, stats.misses, stats.loaded), (3, 3, 3), "a page that is of no use is no hit");
}

#[tokio::test]
async fn a_purge_makes_the_next_reader_ask() {
    let (cached, store, _) = on_manual_clock(|memory| memory);
    for (acs_id, to) in [("8:acs:r_1", "alice"), ("8:acs:r_2", "alice"), ("8:acs:r_3", "bob")] {
        link(&cached, acs_id, to).await;
        who(&cached, acs_id).await;
        ids_of(&cached, to).await;
        // Somebody else's write, which the cache is not told of.
        link(store.as_ref(), acs_id, "carol").await;
        assert_eq!(who(&cached, acs_id).await.as_deref(), Some(to));
    }
    cached.purge(&id("8:acs:r_3"));
    assert_eq!(who(&cached, "8:acs:r_3").await.as_deref(), Some("carol"));
    assert!(ids_of(&cached, "bob").await.is_empty());
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("alice"));
    cached.purge_customer(&customer("alice"));
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("carol"));
    assert_eq!(who(&cached, "8:acs:r_2").await.as_deref(), Some("carol"));
    assert!(ids_of(&cached, "alice").await.is_empty());
    link(store.as_ref(), "8:acs:r_1", "dave").await;
    cached.purge_all();
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("dave"));
}

#[tokio::test]
async fn after_close_nothing_is_served_from_the_cache() {
    let (cached, _, _) = on_manual_clock(|memory| memory);
    link(&cached, "8:acs:r_1", "bob").await;
    who(&cached, "8:acs:r_1").await;
    ids_of(&cached, "bob").await;
    cached.close().await;
    assert_eq!(cached.resolve(&id("8:acs:r_1")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(cached.mappings_of(&customer("bob"), PageRequest::default()).await.is_err());
    cached.close().await;
}

#[tokio::test]
async fn the_counters_tell_what_happened() {
    let (cached, store, _) = on_manual_clock(|memory| memory);
    link(store.as_ref(), "8:acs:r_1", "bob").await;
    for acs_id in ["8:acs:r_1", "8:acs:r_1", "8:acs:r_2", "8:acs:r_2", "8:acs:r_2"] {
        who(&cached, acs_id).await;
    }
    let CacheStats { hits, negative_hits, misses, joined, loaded, failed, refused_as_stale, evicted, .. } =
        cached.stats();
    assert_eq!((hits, negative_hits, misses, joined), (1, 2, 2, 0));
    assert_eq!((loaded, failed, refused_as_stale, evicted), (2, 0, 0, 0));
    let customers = cached.customer_stats();
    assert_eq!((customers.hits, customers.misses, customers.loaded), (0, 0, 0));
}
