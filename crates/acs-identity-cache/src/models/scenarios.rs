//! What may happen in the histories of one sort.

use super::histories::Act::{self, *};
use super::histories::{BASE, Scenario};
use super::world::Faults;

pub(super) const READS: Scenario = Scenario { acts: &[Read, Read, ReadNow, Roster, Page], ..BASE };

pub(super) const WRITES: Scenario = Scenario {
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

pub(super) const TIME: Scenario = Scenario {
    acts: &[Read, Read, ReadNow, Roster, Page, Replace, ReplaceForAWhile, Elsewhere, Elsewhere, Wait, Wait],
    ..BASE
};

/// What expires is read in time.
pub(super) const EXPIRY: Scenario =
    Scenario { acts: &[Read, Read, Page, ReplaceForAWhile, Wait], ids: 1, waits: &[3], ..BASE };

pub(super) const FEED: Scenario = Scenario {
    acts: &[Read, Read, ReadNow, Page, Roster, Replace, Erase, Elsewhere, Elsewhere, Feed, NewsOfAll],
    feed: true,
    ..BASE
};

pub(super) const FEED_ENDS: Scenario =
    Scenario { acts: &[Read, Read, Page, Replace, Elsewhere, Elsewhere, FeedEnds], timers: true, ..FEED };

pub(super) const NOT_HEARD: Scenario =
    Scenario { acts: &[Read, Read, Page, Elsewhere, Elsewhere, Feed, Wait], waits: &[3, 15], ..FEED };

/// Who listens stands still, and others wait for him in vain.
pub(super) const STANDS_STILL: Scenario =
    Scenario { acts: &[Read, Read, Elsewhere, Wait], ids: 1, waits: &[6], tasks: 6, length: 6, ..FEED };

pub(super) const UNKNOWN: Scenario = Scenario {
    acts: &[Read, Read, ReadNow, Page, Roster, Create, Replace, ReplaceMany, Unlink, Erase, Wait, Wait],
    faults: Faults { unknown: 8, ..BASE.faults },
    ..BASE
};

/// Writes of one ID, all of unknown outcome, in time for what was kept meanwhile to be found.
pub(super) const LATE: Scenario =
    Scenario { ids: 1, length: 6, waits: &[35], faults: Faults { unknown: 16, ..BASE.faults }, ..BASE };

/// The same, also of two.
pub(super) const BARS_OVER: Scenario = Scenario { acts: &[Read, Read, Replace, Wait], ids: 2, ..LATE };

pub(super) const DOWN: Faults = Faults { down: 4, ..BASE.faults };

/// What is read may be refused, as who it names is just being written, and then the source may be down.
pub(super) const TOLD: Scenario = Scenario {
    acts: &[Replace, Elsewhere, Elsewhere, Wait],
    one_reader: true,
    length: 6,
    waits: &[110],
    stale: true,
    faults: DOWN,
    ..BASE
};

/// Those of a feed are of no account where there is none.
const ALL_ACTS: &[Act] = &[
    Read,
    Read,
    Read,
    Read,
    ReadNow,
    ReadNow,
    Roster,
    Page,
    Page,
    Create,
    Replace,
    Replace,
    ReplaceForAWhile,
    ReplaceMany,
    Unlink,
    Erase,
    Purge,
    PurgeCustomer,
    PurgeAll,
    Elsewhere,
    Elsewhere,
    Wait,
    Wait,
    Feed,
    FeedEnds,
    NewsOfAll,
];

/// Everything at once.
pub(super) const EVERYTHING: Scenario = Scenario {
    acts: ALL_ACTS,
    length: 6,
    faults: Faults { down: 2, panics: 1, hangs: 1, unknown: 3, ..BASE.faults },
    timers: true,
    stale: true,
    refresh: true,
    leave: 3,
    ..BASE
};

/// The source is a cache itself.
pub(super) const STALE_SOURCE: Scenario = Scenario {
    acts: &[Read, Read, Roster, Replace, Replace, Elsewhere],
    ids: 1,
    faults: Faults { stale: 4, ..BASE.faults },
    ..BASE
};
