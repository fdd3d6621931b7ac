//! How loads of several ACS IDs become calls of the source, and how a call that fails for one of them leaves the others alone.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{ErrorKind, Resolver};
use common::{Source, asking, asking_for, builder_for, customer, id, ids, on_runtime_clock, said, settle, until};

fn cached(source: &Arc<Source>, size: usize, at_once: usize) -> ReadThrough<Arc<Source>> {
    let builder = on_runtime_clock(source).batch_size(size).batches_at_once(at_once);
    builder.load_deadline(Duration::from_secs(2)).build()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("id{n}")).collect()
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lone_load_goes_at_once_and_what_comes_while_all_calls_are_under_way_goes_together() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 500, 2);
    let mut asked = Vec::new();
    for (n, so_far) in [(0, vec![1]), (1, vec![1, 1]), (2, vec![1, 1]), (3, vec![1, 1]), (4, vec![1, 1])] {
        asked.push(asking(&cached, &format!("id{n}")));
        settle().await;
        assert_eq!(source.sizes(), so_far, "after {n}");
    }
    // The end of either call is what the three have waited for; of the second one, nothing is left for.
    source.let_through(1);
    settle().await;
    assert_eq!(source.calls()[2..], [["id2", "id3", "id4"]]);
    source.let_through(2);
    for (n, asked) in asked.into_iter().enumerate() {
        assert_eq!(said(&asked.await.unwrap()), Ok(Some(&*format!("id{n}"))));
    }
    // When nothing is under way, the next load is alone again.
    asking(&cached, "id5");
    settle().await;
    assert_eq!(source.sizes(), [1, 1, 3, 1]);
    let stats = cached.stats();
    assert_eq!((stats.batches, stats.batched, stats.largest_batch), (4, 6, 3));
}

#[tokio::test(start_paused = true)]
async fn no_call_is_for_more_than_the_batch_size() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 10, 1);
    let names = names(35);
    let mut asked = vec![asking(&cached, &names[0])];
    settle().await;
    asked.extend(names[1..].iter().map(|name| asking(&cached, name)));
    settle().await;
    source.let_through(100);
    for (name, asked) in names.iter().zip(asked) {
        assert_eq!(said(&asked.await.unwrap()), Ok(Some(&**name)));
    }
    assert_eq!(source.sizes(), [1, 10, 10, 10, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_roster_larger_than_the_batch_size_is_several_calls_and_keeps_order_and_duplicates() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 10, 2);
    let mut names = names(25);
    names.extend([names[3].clone(), "unknown".into(), names[24].clone(), names[3].clone()]);
    names.reverse();
    let asked = asking_for(&cached, &texts(&names));
    settle().await;
    assert_eq!(source.sizes(), [10, 10], "two calls at once, and no more");
    source.let_through(3);
    let answers = asked.await.unwrap();
    let expected: Vec<_> = names.iter().map(|name| Ok((name != "unknown").then_some(&**name))).collect();
    assert_eq!(answers.iter().map(said).collect::<Vec<_>>(), expected);
    assert_eq!(source.sizes(), [10, 10, 6]);
    assert_eq!((cached.stats().misses, cached.stats().loaded), (26, 26), "each ID counts once");
}

#[tokio::test(start_paused = true)]
async fn rosters_and_single_questions_share_loads_that_wait() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 500, 1);
    let first = asking(&cached, "id1");
    settle().await;
    // All of these wait for the end of the first.
    let single = asking(&cached, "id2");
    let roster = asking_for(&cached, &["id1", "id2", "id3"]);
    let other = asking_for(&cached, &["id3", "id4"]);
    let last = asking(&cached, "id4");
    settle().await;
    assert_eq!((cached.stats().misses, cached.stats().joined), (8, 4));
    source.let_through(2);
    assert_eq!(said(&first.await.unwrap()), Ok(Some("id1")));
    assert_eq!(said(&single.await.unwrap()), Ok(Some("id2")));
    assert_eq!(
        roster.await.unwrap().iter().map(said).collect::<Vec<_>>(),
        ["id1", "id2", "id3"].map(|id| Ok(Some(id)))
    );
    assert_eq!(other.await.unwrap().iter().map(said).collect::<Vec<_>>(), ["id3", "id4"].map(|id| Ok(Some(id))));
    assert_eq!(said(&last.await.unwrap()), Ok(Some("id4")));
    assert_eq!(source.calls(), [vec!["id1"], vec!["id2", "id3", "id4"]]);
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_deadline_stands_in_nobodys_way_and_its_late_answer_is_kept() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 500, 1);
    let slow = asking(&cached, "id1");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = asking(&cached, "id2");
    settle().await;
    assert_eq!(source.count(), 1);
    assert_eq!(said(&slow.await.unwrap()), Err(ErrorKind::Timeout));
    settle().await;
    assert_eq!(source.calls(), [["id1"], ["id2"]]);
    source.let_through(2);
    assert_eq!(said(&next.await.unwrap()), Ok(Some("id2")));
    settle().await;
    assert!(cached.resolve_now(&id("id1")).is_some());
    // The slow one has given its right away, and not got it back: there is one call at a time, as before.
    source.hold();
    let _asked = ["id3", "id4"].map(|id| asking(&cached, id));
    settle().await;
    assert_eq!(source.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_for_longer_than_the_deadline_is_not_asked_for_unless_somebody_still_waits() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 1, 1);
    let mut asked = vec![asking(&cached, "id0")];
    tokio::time::sleep(Duration::from_millis(500)).await;
    asked.extend(["id1", "id2", "id3"].map(|id| asking(&cached, id)));
    tokio::time::sleep(Duration::from_millis(1900)).await;
    let still = asking(&cached, "id3");
    for asked in asked {
        assert_eq!(said(&asked.await.unwrap()), Err(ErrorKind::Timeout));
    }
    // Each call is late after two seconds, and then the next one begins.
    tokio::time::sleep(Duration::from_millis(1700)).await;
    assert_eq!(source.calls(), [["id0"], ["id1"], ["id3"]]);
    source.let_through(3);
    assert_eq!(said(&still.await.unwrap()), Ok(Some("id3")));
    // What was not asked for can be asked for.
    source.let_through(1);
    assert_eq!(said(&asking(&cached, "id2").await.unwrap()), Ok(Some("id2")));
}

#[tokio::test(start_paused = true)]
async fn a_lone_load_does_not_wait_for_a_whole_roster_nor_the_other_way_round() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 4, 1);
    let busy = asking(&cached, "id0");
    settle().await;
    let roster = names(40);
    let roster: Vec<&str> = roster[1..30].iter().map(String::as_str).collect();
    let all = asking_for(&cached, &roster);
    settle().await;
    let lone: Vec<_> = names(40)[30..].iter().map(|name| asking(&cached, name)).collect();
    settle().await;
    source.let_through(2);
    settle().await;
    assert_eq!(source.calls()[1], ["id30", "id31", "id1", "id2"]);
    source.let_through(100);
    for lone in lone {
        assert!(lone.await.unwrap().is_ok());
    }
    assert!(all.await.unwrap().iter().all(Result::is_ok) && busy.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_load_that_waits_for_its_call_is_joined_however_long_that_takes() {
    let source = Arc::new(Source::held());
    // Each call is late after two seconds, and then the next one begins.
    let cached = cached(&source, 1, 1);
    let asked = names(4).iter().map(|name| asking(&cached, name)).collect::<Vec<_>>();
    settle().await;
    for second in 1..=7 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        asking(&cached, "id3");
        if second < 2 {
            asking(&cached, "id1");
        }
        if second < 4 {
            asking(&cached, "id2");
        }
        settle().await;
        assert_eq!(source.count(), 1 + second / 2);
    }
    assert_eq!(source.calls(), [["id0"], ["id1"], ["id2"], ["id3"]]);
    // The last one has begun a second ago.
    let last = asking(&cached, "id3");
    settle().await;
    source.let_through(4);
    assert_eq!(said(&last.await.unwrap()), Ok(Some("id3")));
    assert_eq!((source.count(), cached.stats().joined), (4, 12));
    drop(asked);
}

/// Each ID but the bad one is answered, the bad one has its error, and that takes as many calls as halving does.
async fn one_stands_alone(bad: &str, kind: ErrorKind) {
    for place in [0, 21, 63] {
        let source = Arc::new(Source::open());
        let cached = cached(&source, 500, 4);
        let mut names = names(64);
        names[place] = bad.to_owned();
        let answers = cached.resolve_many(&ids(&texts(&names))).await;
        for (name, answer) in names.iter().zip(&answers) {
            let expected = if name == bad { Err(kind) } else { Ok(Some(&**name)) };
            assert_eq!(said(answer), expected);
        }
        // 64, and two of each half down to one.
        assert_eq!(source.count(), 13);
        assert_eq!((cached.stats().loaded, cached.stats().failed), (63, 1));
        // The next roster asks for the bad one alone.
        assert_eq!(cached.resolve_many(&ids(&texts(&names))).await.iter().filter(|answer| answer.is_err()).count(), 1);
        assert_eq!(source.sizes()[13..], [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_that_panics_only_the_id_for_which_it_does_fails() {
    one_stands_alone("panic", ErrorKind::Internal).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_that_fails_for_good_only_the_id_for_which_it_does_fails() {
    one_stands_alone("corrupt", ErrorKind::Corrupt).await;
}

#[tokio::test(start_paused = true)]
async fn two_bad_ids_of_one_batch_both_stand_alone_in_the_end() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 500, 4);
    let answers = cached.resolve_many(&ids(&["corrupt", "id1", "id2", "id3", "id4", "id5", "id6", "panic"])).await;
    let said: Vec<_> = answers.iter().map(said).collect();
    assert_eq!(said[0], Err(ErrorKind::Corrupt));
    assert_eq!(said[7], Err(ErrorKind::Internal));
    assert!(said[1..7].iter().all(Result::is_ok), "{said:?}");
}

/// A failure that is no ID's fault is each ID's, and is not tried again in parts.
async fn all_fail_in_one_call(bad: &str, kind: ErrorKind) {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 500, 4);
    let answers = cached.resolve_many(&ids(&["id1", bad, "id2", "id3"])).await;
    assert!(answers.iter().all(|answer| said(answer) == Err(kind)), "{answers:?}");
    assert_eq!(source.sizes(), [4]);
    // Nothing of it is kept.
    assert_eq!(said(&cached.resolve(&id("id1")).await), Ok(Some("id1")));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_the_moment_is_not_split() {
    all_fail_in_one_call("down", ErrorKind::Unavailable).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_source_denies_is_not_split() {
    all_fail_in_one_call("denied", ErrorKind::Denied).await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_source_that_is_down_fails_its_ids_and_no_others() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 500, 4);
    let answers = cached.resolve_many(&ids(&["id1", "shard1", "unknown", "shard2"])).await;
    let said: Vec<_> = answers.iter().map(said).collect();
    let down = Err(ErrorKind::Unavailable);
    assert_eq!(said, [Ok(Some("id1")), down, Ok(None), down]);
    assert_eq!(source.sizes(), [4]);
    assert!(!cached.stats().breaker_open);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_an_answer_too_few_is_asked_for_in_parts() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 500, 4);
    let names = ["id1", "id2", "short", "id3"];
    let answers = cached.resolve_many(&ids(&names)).await;
    assert_eq!(answers.iter().map(said).collect::<Vec<_>>(), names.map(|name| Ok(Some(name))));
    assert_eq!(source.sizes(), [4, 2, 2, 1, 1]);
}

/// Asks for a roster, and says what each was answered.
async fn roster<const N: usize>(
    cached: &ReadThrough<Arc<Source>>,
    names: [&str; N],
) -> [Result<Option<String>, ErrorKind>; N] {
    let answers = cached.resolve_many(&ids(&names)).await;
    std::array::from_fn(|place| said(&answers[place]).map(|found| found.map(str::to_owned)))
}

fn found(name: &str) -> Result<Option<String>, ErrorKind> {
    Ok(Some(name.to_owned()))
}

const LATE: Result<Option<String>, ErrorKind> = Err(ErrorKind::Timeout);

#[tokio::test(start_paused = true)]
async fn after_a_call_that_was_late_each_of_its_ids_is_asked_for_alone() {
    for pause in [0, 1, 60] {
        let source = Arc::new(Source::open());
        let cached = cached(&source, 10, 2);
        assert_eq!(roster(&cached, ["id1", "hang", "id2"]).await, [LATE, LATE, LATE]);
        tokio::time::sleep(Duration::from_secs(pause)).await;
        assert_eq!(
            roster(&cached, ["id1", "hang", "id2"]).await,
            [found("id1"), LATE, found("id2")],
            "{pause} s later"
        );
        // What was in time goes with others again, and what was not does not.
        cached.purge_all();
        tokio::time::sleep(Duration::from_secs(pause)).await;
        assert_eq!(
            roster(&cached, ["id1", "hang", "id3", "id2"]).await,
            [found("id1"), LATE, found("id3"), found("id2")]
        );
        assert!(source.calls().contains(&["id1", "id3", "id2"].map(str::to_owned).to_vec()), "{:?}", source.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn with_one_call_at_a_time_an_id_that_is_always_late_lets_the_others_go_first() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 10, 1);
    let names = ["id1", "id2", "hang", "id3", "id4"];
    for _ in 0..2 {
        cached.resolve_many(&ids(&names)).await;
    }
    let expected = names.map(|name| if name == "hang" { LATE } else { found(name) });
    assert_eq!(roster(&cached, names).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_always_late_does_not_open_the_breaker_while_others_are_answered() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 10, 2);
    for round in 0..20 {
        let (one, other) = (format!("one{round}"), format!("other{round}"));
        let answers = roster(&cached, [&one, "hang", &other]).await;
        assert_eq!(answers[0].is_ok() && answers[2].is_ok(), round > 0, "in round {round}: {answers:?}");
        assert!(!cached.stats().breaker_open, "in round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_that_always_hang_leave_the_others_half_of_the_calls_however_many_they_are() {
    for at_once in [2, 4] {
        let source = Arc::new(Source::open());
        let cached = cached(&source, 10, at_once);
        let hanging: Vec<String> = (0..8).map(|n| format!("hang{n}")).collect();
        // Nobody knows them yet.
        for hang in &hanging {
            assert_eq!(said(&cached.resolve(&id(hang)).await), Err(ErrorKind::Timeout));
            assert!(cached.resolve(&id(&hang.replace("hang", "beside"))).await.is_ok());
        }
        for round in 0..100 {
            hanging.iter().for_each(|hang| drop(asking(&cached, hang)));
            settle().await;
            let asked = tokio::time::Instant::now();
            let name = format!("id{round}");
            assert_eq!(said(&cached.resolve(&id(&name)).await), Ok(Some(&*name)));
            assert_eq!(asked.elapsed(), Duration::ZERO, "in round {round}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let often = source.calls().iter().filter(|call| call[0].starts_with("hang")).count();
        assert!(often > 8 + at_once, "they are still asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_hangs_takes_no_call_for_each_piece_of_news() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 10, 4);
    for round in 0..200 {
        cached.purge_customer(&customer("stranger"));
        asking(&cached, "hang");
        asking_for(&cached, &["hang", "hang2"]);
        settle().await;
        let name = format!("id{round}");
        let asked = tokio::time::Instant::now();
        assert_eq!(said(&cached.resolve(&id(&name)).await), Ok(Some(&*name)));
        assert_eq!(asked.elapsed(), Duration::ZERO, "in round {round}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_each_id_has_a_call_of_its_own_rosters_and_lone_ones_take_turns() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 1, 1);
    asking(&cached, "first");
    settle().await;
    let lone: Vec<_> = (0..4).map(|n| asking(&cached, &format!("lone{n}"))).collect();
    settle().await;
    let roster = asking_for(&cached, &["roster0", "roster1", "roster2"]);
    settle().await;
    source.let_through(8);
    roster.await.unwrap();
    for one in lone {
        one.await.unwrap().unwrap();
    }
    let of_rosters: Vec<bool> = source.calls()[1..].iter().map(|call| call[0].starts_with("roster")).collect();
    let turns = of_rosters[..6].windows(2).filter(|two| two[0] != two[1]).count();
    assert_eq!(turns, 5, "{of_rosters:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_anothers_answer_from_a_source_that_sorts_what_it_is_asked() {
    let source = Arc::new(Source::open());
    let cached = cached(&source, 10, 1);
    let names = ["sorted3", "sorted1", "sorted2"];
    // The answers of the second round are from the cache.
    for _ in 0..2 {
        let answers = cached.resolve_many(&ids(&names)).await;
        assert_eq!(answers.iter().map(said).collect::<Vec<_>>(), names.map(|name| Ok(Some(name))));
    }
    assert_eq!(source.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_callers_have_all_left_is_kept_and_so_are_those_behind_it() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 2, 1);
    let mut asked = vec![asking(&cached, "id0")];
    settle().await;
    asked.extend(["id1", "id2"].map(|id| asking(&cached, id)));
    settle().await;
    let roster = asking_for(&cached, &["id3", "id4"]);
    settle().await;
    source.let_through(1);
    settle().await;
    assert_eq!(source.sizes(), [1, 2]);
    asked.drain(..).for_each(|asked| asked.abort());
    roster.abort();
    source.let_through(2);
    settle().await;
    assert_eq!(source.sizes(), [1, 2, 2]);
    assert!((0..5).all(|n| cached.resolve_now(&id(&format!("id{n}"))).is_some()));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_purged_while_its_load_waits_is_asked_for_after_that() {
    let source = Arc::new(Source::held());
    let cached = cached(&source, 500, 1);
    let first = asking(&cached, "id1");
    settle().await;
    let asked = ["id2", "id3"].map(|id| asking(&cached, id));
    settle().await;
    cached.purge(&id("id2"));
    let again = asking(&cached, "id2");
    settle().await;
    source.let_through(2);
    for asked in asked.into_iter().chain([first, again]) {
        assert!(asked.await.unwrap().is_ok());
    }
    // Both loads of it are in one call, and only the younger is kept.
    assert_eq!(source.calls()[1], ["id2", "id3", "id2"]);
    assert_eq!(cached.stats().refused_as_stale, 1);
    assert!(cached.resolve_now(&id("id2")).is_some());
}

#[test]
fn a_runtime_that_ends_gives_its_right_to_call_back() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let source = Arc::new(Source::held());
    let cached = builder_for(source.clone()).batches_at_once(1).build();
    let (first, second) = (runtime(), runtime());
    let waiting = {
        let _in_first = first.enter();
        [asking(&cached, "id1"), asking_for_one(&cached, "id2")]
    };
    second.block_on(until(|| cached.stats().misses >= 2 && source.count() > 0));
    first.shutdown_background();
    second.block_on(until(|| cached.stats().failed >= 2));
    drop(waiting);
    source.let_through(9);
    let answer = second.block_on(cached.resolve(&id("id1")));
    assert_eq!(said(&answer), Ok(Some("id1")));
}

#[test]
fn calls_on_runtimes_that_stand_still_stand_in_nobodys_way_for_longer_than_the_deadline() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = Arc::new(Source::held());
    let builder = builder_for(source.clone()).batches_at_once(2);
    let cached = builder.load_deadline(Duration::from_millis(100)).build();
    // Driven until the calls are under way, and then no more.
    let still = [runtime(), runtime()];
    for (n, runtime) in still.iter().enumerate() {
        runtime.block_on(async {
            asking(&cached, &format!("still{n}"));
            until(|| source.count() > n).await;
        });
    }
    let driven = runtime();
    source.let_through(9);
    let answers = driven.block_on(async {
        let first = cached.resolve(&id("id1")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        [first, cached.resolve(&id("id1")).await, cached.resolve(&id("id2")).await]
    });
    assert_eq!(
        answers.iter().map(said).collect::<Vec<_>>(),
        [Err(ErrorKind::Timeout), Ok(Some("id1")), Ok(Some("id2"))]
    );
    // When they go on, there are no more calls at once than before.
    for (n, runtime) in still.iter().enumerate() {
        assert_eq!(said(&runtime.block_on(cached.resolve(&id(&format!("still{n}"))))), Ok(Some(&*format!("still{n}"))));
    }
    driven.block_on(async {
        source.hold();
        let calls = source.count();
        for id in ["id3", "id4", "id5", "id6"] {
            asking(&cached, id);
            yield_often().await;
        }
        assert_eq!(source.count(), calls + 2);
    });
}

#[test]
fn a_load_that_waits_for_a_runtime_that_stands_still_is_asked_for_anew_after_the_deadline() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = Arc::new(Source::held());
    let builder = builder_for(source.clone()).batches_at_once(1);
    let cached = builder.load_deadline(Duration::from_millis(100)).build();
    let (still, driven) = (runtime(), runtime());
    still.block_on(async {
        asking(&cached, "still");
        until(|| source.count() > 0).await;
        asking(&cached, "id1");
        until(|| cached.stats().misses >= 2).await;
    });
    source.let_through(9);
    driven.block_on(async {
        // Each question may take as long as the deadline; of the first ones, some may still join the load that does not move.
        for _ in 0..5 {
            match said(&cached.resolve(&id("id1")).await) {
                Err(ErrorKind::Timeout) => {}
                answer => return assert_eq!(answer, Ok(Some("id1"))),
            }
        }
        panic!("nobody asks for it anew");
    });
}

#[test]
fn a_runtime_that_stands_still_keeps_no_right_to_call_while_others_go_on() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = Arc::new(Source::held());
    let deadline = Duration::from_millis(300);
    let cached = builder_for(source.clone()).batches_at_once(2).load_deadline(deadline).build();
    let (still, driven) = (runtime(), runtime());
    still.block_on(async {
        asking(&cached, "still");
        until(|| source.count() > 0).await;
    });
    source.let_through(1000);
    driven.block_on(async {
        let start = std::time::Instant::now();
        for n in 0.. {
            assert!(cached.resolve(&id(&format!("id{n}"))).await.is_ok());
            // The cache's clock may be some milliseconds behind.
            if start.elapsed() > deadline + deadline / 3 {
                break;
            }
            tokio::time::sleep(deadline / 20).await;
        }
        source.hold();
        let calls = source.count();
        for id in ["a", "b", "c"] {
            asking(&cached, id);
            yield_often().await;
        }
        assert_eq!(source.count(), calls + 2);
    });
}

#[test]
fn a_runtime_that_ends_fails_all_who_wait_however_many_they_are() {
    let source = Arc::new(Source::held());
    let cached = builder_for(source.clone()).batch_size(1).batches_at_once(1).build();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    {
        let _in_first = first.enter();
        asking_for(&cached, &texts(&names(20_000)));
    }
    second.block_on(until(|| cached.stats().misses >= 20_000 && source.count() > 0));
    first.shutdown_background();
    second.block_on(until(|| cached.stats().failed >= 20_000));
    assert_eq!(source.count(), 1);
    source.let_through(9);
    assert_eq!(said(&second.block_on(cached.resolve(&id("id7")))), Ok(Some("id7")));
}

/// Lets everything happen that can happen at once, in a runtime of one thread.
async fn yield_often() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn asking_for_one(
    cached: &ReadThrough<Arc<Source>>,
    acs_id: &str,
) -> tokio::task::JoinHandle<acs_identity_core::Answer> {
    let (cached, ids) = (cached.clone(), ids(&[acs_id]));
    tokio::spawn(async move { cached.resolve_many(&ids).await[0].clone() })
}
