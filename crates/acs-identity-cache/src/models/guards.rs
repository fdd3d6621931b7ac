//! Without a guard something goes wrong, and the model sees it.

use super::histories::Act::*;
use super::histories::{BASE, Scenario, explore};
use super::promises::often;
use super::scenarios::*;
use super::world::Faults;
use crate::sync::Guard;

/// Without a guard something goes wrong, and the model sees it.
fn fails_without(guard: Guard, scenario: Scenario) {
    let (count, wrong) = explore(scenario, Some(guard), 1, 100_000);
    println!("{guard:?}: {count} histories");
    assert!(wrong.is_some(), "{guard:?} is of no use in {count} histories");
    // It is the guard that makes the difference.
    let (_, wrong) = explore(scenario, None, 1, often("N", (2 * count as u64).min(4_000)) as usize);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn the_model_fails_without_flight_is_the_keys() {
    fails_without(Guard::FlightIsTheKeys, Scenario { acts: &[Read, Page, Page, Replace, Elsewhere], ..BASE });
}

#[test]
fn the_model_fails_without_key_is_barred() {
    fails_without(Guard::KeyIsBarred, Scenario { acts: &[Read, Read, Read, Replace, Wait], ..LATE });
}

#[test]
fn the_model_fails_without_joined_while_young() {
    fails_without(Guard::JoinedWhileYoung, Scenario { acts: &[Read, Read, Elsewhere, Wait], ids: 1, ..BASE });
}

#[test]
fn the_model_fails_without_older_is_removed() {
    let faults = Faults { down: 6, unknown: 16, ..BASE.faults };
    fails_without(Guard::OlderIsRemoved, Scenario { faults, tasks: 3, ..TOLD });
}

#[test]
fn the_model_fails_without_forget_before_write() {
    fails_without(Guard::ForgetBeforeWrite, Scenario { acts: &[Read, Read, Replace, Unlink, Elsewhere], ..BASE });
}

#[test]
fn the_model_fails_without_named_is_barred() {
    fails_without(Guard::NamedIsBarred, Scenario { acts: &[Page, Page, Page, Replace, Wait], ..LATE });
}

#[test]
fn the_model_fails_without_floor() {
    fails_without(Guard::Floor, Scenario { acts: &[Read, Read, Elsewhere, Feed], ..FEED });
}

#[test]
fn the_model_fails_without_stamp() {
    fails_without(Guard::Stamp, Scenario { acts: &[Read, Page, Replace, PurgeCustomer, Elsewhere], ..BASE });
}

#[test]
fn the_model_fails_without_join_floor() {
    fails_without(Guard::JoinFloor, Scenario { acts: &[Read, Page, PurgeAll, Elsewhere], ..BASE });
}

#[test]
fn the_model_fails_without_forget_after_write() {
    fails_without(Guard::ForgetAfterWrite, Scenario { acts: &[Read, Read, Page, Replace], ..BASE });
}

#[test]
fn the_model_fails_without_feed_is_live() {
    fails_without(Guard::FeedIsLive, Scenario { acts: &[Read, Read, Elsewhere, Feed], ..FEED });
}

#[test]
fn the_model_fails_without_feed_is_heard() {
    fails_without(Guard::FeedIsHeard, NOT_HEARD);
}

#[test]
fn the_model_fails_without_lifetime_from_start() {
    fails_without(Guard::LifetimeFromStart, Scenario { acts: &[Read, Read, Elsewhere, Wait], ids: 1, ..BASE });
}

#[test]
fn the_model_fails_without_joined_in_time() {
    fails_without(Guard::JoinedInTime, EXPIRY);
}

#[test]
fn the_model_fails_without_stale_is_unchanged() {
    let acts = &[Read, Read, PurgeAll, Elsewhere];
    fails_without(Guard::StaleIsUnchanged, Scenario { acts, stale: true, faults: DOWN, ..BASE });
}

#[test]
fn the_model_fails_without_older_are_taken_out() {
    let faults = Faults { slow: 40, ..DOWN };
    let acts = &[Elsewhere, Elsewhere, Wait];
    fails_without(Guard::OlderAreTakenOut, Scenario { acts, ids: 1, leave: 6, faults, ..TOLD });
}

#[test]
fn the_model_fails_without_other_is_removed() {
    fails_without(Guard::OtherIsRemoved, Scenario { acts: &[Elsewhere, Elsewhere, Wait], ids: 1, ..TOLD });
}

#[test]
fn the_model_fails_without_source_is_fresh() {
    fails_without(Guard::SourceIsFresh, STALE_SOURCE);
}

#[test]
fn the_model_fails_without_flights_are_forgotten() {
    fails_without(Guard::FlightsAreForgotten, Scenario { acts: &[Read, Read, Replace, Purge, Elsewhere], ..BASE });
}

#[test]
fn the_model_fails_without_heard_before_epoch() {
    fails_without(Guard::HeardBeforeEpoch, STANDS_STILL);
}

#[test]
fn the_model_fails_without_follower_begins_anew() {
    fails_without(Guard::FollowerBeginsAnew, NOT_HEARD);
}

#[test]
fn the_model_fails_without_heard_by_who_follows() {
    fails_without(Guard::HeardByWhoFollows, STANDS_STILL);
}

#[test]
fn the_model_fails_without_end_is_a_loss() {
    let acts = &[Read, Read, Elsewhere, FeedEnds];
    fails_without(Guard::EndIsALoss, Scenario { acts, ids: 1, tasks: 6, length: 6, ..FEED_ENDS });
}

#[test]
fn the_model_fails_without_heard_till_now() {
    fails_without(Guard::HeardTillNow, STANDS_STILL);
}

#[test]
fn the_model_fails_without_heard_at_the_look() {
    fails_without(Guard::HeardAtTheLook, STANDS_STILL);
}

#[test]
fn the_model_fails_without_flush_is_forgotten() {
    let acts = &[Read, Read, Elsewhere, Feed];
    fails_without(Guard::FlushIsForgotten, Scenario { acts, stale: true, faults: DOWN, ..FEED });
}

#[test]
fn the_model_fails_without_lifetime() {
    fails_without(Guard::Lifetime, Scenario { acts: &[Read, Read, Elsewhere, Wait], ids: 1, ..BASE });
}

#[test]
fn the_model_fails_without_lasts_as_its_mapping() {
    fails_without(Guard::LastsAsItsMapping, EXPIRY);
}

#[test]
fn the_model_fails_without_stale_for_a_while() {
    let acts = &[Read, Read, Elsewhere, Wait];
    let scenario = Scenario { acts, ids: 1, waits: &[110, 350], stale: true, faults: DOWN, ..BASE };
    fails_without(Guard::StaleForAWhile, scenario);
}

#[test]
fn the_model_fails_without_stale_while_it_lasts() {
    fails_without(Guard::StaleWhileItLasts, Scenario { stale: true, faults: DOWN, ..EXPIRY });
}
