//! One part of the forward direction: mappings and tombstones by ACS ID.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::rules::{Present, TOMBSTONE_LIFETIME};
use crate::{AcsId, Mapping, Revision, Timestamp};

#[derive(Default)]
pub(super) struct Shard {
    mappings: HashSet<ByAcsId>,
    /// Those that expire, soonest first.
    expiring: BTreeSet<(Timestamp, AcsId)>,
    /// What is remembered of IDs that were unlinked; also of those that were linked again since.
    tombstones: HashMap<AcsId, Tombstone>,
    /// The tombstones, once each, with the time at which they are to be looked at. Nearly in that order, so that some are
    /// forgotten a little late.
    burials: VecDeque<(Timestamp, AcsId)>,
}

struct Tombstone {
    revision: Revision,
    forget_at: Timestamp,
}

/// A mapping as an element of a set, found by its ACS ID: one pointer an entry, and the key is stored once.
struct ByAcsId(Arc<Mapping>);

impl Borrow<str> for ByAcsId {
    fn borrow(&self) -> &str {
        self.0.acs_id.as_str()
    }
}

impl PartialEq for ByAcsId {
    fn eq(&self, other: &Self) -> bool {
        self.0.acs_id == other.0.acs_id
    }
}

impl Eq for ByAcsId {}

impl Hash for ByAcsId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.acs_id.hash(state);
    }
}

impl Shard {
    pub(super) fn get(&self, id: &AcsId) -> Option<&Arc<Mapping>> {
        self.mappings.get(id.as_str()).map(|found| &found.0)
    }

    pub(super) fn present(&self, id: &AcsId) -> Present {
        match (self.get(id), self.tombstones.get(id)) {
            (Some(mapping), _) => Present::Mapping(mapping.as_ref().clone()),
            (None, Some(tombstone)) => Present::Tombstone(tombstone.revision),
            (None, None) => Present::Nothing,
        }
    }

    /// Puts a mapping in place of what is there.
    pub(super) fn put(&mut self, mapping: Arc<Mapping>) {
        let old = self.mappings.replace(ByAcsId(mapping.clone()));
        self.forget_expiry(old);
        if let Some(at) = mapping.expires_at {
            self.expiring.insert((at, mapping.acs_id.clone()));
        }
    }

    /// Puts a tombstone in place of a mapping.
    pub(super) fn bury(&mut self, id: &AcsId, revision: Revision, now: Timestamp) {
        let old = self.mappings.take(id.as_str());
        self.forget_expiry(old);
        let forget_at = now.saturating_add(TOMBSTONE_LIFETIME);
        if self.tombstones.insert(id.clone(), Tombstone { revision, forget_at }).is_none() {
            self.burials.push_back((forget_at, id.clone()));
        }
    }

    /// Forgets the tombstones that are old enough.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        // What lies further ahead was buried before the clock was set back, and must not hold up the others.
        let horizon = now.saturating_add(TOMBSTONE_LIFETIME);
        while self.burials.front().is_some_and(|(at, _)| *at <= now || *at > horizon) {
            let Some((_, id)) = self.burials.pop_front() else { return };
            match self.tombstones.get_mut(&id) {
                // It was buried once more since, or the clock was set back.
                Some(tombstone) if tombstone.forget_at > now => {
                    tombstone.forget_at = tombstone.forget_at.min(horizon);
                    self.burials.push_back((tombstone.forget_at, id));
                }
                _ => drop(self.tombstones.remove(&id)),
            }
        }
    }

    /// At most so many mappings that have expired.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<Arc<Mapping>> {
        let ids = self.expiring.iter().take_while(|(at, _)| *at <= now).take(limit);
        ids.filter_map(|(_, id)| self.get(id).cloned()).collect()
    }

    /// The mappings with the smallest ACS IDs greater than `after`, in order.
    pub(super) fn first_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Mapping>> {
        let beyond = |mapping: &&Arc<Mapping>| after.is_none_or(|after| mapping.acs_id.as_str() > after);
        let mut found: Vec<_> = self.mappings.iter().map(|entry| &entry.0).filter(beyond).collect();
        if found.len() > limit {
            found.select_nth_unstable_by(limit, |a, b| a.acs_id.cmp(&b.acs_id));
            found.truncate(limit);
        }
        found.sort_unstable_by(|a, b| a.acs_id.cmp(&b.acs_id));
        found.into_iter().cloned().collect()
    }

    fn forget_expiry(&mut self, old: Option<ByAcsId>) {
        if let Some(ByAcsId(old)) = old
            && let Some(at) = old.expires_at
        {
            self.expiring.remove(&(at, old.acs_id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_kept_for_its_time_and_not_beyond() {
        let mut shard = Shard::default();
        let id = AcsId::new("a").unwrap();
        shard.bury(&id, Revision::new(7), Timestamp::from_micros(0));
        shard.sweep(Timestamp::from_micros(3_599_999_999));
        assert_eq!(shard.present(&id), Present::Tombstone(Revision::new(7)));
        shard.sweep(Timestamp::from_micros(3_600_000_000));
        assert_eq!(shard.present(&id), Present::Nothing);
        assert!(shard.burials.is_empty());
    }

    #[test]
    fn a_second_burial_outlives_the_first_ones_time() {
        let mut shard = Shard::default();
        let id = AcsId::new("a").unwrap();
        shard.bury(&id, Revision::new(7), Timestamp::from_micros(0));
        shard.bury(&id, Revision::new(9), Timestamp::from_micros(5));
        assert_eq!(shard.burials.len(), 1, "one place however often an ID is buried");
        shard.sweep(Timestamp::from_micros(3_600_000_000));
        assert_eq!(shard.present(&id), Present::Tombstone(Revision::new(9)));
        shard.sweep(Timestamp::from_micros(3_600_000_005));
        assert_eq!(shard.present(&id), Present::Nothing);
        assert!(shard.tombstones.is_empty() && shard.burials.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_tombstone_for_long() {
        let mut shard = Shard::default();
        let hour = TOMBSTONE_LIFETIME.as_micros() as u64;
        let (early, late) = (AcsId::new("a").unwrap(), AcsId::new("b").unwrap());
        shard.bury(&late, Revision::new(1), Timestamp::from_micros(1000 * hour));
        shard.bury(&early, Revision::new(1), Timestamp::from_micros(0));
        shard.sweep(Timestamp::from_micros(1));
        shard.sweep(Timestamp::from_micros(hour));
        assert_eq!(shard.present(&early), Present::Nothing);
        shard.sweep(Timestamp::from_micros(hour + 1));
        assert!(shard.tombstones.is_empty() && shard.burials.is_empty());
    }

    #[test]
    fn expiries_follow_their_mapping() {
        let mut shard = Shard::default();
        let mut mapping = Mapping::new("a".parse().unwrap(), "b".parse().unwrap(), Revision::new(1), Timestamp::MAX);
        mapping.expires_at = Some(Timestamp::from_micros(5));
        shard.put(Arc::new(mapping.clone()));
        assert_eq!(shard.expired(Timestamp::from_micros(5), 9).len(), 1);
        mapping.expires_at = None;
        shard.put(Arc::new(mapping));
        assert!(shard.expired(Timestamp::MAX, 9).is_empty() && shard.expiring.is_empty());
    }
}
