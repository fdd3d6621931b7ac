//! One namespace: the shards of both directions, and the writes that change both in one step.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, RwLock};

use tokio::sync::broadcast;

use super::reverse::Reverse;
use super::shard::Shard;
use super::{feed, read, write};
use crate::rules::{self, LinkPlan, Present};
use crate::{
    AcsId, Change, Clock, Cursor, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, Page, PageRequest,
    Resolution, Result, Revision, Timestamp,
};

/// Enough that two threads seldom meet, and that listing a page has to look at a small part of the mappings.
const SHARDS: usize = 256;

pub(super) struct Space {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    // Locks are taken in this order: one forward shard, then reverse shards by rising index.
    forward: Box<[RwLock<Shard>]>,
    reverse: Box<[RwLock<Reverse>]>,
    feed: feed::Sender,
}

/// What a write does to the mapping of an ACS ID.
enum Step {
    Keep,
    Put(Mapping),
    Bury(Revision),
}

impl Space {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hasher: RandomState::new(),
            forward: (0..SHARDS).map(|_| RwLock::default()).collect(),
            reverse: (0..SHARDS).map(|_| RwLock::default()).collect(),
            feed: feed::Sender::default(),
        }
    }

    pub(super) fn resolve(&self, id: &AcsId) -> Option<Resolution> {
        let shard = read(&self.forward[self.place(id)]);
        let mapping = shard.get(id)?;
        let remaining = match mapping.expires_at {
            None => None,
            Some(at) => {
                let now = self.clock.now();
                if at <= now {
                    return None;
                }
                Some(at.since(now))
            }
        };
        let resolution = Resolution::from(mapping.customer_id.clone()).with_properties(mapping.properties.clone());
        Some(resolution.lasting(remaining).at_revision(mapping.revision))
    }

    pub(super) fn link(&self, link: &Link) -> Result<Linked> {
        self.write(&link.acs_id, |present, now| {
            Ok(match rules::plan_link(link, present, now)? {
                LinkPlan::Write(mapping, linked) => (Step::Put(mapping), linked),
                LinkPlan::Keep(linked) => (Step::Keep, linked),
            })
        })
    }

    pub(super) fn import(&self, mapping: &Mapping) -> Result<Imported> {
        self.write(&mapping.acs_id, |present, now| {
            let imported = rules::plan_import(mapping, present, now);
            let step = if imported == Imported::Written { Step::Put(mapping.clone()) } else { Step::Keep };
            Ok((step, imported))
        })
    }

    pub(super) fn unlink(&self, id: &AcsId, expect: &Expect) -> Result<Option<Mapping>> {
        self.write(id, |present, now| {
            Ok(match rules::plan_unlink(expect, present, now)? {
                Some(revision) => (Step::Bury(revision), present.live(now).cloned()),
                None => (Step::Keep, None),
            })
        })
    }

    pub(super) fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        let held = read(&self.reverse[self.place(customer)]).of(customer, None, usize::MAX);
        let expect = Expect::Customer(customer.clone());
        let mut removed = 0;
        for mapping in held {
            match self.unlink(&mapping.acs_id, &expect) {
                Ok(Some(_)) => removed += 1,
                // Already absent for everyone, but the customer is to be forgotten.
                Ok(None) => self.bury_expired(&mapping),
                // Somebody re-linked it since: it is not the customer's any more.
                Err(error) if error.kind() == crate::ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Removes a mapping if it is still there, and expired.
    fn bury_expired(&self, mapping: &Arc<Mapping>) {
        let mut shard = write(&self.forward[self.place(&mapping.acs_id)]);
        let now = self.clock.now();
        if mapping.is_expired(now) && shard.get(&mapping.acs_id).is_some_and(|there| Arc::ptr_eq(there, mapping)) {
            self.bury_in(&mut shard, mapping, now);
        }
    }

    /// Puts a tombstone in place of an expired mapping, since the ID's revision must rise across an expiry as across an
    /// unlink. Tells nobody: an expiry is no change.
    fn bury_in(&self, shard: &mut Shard, mapping: &Mapping, now: Timestamp) {
        write(&self.reverse[self.place(&mapping.customer_id)]).remove(mapping);
        shard.bury(&mapping.acs_id, mapping.revision, now);
    }

    pub(super) fn mappings_of(&self, customer: &CustomerId, page: &PageRequest) -> Result<Page<Mapping>> {
        let after =
            page.cursor().map(|cursor| parse_cursor(cursor, BY_CUSTOMER, |text| text.parse().ok())).transpose()?;
        let after = match after {
            None => None,
            Some((micros, id)) => Some((Timestamp::from_micros(micros), AcsId::new(id).map_err(|_| bad_cursor())?)),
        };
        let limit = page.limit() as usize;
        let mut held = read(&self.reverse[self.place(customer)]).of(customer, after.as_ref(), limit + 1);
        let more = held.len() > limit;
        held.truncate(limit);
        let next = held
            .last()
            .filter(|_| more)
            .map(|last| cursor(BY_CUSTOMER, last.created_at.as_micros(), last.acs_id.as_str()));
        let now = self.clock.now();
        Ok(Page::new(alive(held, now), next, now))
    }

    pub(super) fn scan(&self, page: &PageRequest) -> Result<Page<Mapping>> {
        let shard_number = |text: &str| text.parse().ok().filter(|place| *place < SHARDS);
        let (start, mut after) = match page.cursor() {
            None => (0, None),
            Some(cursor) => {
                let (place, id) = parse_cursor(cursor, ALL, shard_number)?;
                (place, Some(id).filter(|id| !id.is_empty()))
            }
        };
        let limit = page.limit() as usize;
        let mut found = Vec::new();
        let mut next = None;
        for place in start..SHARDS {
            found.extend(read(&self.forward[place]).first_after(after.take(), limit - found.len()));
            if found.len() == limit {
                next = found.last().map(|last: &Arc<Mapping>| cursor(ALL, place, last.acs_id.as_str()));
                break;
            }
        }
        let now = self.clock.now();
        Ok(Page::new(alive(found, now), next, now))
    }

    pub(super) fn purge_expired(&self, limit: u32) -> u64 {
        let mut left = limit as usize;
        for shard in &self.forward {
            if left == 0 {
                break;
            }
            let mut shard = write(shard);
            let now = self.clock.now();
            shard.sweep(now);
            for mapping in shard.expired(now, left) {
                self.bury_in(&mut shard, &mapping, now);
                left -= 1;
            }
        }
        u64::from(limit) - left as u64
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Option<Change>> {
        self.feed.subscribe()
    }

    pub(super) fn wake_feeds(&self) {
        self.feed.wake();
    }

    /// The one way in which anything is written: decides on what is there and does it while the ID's shard is held.
    fn write<T>(&self, id: &AcsId, decide: impl FnOnce(&Present, Timestamp) -> Result<(Step, T)>) -> Result<T> {
        let mut shard = write(&self.forward[self.place(id)]);
        let now = self.clock.now();
        shard.sweep(now);
        let (step, outcome) = decide(&shard.present(id), now)?;
        let old = shard.get(id).cloned();
        let (new, revision) = match step {
            Step::Keep => return Ok(outcome),
            Step::Put(mapping) => (Some(Arc::new(mapping)), None),
            Step::Bury(revision) => (None, Some(revision)),
        };
        self.change_reverse(old.as_deref(), new.as_ref());
        if let Some(revision) = revision {
            shard.bury(id, revision, now);
            self.feed.send(id, revision, [old.as_deref(), None]);
        } else if let Some(new) = new {
            shard.put(new.clone());
            self.feed.send(id, new.revision, [old.as_deref(), Some(&new)]);
        }
        Ok(outcome)
    }

    fn change_reverse(&self, old: Option<&Mapping>, new: Option<&Arc<Mapping>>) {
        let old_place = old.map(|mapping| self.place(&mapping.customer_id));
        let new_place = new.map(|mapping| self.place(&mapping.customer_id));
        // Both are held before either is changed, so that nobody sees the ID with both customers or with none.
        let mut places: Vec<usize> = old_place.into_iter().chain(new_place).collect();
        places.sort_unstable();
        places.dedup();
        let mut held: Vec<_> = places.iter().map(|place| (*place, write(&self.reverse[*place]))).collect();
        for (place, reverse) in &mut held {
            if let Some(old) = old.filter(|_| old_place == Some(*place)) {
                reverse.remove(old);
            }
            if let Some(new) = new.filter(|_| new_place == Some(*place)) {
                reverse.insert(new.clone());
            }
        }
    }

    fn place(&self, key: &impl Hash) -> usize {
        // The upper half: the tables inside the shards use their own hash, so any bits would do.
        (self.hasher.hash_one(key) >> 32) as usize % SHARDS
    }
}

fn alive(found: Vec<Arc<Mapping>>, now: Timestamp) -> Vec<Mapping> {
    found.into_iter().filter(|mapping| !mapping.is_expired(now)).map(|mapping| mapping.as_ref().clone()).collect()
}

/// What a cursor of each listing begins with, so that one is not taken for the other.
const BY_CUSTOMER: char = 'c';
const ALL: char = 's';

fn cursor(listing: char, place: impl std::fmt::Display, id: &str) -> Cursor {
    Cursor::new(format!("{listing}{place}:{id}"))
}

fn parse_cursor<T>(cursor: &Cursor, listing: char, place: impl Fn(&str) -> Option<T>) -> Result<(T, &str)> {
    let (number, id) =
        cursor.as_str().strip_prefix(listing).and_then(|rest| rest.split_once(':')).ok_or_else(bad_cursor)?;
    Ok((place(number).ok_or_else(bad_cursor)?, id))
}

fn bad_cursor() -> Error {
    Error::invalid_input("the cursor is not one of this listing")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::SystemClock;

    #[test]
    fn nothing_is_left_of_a_customer_who_is_unlinked_not_even_what_has_expired() {
        let space = Space::new(Arc::new(SystemClock));
        let (bob, id) = ("bob".parse().unwrap(), "8:acs:r_1".parse::<AcsId>().unwrap());
        space.link(&Link::create(id.clone(), CustomerId::clone(&bob)).expiring_in(Duration::ZERO)).unwrap();
        assert_eq!(space.unlink_customer(&bob).unwrap(), 0);
        assert!(read(&space.reverse[space.place(&bob)]).of(&bob, None, 9).is_empty());
        assert!(matches!(read(&space.forward[space.place(&id)]).present(&id), Present::Tombstone(_)));
    }
}
