//! Loads that are shared: by many callers, through cancellation, panics, hangs and failures.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use acs_identity_core::{
    AcsId, Answers, CustomerId, Error, ErrorKind, MappingStore, MemoryStore, Resolution, Resolver, Result, resolver_fn,
};
use acs_identity_testkit::{Call, Counting, Faulty, Gated, Point};
use async_trait::async_trait;
use common::{builder_for, id, link, on_manual_clock, until, who};
use futures::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_questions_for_one_cold_id_are_one_load() {
    let memory = MemoryStore::new();
    link(&memory, "8:acs:r_1", "bob").await;
    let store = Arc::new(Gated::new(Arc::new(Counting::new(memory))));
    let cached = builder_for(store.clone()).build();
    let hold = store.hold(Call::Resolve, Point::Before);
    let questions: Vec<_> = (0..1000)
        .map(|_| {
            let cached = cached.clone();
            tokio::spawn(async move { who(&cached, "8:acs:r_1").await })
        })
        .collect();
    until(|| cached.stats().misses >= 1000).await;
    hold.release();
    for question in questions {
        assert_eq!(question.await.unwrap().as_deref(), Some("bob"));
    }
    assert_eq!((cached.stats().loaded, cached.stats().joined), (1, 999));
}

#[tokio::test]
async fn who_started_a_load_may_leave_and_the_others_get_the_answer() {
    let (cached, store, _) = on_manual_clock(Gated::new);
    link(store.as_ref(), "8:acs:r_1", "bob").await;
    let hold = store.hold(Call::Resolve, Point::Before);
    let ask = || {
        let cached = cached.clone();
        tokio::spawn(async move { who(&cached, "8:acs:r_1").await })
    };
    let first = ask();
    hold.reached().await;
    let second = ask();
    until(|| cached.stats().joined > 0).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    hold.release();
    assert_eq!(second.await.unwrap().as_deref(), Some("bob"));
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"));
    assert_eq!(cached.stats().loaded, 1);
}

#[tokio::test]
async fn a_load_that_everyone_has_left_still_fills_the_cache() {
    let (cached, store, _) = on_manual_clock(Gated::new);
    link(store.as_ref(), "8:acs:r_1", "bob").await;
    let hold = store.hold(Call::Resolve, Point::Before);
    let only = tokio::spawn({
        let cached = cached.clone();
        async move { who(&cached, "8:acs:r_1").await }
    });
    hold.reached().await;
    only.abort();
    hold.release();
    until(|| cached.stats().loaded > 0).await;
    assert!(cached.resolve_now(&id("8:acs:r_1")).is_some());
}

#[tokio::test]
async fn a_panicking_resolver_gives_each_caller_one_error_and_leaves_the_id_usable() {
    let calls = Arc::new(AtomicU32::new(0));
    let cached = builder_for(resolver_fn({
        let calls = calls.clone();
        move |_: AcsId| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                assert_ne!(call, 0, "the first call panics");
                Ok(Some(CustomerId::from(7)))
            }
        }
    }))
    .build();
    let one = id("8:acs:r_1");
    for answer in join_all((0..5).map(|_| cached.resolve(&one))).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Internal);
    }
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("7"));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// Panics before there is a future, and in a batch.
#[derive(Debug)]
struct Rude;

#[async_trait]
impl Resolver for Rude {
    async fn resolve(&self, _: &AcsId) -> Result<Option<Resolution>> {
        panic!("rude")
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        if ids.len() > 2 { panic!("rude") } else { Answers::by_id(&ids[1..], [] as [(&str, Resolution); 0]) }
    }
}

#[tokio::test]
async fn a_batch_that_panics_or_is_answered_short_fails_each_id() {
    let cached = builder_for(Rude).build();
    let ids: Vec<_> = ["a", "b", "c"].map(id).to_vec();
    for asked in [&ids[..], &ids[..2]] {
        for answer in cached.resolve_many(asked).await {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Internal);
        }
    }
    assert_eq!(cached.resolve(&ids[0]).await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_failed_load_is_shared_and_not_kept() {
    let faulty = Arc::new(Faulty::new(MemoryStore::new()));
    let store = Arc::new(Gated::new(faulty.clone()));
    let cached = builder_for(store.clone()).build();
    faulty.fail_next(1, ErrorKind::Unavailable);
    let hold = store.hold(Call::Resolve, Point::After);
    let one = id("8:acs:r_1");
    let release = async {
        until(|| cached.stats().misses >= 3).await;
        hold.release();
    };
    let (answers, ()) = tokio::join!(join_all((0..3).map(|_| cached.resolve(&one))), release);
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!((cached.stats().failed, cached.stats().joined), (1, 2));
    assert_eq!(who(&cached, "8:acs:r_1").await, None, "the next caller asks again");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_is_given_up_at_the_deadline() {
    let cached = builder_for(resolver_fn(|_: AcsId| std::future::pending::<Result<Option<CustomerId>>>()))
        .load_deadline(Duration::from_secs(2))
        .build();
    let started = tokio::time::Instant::now();
    let error = cached.resolve(&id("8:acs:r_1")).await.unwrap_err();
    assert_eq!((error.kind(), started.elapsed().as_secs()), (ErrorKind::Timeout, 2));
}

#[tokio::test]
async fn a_roster_asks_the_store_once_and_only_for_what_is_missing() {
    let (cached, store, _) = on_manual_clock(Counting::new);
    for n in 0..4 {
        link(store.as_ref(), &format!("8:acs:r_{n}"), &format!("user{n}")).await;
    }
    who(&cached, "8:acs:r_0").await;
    let asked: Vec<_> = ["8:acs:r_2", "8:acs:r_0", "8:acs:r_9", "8:acs:r_2", "8:acs:r_1"].map(id).to_vec();
    let names = |answers: Answers| -> Vec<Option<String>> {
        answers.into_iter().map(|one| one.unwrap().map(|found| found.customer_id().as_str().to_owned())).collect()
    };
    let expected =
        [Some("user2"), Some("user0"), None, Some("user2"), Some("user1")].map(|name| name.map(str::to_owned));
    assert_eq!(names(cached.resolve_many(&asked).await), expected);
    assert_eq!((store.calls(Call::ResolveMany), cached.stats().loaded), (1, 4));
    assert_eq!(names(cached.resolve_many(&asked).await), expected);
    assert_eq!((store.calls(Call::ResolveMany), store.calls(Call::Resolve)), (1, 1));
    assert!(cached.resolve_many(&[]).await.is_empty());
}

#[tokio::test]
async fn a_roster_joins_a_single_load_and_a_single_question_joins_a_roster() {
    let (cached, store, _) = on_manual_clock(Gated::new);
    link(store.as_ref(), "8:acs:r_1", "bob").await;
    let single = store.hold(Call::Resolve, Point::Before);
    let roster = store.hold(Call::ResolveMany, Point::Before);
    let both = [id("8:acs:r_1"), id("8:acs:r_2")];
    let release = async {
        until(|| cached.stats().joined >= 2).await;
        single.release();
        roster.release();
    };
    let first = who(&cached, "8:acs:r_1");
    let all = cached.resolve_many(&both);
    let last = who(&cached, "8:acs:r_2");
    let (first, all, last, ()) = tokio::join!(first, all, last, release);
    assert_eq!((first.as_deref(), last), (Some("bob"), None));
    assert!(matches!(&all[0], Ok(Some(_))) && matches!(&all[1], Ok(None)));
    assert_eq!(cached.stats().loaded, 2);
}

#[tokio::test]
async fn one_bad_id_does_not_fail_the_others_of_a_roster() {
    #[derive(Debug)]
    struct HalfDown;
    #[async_trait]
    impl Resolver for HalfDown {
        async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
            if id.as_str() == "down" { Err(Error::new(ErrorKind::Unavailable, "shard down")) } else { Ok(None) }
        }
    }
    let cached = builder_for(HalfDown).build();
    let answers = cached.resolve_many(&["up", "down"].map(id)).await;
    assert!(matches!(&answers[0], Ok(None)) && answers[1].is_err());
    cached.resolve_many(&["up", "down"].map(id)).await;
    assert_eq!((cached.stats().negative_hits, cached.stats().failed), (1, 2));
}

#[test]
fn a_runtime_that_shuts_down_fails_the_load_and_the_next_one_tries_again() {
    let memory = MemoryStore::new();
    let store = Arc::new(Gated::new(memory));
    let cached = builder_for(store.clone()).build();
    let hold = store.hold(Call::Resolve, Point::Before);
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    first.spawn({
        let cached = cached.clone();
        async move { who(&cached, "8:acs:r_1").await }
    });
    first.block_on(hold.reached());
    first.shutdown_background();
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    second.block_on(until(|| cached.stats().failed > 0));
    hold.release();
    assert_eq!(second.block_on(who(&cached, "8:acs:r_1")), None);
}

#[test]
fn who_waits_for_a_load_on_a_runtime_that_stands_still_is_answered_in_time() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).load_deadline(Duration::from_millis(50)).build();
    let hold = store.hold(Call::Resolve, Point::Before);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (still, driven) = (runtime(), runtime());
    still.spawn({
        let cached = cached.clone();
        async move { who(&cached, "8:acs:r_1").await }
    });
    // Driven until the load is under way, and then no more.
    still.block_on(hold.reached());
    let error = driven.block_on(cached.resolve(&id("8:acs:r_1"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(driven.block_on(who(&cached, "8:acs:r_1")), None, "the next caller starts a load of its own");
    drop((still, hold));
}

#[tokio::test(start_paused = true)]
async fn a_roster_waits_for_its_deadline_once_and_not_for_each_id() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).load_deadline(Duration::from_secs(2)).build();
    let ids: Vec<AcsId> = (0..20).map(|n| id(&format!("8:acs:r_{n}"))).collect();
    let hold = |call| ids.iter().map(|_| store.hold(call, Point::Before)).collect::<Vec<_>>();
    let holds = [Call::Resolve, Call::ResolveMany].map(hold);
    let singles = join_all(ids.iter().map(|id| cached.resolve(id)));
    let started = tokio::time::Instant::now();
    let (_, roster) = tokio::join!(singles, cached.resolve_many(&ids));
    assert!(roster.iter().all(Result::is_err));
    assert_eq!(started.elapsed().as_secs(), 2);
    drop(holds);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_though_the_store_hangs_and_nothing_is_answered_afterwards() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).load_deadline(Duration::from_secs(2)).build();
    link(&cached, "8:acs:r_1", "bob").await;
    who(&cached, "8:acs:r_1").await;
    let hold = store.hold(Call::Close, Point::Before);
    cached.close().await;
    assert!(cached.resolve_now(&id("8:acs:r_1")).is_none());
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_to_the_store_has_a_deadline_too() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).load_deadline(Duration::from_secs(2)).build();
    let holds = [Call::Scan, Call::Ping, Call::PurgeExpired].map(|call| store.hold(call, Point::Before));
    let page = acs_identity_core::PageRequest::default;
    assert_eq!(cached.scan(page()).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(cached.ping().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(cached.purge_expired(1).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    drop(holds);
    assert!(cached.scan(page()).await.is_ok());
}
