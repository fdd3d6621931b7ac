//! Barriers: numbers that say what was loaded before which write, purge or piece of news.
//!
//! Each write, purge, change and loss of the feed takes the next number, after it has happened. A load keeps the last number there was
//! when it began. So an answer is older than a barrier exactly if its number is less, and is then not given out:
//! - the barriers of everything (a purge, or news that anything may have changed, or that the feed was lost or works) are one number each;
//! - the barrier of an ACS ID counts for customers' pages that hold it, and that of a customer for ACS IDs that are the
//!   customer's: they are stamped into an array by their hash. Two that share a place cost a load too many, and never one too few.
//!
//! A load that began before a barrier is not joined by who comes after it: of that direction for which the barrier counts, as nobody knows yet
//! what the load's answer will name. It may still be stored, if nothing that it turns out to name has changed.
//!
//! What a write touches is also barred from being stored until the write is over: see [`Side::bar`].

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use acs_identity_core::{AcsId, CustomerId};
use foldhash::quality::RandomState;

use crate::sync::{AtomicU32, AtomicU64, Guard, Mutex, Ordering, is_on, lock};

// In a model there are few keys, and what shares a place is to be met with.
/// In which of these a key is stamped, its hash says.
const PLACES: usize = if cfg!(acs_identity_model) { 1 << 8 } else { 1 << 14 };
/// The bars of a side are parted by their key's hash, each part with a lock of its own.
const SHARDS: usize = if cfg!(acs_identity_model) { 2 } else { 16 };

/// What is asked by: an ACS ID or a customer ID.
pub(crate) trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    /// The barriers of such keys.
    fn side(barriers: &Barriers) -> &Side<Self>;

    /// Puts a barrier after what was loaded until now and names this.
    fn stamp(&self, barriers: &Barriers);
}

impl Key for AcsId {
    fn side(barriers: &Barriers) -> &Side<Self> {
        &barriers.ids
    }

    fn stamp(&self, barriers: &Barriers) {
        barriers.stamp_id(self);
    }
}

impl Key for CustomerId {
    fn side(barriers: &Barriers) -> &Side<Self> {
        &barriers.customers
    }

    fn stamp(&self, barriers: &Barriers) {
        barriers.stamp_customer(self);
    }
}

/// The barriers of a cache, for both directions.
pub(crate) struct Barriers {
    last: AtomicU64,
    /// Until when the feed counts as heard, in microseconds. Nothing is fresh after that.
    heard_until: AtomicU64,
    /// What was loaded before this is not fresh; all, while the feed is not live.
    fresh_from: AtomicU64,
    /// What was loaded before this is known to be of no use, also as a stale answer.
    usable_from: AtomicU64,
    feed: Mutex<Feed>,
    pub(crate) ids: Side<AcsId>,
    pub(crate) customers: Side<CustomerId>,
}

/// Where the change feed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// Whether nothing is missed at this moment; also if there is no feed.
    pub(crate) live: bool,
    /// How many times it has begun to work.
    pub(crate) epoch: u64,
    /// The number of who follows it. Those before have no say any more.
    follower: u64,
}

impl Barriers {
    /// With a feed, nothing is fresh until it is live.
    pub(crate) fn new(with_feed: bool) -> Self {
        Self {
            last: AtomicU64::new(0),
            heard_until: AtomicU64::new(u64::MAX),
            fresh_from: AtomicU64::new(if with_feed { u64::MAX } else { 0 }),
            usable_from: AtomicU64::new(0),
            feed: Mutex::new(Feed { live: !with_feed, epoch: 0, follower: 0 }),
            ids: Side::new(),
            customers: Side::new(),
        }
    }

    /// The number of the last barrier: that of a load which begins now.
    pub(crate) fn now(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Forgets everything that was loaded until now.
    pub(crate) fn forget_all(&self) {
        let feed = lock(&self.feed);
        let number = self.raise(*feed);
        self.usable_from.fetch_max(number, Ordering::AcqRel);
    }

    /// Another one follows the feed: until it says that it works, something may have been missed.
    pub(crate) fn next_follower(&self) -> u64 {
        let mut feed = lock(&self.feed);
        feed.follower += 1;
        if is_on(Guard::FollowerBeginsAnew) {
            feed.live = false;
            self.raise(*feed);
        }
        feed.follower
    }

    /// Says that the feed works from now on, or that something may have been missed.
    pub(crate) fn set_live(&self, live: bool, by: u64) {
        let mut feed = lock(&self.feed);
        if by != feed.follower && is_on(Guard::LiveByWhoFollows) {
            return;
        }
        feed.live = live;
        feed.epoch += u64::from(live);
        self.raise(*feed);
    }

    fn raise(&self, feed: Feed) -> u64 {
        let number = self.next();
        self.ids.end_joining(number);
        self.customers.end_joining(number);
        let fresh_from = if feed.live || !is_on(Guard::FeedIsLive) { number } else { u64::MAX };
        self.fresh_from.store(fresh_from, Ordering::Release);
        number
    }

    pub(crate) fn feed(&self) -> Feed {
        *lock(&self.feed)
    }

    /// Says that the feed is listened to, which is good until then.
    pub(crate) fn hear_until(&self, until: u64, by: u64) {
        let feed = lock(&self.feed);
        if by == feed.follower || !is_on(Guard::HeardByWhoFollows) {
            self.heard_until.store(until, Ordering::Release);
        }
    }

    /// Whether somebody listens to the feed, as far as anybody can know.
    #[inline]
    pub(crate) fn is_heard(&self, now: u64) -> bool {
        now <= self.heard_until.load(Ordering::Acquire) || !is_on(Guard::FeedIsHeard)
    }

    #[inline]
    pub(crate) fn is_fresh(&self, born: u64, now: u64) -> bool {
        // In this order: who listens again has ended the epoch before.
        let is_early = !is_on(Guard::HeardBeforeEpoch) && self.is_of_this_epoch(born);
        self.is_heard(now) && (is_early || self.is_of_this_epoch(born))
    }

    #[inline]
    fn is_of_this_epoch(&self, born: u64) -> bool {
        born >= self.fresh_from.load(Ordering::Acquire) || !is_on(Guard::Floor)
    }

    pub(crate) fn is_usable(&self, born: u64) -> bool {
        born >= self.usable_from.load(Ordering::Acquire) || !is_on(Guard::StaleIsUnchanged)
    }

    /// Puts a barrier after what was loaded until now of customers' pages that hold an ACS ID.
    pub(crate) fn stamp_id(&self, id: &AcsId) {
        let number = self.next();
        self.ids.stamp(id, number);
        self.customers.end_joining(number);
    }

    /// Puts a barrier after what was loaded until now of ACS IDs that are a customer's.
    pub(crate) fn stamp_customer(&self, customer: &CustomerId) {
        let number = self.next();
        self.customers.stamp(customer, number);
        self.ids.end_joining(number);
    }

    /// Ends a [`bar`](Side::bar), or lets it last until a moment in microseconds of the monotonic clock.
    pub(crate) fn lift<K: Key>(&self, key: &K, until: Option<u64>, now: u64) {
        let side = K::side(self);
        if let Some(bar) = lock(side.shard(key)).get_mut(key) {
            bar.writers = bar.writers.saturating_sub(1);
            bar.until = bar.until.max(until.unwrap_or(0));
        }
        if let Some(until) = until {
            lock(&side.lasting).push_back((until, key.clone()));
        }
        self.remove_if_over(key, now);
        while let Some(over) = side.next_over(now) {
            self.remove_if_over(&over, now);
        }
    }

    fn remove_if_over<K: Key>(&self, key: &K, now: u64) {
        let side = K::side(self);
        let mut bars = lock(side.shard(key));
        let Some(bar) = bars.get(key).filter(|bar| bar.writers == 0 && bar.until <= now) else { return };
        // In its place, before it goes: loads that began before may still be under way, and who lands one looks for no bar where none are counted.
        let stays = bar.until > 0 && is_on(Guard::BarLeavesAStamp);
        if stays && is_on(Guard::StampBeforeUnbarred) {
            key.stamp(self);
        }
        bars.remove(key);
        side.barred.fetch_sub(1, Ordering::AcqRel);
        if stays && !is_on(Guard::StampBeforeUnbarred) {
            key.stamp(self);
        }
    }
}

/// The barriers of the keys of one direction.
pub(crate) struct Side<K> {
    /// A load of such a key that began before this is joined by nobody.
    joinable_from: AtomicU64,
    /// What names such a key and was loaded before is not given out.
    stamps: Box<[AtomicU64]>,
    bars: Box<[Mutex<HashMap<K, Bar, RandomState>>]>,
    /// The keys whose bars last longer than their writes, and until when: in the order of that, as good as.
    lasting: Mutex<VecDeque<(u64, K)>>,
    /// How many keys are barred; mostly none.
    barred: AtomicU32,
    hasher: RandomState,
}

/// Keeps what is known of a key from being stored.
#[derive(Default)]
struct Bar {
    /// Writes under way.
    writers: u32,
    /// The end, in microseconds, of the time in which a write may still be applied whose outcome is not known.
    until: u64,
}

impl<K: Hash + Eq + Clone> Side<K> {
    fn new() -> Self {
        Self {
            joinable_from: AtomicU64::new(0),
            stamps: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            bars: (0..SHARDS).map(|_| Mutex::new(HashMap::default())).collect(),
            lasting: Mutex::default(),
            barred: AtomicU32::new(0),
            hasher: RandomState::default(),
        }
    }

    fn end_joining(&self, number: u64) {
        self.joinable_from.fetch_max(number, Ordering::AcqRel);
    }

    pub(crate) fn is_joinable(&self, born: u64) -> bool {
        self.is_newest(born) || !is_on(Guard::JoinFloor)
    }

    /// Whether no barrier that may count for what such keys are asked for came since then.
    #[inline]
    pub(crate) fn is_newest(&self, born: u64) -> bool {
        born >= self.joinable_from.load(Ordering::Acquire)
    }

    fn stamp(&self, key: &K, number: u64) {
        self.stamps[self.place(key) as usize].fetch_max(number, Ordering::AcqRel);
    }

    /// Where a key is stamped.
    pub(crate) fn place(&self, key: &K) -> u32 {
        self.hasher.hash_one(key) as u32 & (PLACES as u32 - 1)
    }

    /// Whether what was loaded then is newer than the last barrier at a place.
    pub(crate) fn is_newer(&self, born: u64, place: u32) -> bool {
        born >= self.stamps[place as usize].load(Ordering::Acquire)
    }

    /// Keeps what is known of a key, or names it, from being stored, until this is [lifted](Barriers::lift).
    pub(crate) fn bar(&self, key: &K) {
        let mut bars = lock(self.shard(key));
        let bar = bars.entry(key.clone()).or_insert_with(|| {
            self.barred.fetch_add(1, Ordering::AcqRel);
            Bar::default()
        });
        bar.writers += 1;
    }

    /// Whether what a load which began at a moment tells of a key is not to be stored. It is the load's beginning that counts: it may
    /// have read what was there before a write that was applied at the last moment, and land after that. While a write is under way, what is
    /// stored would be forgotten at its end; but others may see by then that it was applied, for as long as its answer takes.
    pub(crate) fn is_barred(&self, key: &K, started: u64) -> bool {
        if self.barred.load(Ordering::Acquire) == 0 {
            return false;
        }
        lock(self.shard(key)).get(key).is_some_and(|bar| bar.writers > 0 || bar.until > started)
    }

    /// The next key whose bar lasted until a moment that has come.
    fn next_over(&self, now: u64) -> Option<K> {
        lock(&self.lasting).pop_front_if(|(until, _)| *until <= now).map(|(_, key)| key)
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, Bar, RandomState>> {
        &self.bars[(self.hasher.hash_one(key) >> 32) as usize % SHARDS]
    }
}

#[cfg(all(test, not(acs_identity_model)))]
mod tests {
    use super::*;

    #[test]
    fn a_bar_lasts_until_all_writes_are_over_and_the_time_of_those_of_unknown_outcome_too() {
        let barriers = Barriers::new(false);
        let [one, other, last] = ["one", "other", "last"].map(|id| AcsId::new(id).unwrap());
        let ids = &barriers.ids;
        [&one, &one, &other, &last].into_iter().for_each(|id| ids.bar(id));
        let barred = |started| [&one, &other, &last].map(|id| ids.is_barred(id, started));
        assert_eq!(barred(9), [true; 3]);
        barriers.lift(&one, None, 1);
        assert_eq!(barred(9), [true; 3], "another write of it is under way");
        barriers.lift(&one, Some(5), 1);
        barriers.lift(&other, Some(7), 2);
        assert_eq!((barred(4), barred(5), barred(7)), ([true; 3], [false, true, true], [false, false, true]));
        let before = barriers.now();
        assert!([&one, &other].iter().all(|id| ids.is_newer(before, ids.place(id))));
        // Whose time is over goes with the next that is lifted, and is stamped.
        barriers.lift(&last, None, 6);
        assert!(!ids.is_newer(before, ids.place(&one)) && ids.is_newer(before, ids.place(&last)));
        assert_eq!((barred(0), ids.barred.load(Ordering::Acquire)), ([false, true, false], 1));
        ids.bar(&one);
        barriers.lift(&one, None, 7);
        assert_eq!((barred(0), ids.barred.load(Ordering::Acquire)), ([false; 3], 0));
    }

    #[test]
    fn who_followed_the_feed_before_another_one_has_no_say_any_more() {
        let barriers = Barriers::new(true);
        let one = barriers.next_follower();
        barriers.set_live(true, one);
        let born = barriers.now();
        assert!(barriers.feed().live && barriers.is_fresh(born, 0));
        let other = barriers.next_follower();
        assert!(!barriers.feed().live && !barriers.is_fresh(born, 0));
        barriers.set_live(true, one);
        assert!(!barriers.feed().live && !barriers.is_fresh(barriers.now(), 0));
        barriers.set_live(true, other);
        barriers.set_live(false, one);
        assert!(barriers.feed().live && barriers.is_fresh(barriers.now(), 0) && !barriers.is_fresh(born, 0));
    }

    #[test]
    fn nothing_is_fresh_after_the_time_for_which_the_feed_is_heard() {
        let barriers = Barriers::new(true);
        let (one, other) = (barriers.next_follower(), barriers.next_follower());
        barriers.set_live(true, other);
        let born = barriers.now();
        barriers.hear_until(7, other);
        barriers.hear_until(9, one);
        assert_eq!([7, 8].map(|now| barriers.is_fresh(born, now)), [true, false]);
    }

    #[test]
    fn a_bar_whose_time_is_over_stays_as_long_as_a_write_is_under_way() {
        let barriers = Barriers::new(false);
        let [one, other] = ["one", "other"].map(|id| AcsId::new(id).unwrap());
        let ids = &barriers.ids;
        [&one, &one, &other].into_iter().for_each(|id| ids.bar(id));
        barriers.lift(&one, Some(5), 1);
        barriers.lift(&other, None, 9);
        assert!(ids.is_barred(&one, 9));
        let before = barriers.now();
        barriers.lift(&one, None, 10);
        assert!(!ids.is_barred(&one, 0) && !ids.is_newer(before, ids.place(&one)));
    }
}
