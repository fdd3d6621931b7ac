//! Races of two that random histories hardly ever come to: in all orders, but for a guard, they end well.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{AcsId, Resolution};
use acs_identity_testkit::ManualClock;

use super::histories::explore_any;
use super::sync::begin;
use crate::barriers::Barriers;
use crate::clock::Time;
use crate::lane::{Entered, Lane, Limits};
use crate::sync::Guard;
use crate::table::TableKind;

/// It ends well, and without the guard it does not.
fn is_lost_without(guard: Guard, race: fn() -> Result<(), String>) {
    let explore = |off, most| {
        explore_any(1, most, move || {
            begin(off, false, |_| ());
            race()
        })
    };
    let (count, wrong) = explore(Some(guard), 10_000);
    println!("{guard:?}: {count} races");
    assert!(wrong.is_some(), "{guard:?} is of no use in {count} races");
    assert_eq!(explore(None, 2_000).1, None);
}

/// A write of unknown outcome was applied at the last moment; the load of an answer from before it lands while its bar goes.
fn landing_while_a_bar_goes() -> Result<(), String> {
    let (second, clock) = (Duration::from_secs(1), ManualClock::new());
    let limits = Limits {
        lifetime: 100 * second,
        absent_lifetime: 100 * second,
        jitter: 0.0,
        refresh_ahead: 0.0,
        stale_for: Duration::ZERO,
        load_deadline: 100 * second,
        capacity: 100,
        absent_capacity: 100,
    };
    let barriers = Arc::new(Barriers::new(false));
    let time = Time::Of(Arc::new(clock.clone()));
    let lane =
        Arc::new(Lane::<AcsId, Option<Resolution>>::new(TableKind::default(), limits, time.clone(), barriers.clone()));
    let [id, other]: [AcsId; 2] = ["id", "other"].map(|id| id.parse().expect("an ID"));
    barriers.ids.bar(&id);
    barriers.lift(&id, Some(time.now() + 20_000_000), time.now());
    let Entered::Leader(load) = lane.enter(&id, |_| true, || {}) else { return Err("nothing is under way".into()) };
    load.begin();
    clock.advance(30 * second);
    let landing = shuttle::thread::spawn(move || load.land(Ok(None)));
    barriers.ids.bar(&other);
    barriers.lift(&other, None, time.now());
    landing.join().map_err(|_| "the landing has panicked")?;
    match lane.get(&id, |_| true, || {}) {
        None => Ok(()),
        Some(_) => Err("what was there before the write was stored".into()),
    }
}

/// Who followed the feed and was replaced still says that it is live, as it stood still since it was told so.
fn two_who_follow() -> Result<(), String> {
    let barriers = Arc::new(Barriers::new(true));
    let older = barriers.next_follower();
    let said = barriers.clone();
    let late = shuttle::thread::spawn(move || said.set_live(true, older));
    let newer = barriers.next_follower();
    barriers.set_live(true, newer);
    barriers.set_live(false, newer);
    late.join().map_err(|_| "it has panicked")?;
    if barriers.feed().live { Err("it is lost, and counts as live".into()) } else { Ok(()) }
}

#[test]
fn a_landing_is_lost_without_key_is_stamped() {
    is_lost_without(Guard::KeyIsStamped, landing_while_a_bar_goes);
}

#[test]
fn a_landing_is_lost_without_bar_leaves_a_stamp() {
    is_lost_without(Guard::BarLeavesAStamp, landing_while_a_bar_goes);
}

#[test]
fn a_landing_is_lost_without_stamp_before_unbarred() {
    is_lost_without(Guard::StampBeforeUnbarred, landing_while_a_bar_goes);
}

#[test]
fn the_feed_is_lost_without_live_by_who_follows() {
    is_lost_without(Guard::LiveByWhoFollows, two_who_follow);
}
