//! Models of the cache: its own source, on a scheduler that tries out in which order its tasks may go on, over a made-up store.
//!
//! ```sh
//! RUSTFLAGS="--cfg acs_identity_model" CARGO_TARGET_DIR=target/model cargo test -p acs-identity-cache --lib --all-features
//! ```

pub(crate) mod sync;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod restless;
#[cfg(test)]
mod world;

#[cfg(test)]
use crate::ReadThrough;

#[cfg(test)]
mod tests {
    use super::histories::Act::*;
    use super::histories::{BASE, Scenario, explore};
    use super::world::Faults;
    use crate::sync::Guard;

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
        acts: &[Read, Read, ReadNow, Page, Roster, Create, Replace, ReplaceMany, Unlink, Erase, Wait, Wait],
        faults: Faults { unknown: 8, ..BASE.faults },
        ..BASE
    };

    /// Writes of one ID, all of unknown outcome, in time for what was kept meanwhile to be found.
    const LATE: Scenario =
        Scenario { ids: 1, length: 6, waits: &[35], faults: Faults { unknown: 16, ..BASE.faults }, ..BASE };

    const DOWN: Faults = Faults { down: 4, ..BASE.faults };

    fn often(name: &str, default: u64) -> u64 {
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
        holds(Scenario {
            faults: Faults { down: 1, panics: 1, ..BASE.faults },
            leave: 3,
            batches_at_once: 1,
            ..WRITES
        });
    }

    #[test]
    fn no_answer_outlives_its_lifetime() {
        holds(TIME);
    }

    const EXPIRY: Scenario =
        Scenario { acts: &[Read, Read, Page, ReplaceForAWhile, Wait], ids: 1, waits: &[3], ..BASE };

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
        holds(Scenario { acts: &[Read, Read, Page, Replace, Elsewhere, Elsewhere, FeedEnds], timers: true, ..FEED });
    }

    const NOT_HEARD: Scenario =
        Scenario { acts: &[Read, Read, Page, Elsewhere, Elsewhere, Feed, Wait], waits: &[3, 15], ..FEED };

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

    /// What is read may be refused, as who it names is just being written, and then the source may be down.
    const TOLD: Scenario = Scenario {
        acts: &[Replace, Elsewhere, Elsewhere, Wait],
        one_reader: true,
        length: 6,
        waits: &[110],
        stale: true,
        faults: DOWN,
        ..BASE
    };

    #[test]
    fn a_stale_answer_is_not_older_than_one_that_was_given_before() {
        holds(TOLD);
    }

    #[test]
    fn a_source_that_hangs_is_given_up_in_time() {
        let faults = Faults { hangs: 2, down: 1, ..UNKNOWN.faults };
        holds(Scenario { stale: true, timers: true, faults, leave: 2, ..UNKNOWN });
    }

    const BARS_OVER: Scenario = Scenario { acts: &[Read, Read, Replace, Wait], ids: 2, ..LATE };

    #[test]
    fn what_was_read_before_it_is_not_kept_after_its_time() {
        holds(BARS_OVER);
    }

    /// Without a guard something goes wrong, and the model sees it.
    fn fails_without(guard: Guard, scenario: Scenario) {
        let (count, wrong) = explore(scenario, Some(guard), 1, 100_000);
        println!("{guard:?}: {count} histories");
        assert!(wrong.is_some(), "{guard:?} is of no use in {count} histories");
        // It is the guard that makes the difference.
        let (_, wrong) = explore(scenario, None, 1, often("N", 2 * count as u64) as usize);
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
}
