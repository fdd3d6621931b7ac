//! What the cache promises holds in all histories.

use super::histories::{BASE, Scenario, explore};
use super::scenarios::*;
use super::world::Faults;

pub(super) fn often(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |often| often.parse().expect("a number"))
}

/// Nothing goes wrong in any of so many histories. One that does is told, step by step.
fn holds(scenario: Scenario) {
    let (count, wrong) = explore(scenario, None, often("SEED", 1), often("N", 800) as usize);
    if let Some(story) = wrong {
        panic!("history {count}: {story}");
    }
}

#[test]
fn reads_alone_share_one_load_of_an_id_at_a_time() {
    holds(READS);
}

#[test]
fn callers_who_leave_and_a_source_that_fails_or_panics_harm_nobody_else() {
    holds(Scenario { faults: Faults { down: 2, panics: 2, ..BASE.faults }, leave: 4, ..READS });
}

#[test]
fn no_read_is_older_than_a_write_or_a_purge_that_had_returned() {
    holds(WRITES);
}

#[test]
fn nor_is_it_if_callers_leave_and_the_source_fails() {
    holds(Scenario { faults: Faults { down: 1, panics: 1, ..BASE.faults }, leave: 3, batches_at_once: 1, ..WRITES });
}

#[test]
fn no_answer_outlives_its_lifetime() {
    holds(TIME);
}

#[test]
fn no_answer_outlives_its_mapping() {
    holds(EXPIRY);
}

#[test]
fn nor_does_one_that_is_renewed_ahead() {
    holds(Scenario { refresh: true, ..TIME });
}

#[test]
fn what_the_feed_has_told_is_seen_and_nothing_is_fresh_while_it_is_lost() {
    holds(FEED);
}

#[test]
fn a_feed_that_ends_is_subscribed_to_again() {
    holds(FEED_ENDS);
}

#[test]
fn nothing_is_fresh_if_nobody_has_listened_to_the_feed_for_a_while() {
    holds(NOT_HEARD);
}

#[test]
fn nor_is_it_if_who_listens_says_so_from_time_to_time() {
    holds(Scenario { timers: true, ..NOT_HEARD });
}

#[test]
fn a_write_of_unknown_outcome_may_be_applied_late() {
    holds(UNKNOWN);
}

#[test]
fn a_stale_answer_is_not_too_old() {
    holds(Scenario { stale: true, faults: DOWN, ..TIME });
}

#[test]
fn a_stale_answer_is_not_older_than_a_write_or_a_purge() {
    holds(Scenario { stale: true, faults: DOWN, ..WRITES });
}

#[test]
fn a_stale_answer_is_not_older_than_the_news() {
    holds(Scenario { stale: true, faults: DOWN, ..FEED });
}

#[test]
fn a_stale_answer_is_not_older_than_one_that_was_given_before() {
    holds(TOLD);
}

#[test]
fn a_source_that_hangs_is_given_up_in_time() {
    let faults = Faults { hangs: 2, down: 1, ..UNKNOWN.faults };
    holds(Scenario { stale: true, timers: true, faults, leave: 2, ..UNKNOWN });
}

#[test]
fn what_was_read_before_it_is_not_kept_after_its_time() {
    holds(BARS_OVER);
}

#[test]
fn what_a_source_says_is_stale_is_not_made_fresh() {
    holds(STALE_SOURCE);
}

#[test]
fn all_of_this_holds_if_everything_happens_at_once() {
    holds(Scenario { timers: false, faults: Faults { hangs: 0, ..EVERYTHING.faults }, ..EVERYTHING });
}

#[test]
fn it_also_does_if_the_source_hangs() {
    holds(EVERYTHING);
}

#[test]
fn it_also_does_with_a_feed() {
    holds(Scenario { feed: true, ..EVERYTHING });
}
