//! The breaker: a source that keeps failing is spared, and its callers are told at once.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{Answer, ErrorKind, MappingStore, MemoryStore, PageRequest, Resolver};
use acs_identity_testkit::{Counting, Faulty};
use common::{
    RuntimeClock, Source, age, asking, builder_for, customer, id, ids, link, on_runtime_clock, said, settle, who,
};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// The longest time for which nobody is let through; the shortest is half of it.
const PAUSE: Duration = SECOND;

fn cached(source: &Arc<Source>) -> ReadThrough<Arc<Source>> {
    on_runtime_clock(source).load_deadline(2 * SECOND).build()
}

/// Asks for IDs that nobody has asked for yet, one after the other.
async fn ask(cached: &ReadThrough<Arc<Source>>, words: &[&str]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for word in words {
        answers.push(cached.resolve(&id(&format!("{word}{}", cached.stats().misses))).await);
    }
    answers
}

/// A cache whose breaker has just opened.
async fn opened(source: &Arc<Source>) -> ReadThrough<Arc<Source>> {
    let cached = cached(source);
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 5]).await;
    assert!(cached.stats().breaker_open);
    cached
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_in_a_row_callers_are_told_at_once_and_the_source_is_not_asked() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 4]).await;
    // A success between them makes it no row.
    source.heal();
    ask(&cached, &["unknown"]).await;
    source.fail(ErrorKind::Timeout);
    ask(&cached, &["id"; 4]).await;
    sleep(SECOND).await;
    assert!(!cached.stats().breaker_open);
    ask(&cached, &["id"]).await;
    assert!(cached.stats().breaker_open);
    source.heal();
    source.hold();
    let asked = Instant::now();
    for answer in ask(&cached, &["id"; 20]).await.iter().chain(&cached.resolve_many(&ids(&["a", "b"])).await) {
        assert_eq!(said(answer), Err(ErrorKind::Unavailable));
        assert_eq!(answer.as_ref().unwrap_err().backend(), Some("cache"), "it says who refuses");
    }
    assert_eq!((asked.elapsed(), source.count()), (Duration::ZERO, 10));
    assert_eq!(cached.stats().refused, 22);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_given_out_while_the_source_is_spared() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    who(&cached, "known").await;
    sleep(SECOND).await;
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 5]).await;
    assert_eq!(who(&cached, "known").await.as_deref(), Some("known"));
    let roster = cached.resolve_many(&ids(&["known", "other"])).await;
    assert_eq!([said(&roster[0]), said(&roster[1])], [Ok(Some("known")), Err(ErrorKind::Unavailable)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_second_at_most_one_caller_is_let_through_and_a_success_lets_all_through() {
    let source = Arc::new(Source::open());
    let cached = opened(&source).await;
    for round in 1..4 {
        sleep(PAUSE).await;
        let answers = join_all((0..10).map(|n| {
            let cached = cached.clone();
            async move { cached.resolve(&id(&format!("round{round}_{n}"))).await }
        }))
        .await;
        assert!(answers.iter().all(|answer| said(answer) == Err(ErrorKind::Unavailable)));
        assert_eq!(source.count(), 5 + round, "one of ten");
        assert!(cached.stats().breaker_open);
    }
    source.heal();
    sleep(PAUSE).await;
    assert!(ask(&cached, &["id"]).await[0].is_ok());
    assert!(!cached.stats().breaker_open);
    assert!(ask(&cached, &["id"; 10]).await.iter().all(Result::is_ok));
    // And it takes five failures again.
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 4]).await;
    assert!(!cached.stats().breaker_open);
}

#[tokio::test(start_paused = true)]
async fn while_one_who_was_let_through_waits_the_others_are_still_refused() {
    let source = Arc::new(Source::open());
    let cached = opened(&source).await;
    source.heal();
    source.hold();
    sleep(PAUSE).await;
    let probe = asking(&cached, "probe");
    settle().await;
    assert_eq!(said(&cached.resolve(&id("id")).await), Err(ErrorKind::Unavailable));
    // Who asks for the same ID waits with it.
    let joined = asking(&cached, "probe");
    settle().await;
    source.let_through(1);
    assert_eq!(said(&probe.await.unwrap()), Ok(Some("probe")));
    assert_eq!(said(&joined.await.unwrap()), Ok(Some("probe")));
    assert_eq!((source.count(), cached.stats().breaker_open), (6, false));
}

#[tokio::test(start_paused = true)]
async fn many_processes_do_not_all_try_again_at_once() {
    let source = Arc::new(Source::open());
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(opened(&source).await);
    }
    source.heal();
    let mut most = 0;
    sleep(PAUSE / 2 - Duration::from_micros(1)).await;
    for step in 0..=25 {
        let before = waiting.len();
        let mut refused = Vec::new();
        for cached in waiting {
            if ask(&cached, &["id"]).await[0].is_err() {
                refused.push(cached);
            }
        }
        waiting = refused;
        let let_through = before - waiting.len();
        assert!(step > 0 || let_through == 0, "none in the first half second");
        most = most.max(let_through);
        sleep(PAUSE / 50).await;
    }
    assert!(waiting.is_empty() && most < 30, "{most} of a hundred in one twenty-fifth of the time");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_answered_in_time_count_and_one_that_is_answered_late_ends_it() {
    let source = Arc::new(Source::held());
    let cached = cached(&source);
    for answer in ask(&cached, &["id"; 5]).await {
        assert_eq!(said(&answer), Err(ErrorKind::Timeout));
    }
    settle().await;
    assert!(cached.stats().breaker_open);
    source.let_through(5);
    settle().await;
    assert!(!cached.stats().breaker_open);
}

#[tokio::test(start_paused = true)]
async fn a_defect_is_not_the_sources_absence() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    for word in ["panic", "corrupt", "denied"] {
        ask(&cached, &[word; 10]).await;
        assert!(!cached.stats().breaker_open, "{word}");
    }
    // A roster of which one part is down is none either.
    for _ in 0..10 {
        cached.resolve_many(&ids(&["shard", "unknown"])).await;
        cached.purge_all();
    }
    assert!(!cached.stats().breaker_open);
    assert_eq!(cached.stats().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_source_that_is_down_takes_nothing_of_the_rest_with_it() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    // What is alive is mostly kept, and so most of what is asked for is of the dead part.
    for n in 0..2000 {
        cached.resolve(&id(&format!("shard{}", n % 50))).await.unwrap_err();
        if n % 10 == 0 {
            let of_the_rest = if n % 20 == 0 {
                cached.resolve(&id(&format!("id{n}"))).await
            } else {
                cached.resolve_many(&ids(&[&format!("id{n}"), "shard1"])).await[0].clone()
            };
            assert_eq!(said(&of_the_rest), Ok(Some(&*format!("id{n}"))));
        }
        sleep(SECOND / 100).await;
    }
    // Nor if there is nothing new to ask of the rest for a long time, as it is kept.
    for n in 0..2000 {
        cached.resolve(&id(&format!("shard{}", n % 50))).await.unwrap_err();
        sleep(SECOND / 100).await;
    }
    assert_eq!(who(&cached, "id").await.as_deref(), Some("id"));
    assert_eq!((cached.stats().refused, cached.stats().breaker_open), (0, false));
}

#[tokio::test(start_paused = true)]
async fn where_it_opens_for_a_dead_part_the_rest_is_let_through_as_soon_as_the_pause_is_over() {
    for _ in 0..20 {
        let source = Arc::new(Source::open());
        let cached = cached(&source);
        let start = Instant::now();
        // At a cold start nothing of the rest has been asked for yet; and then it is asked for ten times less often.
        for n in 0..200 {
            cached.resolve(&id(&format!("shard{}", n % 5))).await.unwrap_err();
            if n > 5 && n % 10 == 0 && cached.resolve(&id(&format!("id{n}"))).await.is_ok() {
                break;
            }
            sleep(SECOND / 100).await;
        }
        assert!(start.elapsed() <= PAUSE + SECOND / 5, "{:?}", start.elapsed());
        assert!(!cached.stats().breaker_open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_works_again_is_seen_to_also_if_only_what_has_failed_is_asked_for() {
    let source = Arc::new(Source::open());
    let cached = opened(&source).await;
    let failed = source.calls().concat();
    source.heal();
    let start = Instant::now();
    for name in failed.iter().cycle().take(200) {
        if cached.resolve(&id(name)).await.is_ok() {
            break;
        }
        sleep(SECOND / 100).await;
    }
    assert!(start.elapsed() <= PAUSE + PAUSE / 2 + SECOND / 10, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_a_roster_that_is_let_through_no_more_than_one_call_goes_to_a_source_that_still_fails() {
    let source = Arc::new(Source::open());
    let cached = on_runtime_clock(&source).batch_size(10).build();
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 5]).await;
    sleep(PAUSE).await;
    let roster: Vec<String> = (0..1000).map(|n| format!("other{n}")).collect();
    let answers = cached.resolve_many(&ids(&roster.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert!(answers.iter().all(|answer| said(answer) == Err(ErrorKind::Unavailable)));
    assert_eq!((source.count(), cached.stats().refused), (6, 990));
}

#[tokio::test(start_paused = true)]
async fn who_is_let_through_and_waits_for_a_call_is_asked_for_after_that() {
    let source = Arc::new(Source::open());
    let cached = on_runtime_clock(&source).batches_at_once(1).load_deadline(2 * SECOND).build();
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 5]).await;
    sleep(PAUSE).await;
    source.hold();
    let first = asking(&cached, "first");
    sleep(PAUSE).await;
    let second = asking(&cached, "second");
    settle().await;
    // The first one fails, and the second one is not refused by the pause that began when it was let through.
    source.let_through(1);
    assert_eq!(said(&first.await.unwrap()), Err(ErrorKind::Unavailable));
    source.heal();
    source.let_through(1);
    assert_eq!(said(&second.await.unwrap()), Ok(Some("second")));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_as_a_whole_is_spared_at_most_a_second_after_its_last_answer() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    who(&cached, "known").await;
    source.fail(ErrorKind::Unavailable);
    let failed = Instant::now();
    // With few IDs that are asked for again and again, and some that are new.
    for n in 0.. {
        cached.resolve(&id(&format!("id{}", n % 6))).await.unwrap_err();
        if cached.stats().breaker_open {
            break;
        }
        sleep(SECOND / 100).await;
    }
    assert!(failed.elapsed() <= SECOND, "{:?}", failed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_id_that_always_hangs_does_not_open_it_though_nothing_else_is_asked_for() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    for round in 0..30 {
        assert_eq!(said(&cached.resolve(&id("hang")).await), Err(ErrorKind::Timeout), "in round {round}");
        assert!(!cached.stats().breaker_open, "in round {round}");
    }
    assert_eq!(who(&cached, "id").await.as_deref(), Some("id"));
}

#[tokio::test(start_paused = true)]
async fn a_call_for_many_counts_once() {
    let source = Arc::new(Source::open());
    let cached = cached(&source);
    source.fail(ErrorKind::Unavailable);
    for call in 1..=5 {
        assert!(!cached.stats().breaker_open);
        let names = ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}{call}"));
        cached.resolve_many(&ids(&names.each_ref().map(String::as_str))).await;
        assert_eq!(source.count(), call);
    }
    assert!(cached.stats().breaker_open);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_when_it_opens_are_told_too() {
    let source = Arc::new(Source::open());
    source.fail(ErrorKind::Unavailable);
    let cached = on_runtime_clock(&source).batch_size(10).batches_at_once(1).build();
    let roster: Vec<String> = (0..1000).map(|n| format!("id{n}")).collect();
    let answers = cached.resolve_many(&ids(&roster.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert!(answers.iter().all(|answer| said(answer) == Err(ErrorKind::Unavailable)));
    assert_eq!((source.count(), cached.stats().refused), (5, 950));
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_spared_stale_answers_are_given_out_without_asking_it() {
    let source = Arc::new(Source::open());
    let cached = on_runtime_clock(&source).stale_if_error(50 * SECOND).build();
    who(&cached, "known").await;
    sleep(120 * SECOND).await;
    source.fail(ErrorKind::Unavailable);
    ask(&cached, &["id"; 5]).await;
    let calls = source.count();
    source.hold();
    let asked = Instant::now();
    assert_eq!(age(&cached.resolve(&id("known")).await), Some(120 * SECOND));
    let roster = cached.resolve_many(&ids(&["known", "other"])).await;
    assert_eq!((age(&roster[0]), said(&roster[1])), (Some(120 * SECOND), Err(ErrorKind::Unavailable)));
    assert_eq!((source.count(), asked.elapsed()), (calls, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn both_directions_are_one_source_and_writes_go_through() {
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Faulty::new(Counting::new(MemoryStore::with_clock(clock.clone()))));
    let cached = builder_for(store.clone()).clock(clock).build();
    let page = async |of: &str| cached.mappings_of(&customer(of), PageRequest::default()).await;
    store.fail_all(ErrorKind::Unavailable);
    for n in 0..3 {
        assert!(!cached.customer_stats().breaker_open);
        page(&format!("bob{n}")).await.unwrap_err();
        if n < 2 {
            cached.resolve(&id(&format!("id{n}"))).await.unwrap_err();
        }
    }
    store.heal();
    cached.resolve(&id("id1")).await.unwrap_err();
    let error = page("bob").await.unwrap_err();
    assert_eq!((error.kind(), error.backend()), (ErrorKind::Unavailable, Some("cache")));
    for stats in [cached.stats(), cached.customer_stats()] {
        assert_eq!((stats.breaker_open, stats.refused), (true, 1));
    }
    // Whether a write may be tried again is its caller's to say.
    link(&cached, "id1", "bob").await;
    sleep(PAUSE).await;
    assert_eq!(page("bob").await.unwrap().items.len(), 1);
    assert!(!cached.stats().breaker_open);
    assert_eq!(who(&cached, "id1").await.as_deref(), Some("bob"));
}
