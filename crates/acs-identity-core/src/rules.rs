//! The decisions of a store, as pure functions: what a write does, given what is there.
//!
//! A store reads what is there while it holds the row, the key or the lock, asks here what to do, and does it. So the
//! built-in stores can't differ in what their writes mean; someone else's store may use them too. A store whose decisions are
//! made by its server (a script, a single statement) does the same there.

use std::collections::HashMap;

use crate::{AcsId, Error, Expect, Imported, Link, Linked, Mapping, Result, Revision, Timestamp, When};

/// How long an unlink is remembered, so that the ID's revision rises across it: one hour.
pub const TOMBSTONE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);

/// What a store holds of one ACS ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Nothing,
    /// The revision of a mapping that was removed.
    Tombstone(Revision),
    /// A mapping, which may have expired.
    Mapping(Mapping),
}

impl Present {
    /// The last revision of the ID, if it is known.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Nothing => None,
            Self::Tombstone(revision) => Some(*revision),
            Self::Mapping(mapping) => Some(mapping.revision),
        }
    }

    /// The mapping, expired or not.
    pub fn mapping(&self) -> Option<&Mapping> {
        match self {
            Self::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The mapping, unless it has expired.
    pub fn live(&self, now: Timestamp) -> Option<&Mapping> {
        self.mapping().filter(|mapping| !mapping.is_expired(now))
    }
}

/// What a link is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPlan {
    /// Write this mapping in place of what is there, and answer so.
    Write(Mapping, Linked),
    /// Write nothing, and answer so.
    Keep(Linked),
}

/// Decides a link.
///
/// # Errors
/// `Conflict` if its condition does not hold.
pub fn plan_link(link: &Link, present: &Present, now: Timestamp) -> Result<LinkPlan> {
    let live = present.live(now);
    let same_customer = live.filter(|mapping| mapping.customer_id == link.customer_id);
    match link.when {
        When::CreateOnly => match (live, same_customer) {
            (_, Some(same)) => return Ok(LinkPlan::Keep(Linked::kept(same.clone()))),
            (Some(other), None) => {
                return Err(Error::conflict("the ACS ID is linked to another customer", Some(other.revision)));
            }
            (None, None) => {}
        },
        When::Replace => {}
        When::IfRevision(expected) => match live {
            Some(mapping) if mapping.revision == expected => {}
            Some(mapping) => return Err(Error::conflict("the mapping has another revision", Some(mapping.revision))),
            None => return Err(Error::conflict("the ACS ID is not linked", None)),
        },
    }
    let mapping = Mapping {
        acs_id: link.acs_id.clone(),
        customer_id: link.customer_id.clone(),
        properties: link.properties.clone(),
        expires_at: link.expires.map(|lifetime| now.saturating_add(lifetime)),
        revision: next_revision(present, now)?,
        created_at: same_customer.map_or(now, |same| same.created_at),
    };
    let before = present.mapping().cloned();
    let linked = Linked::written(mapping.revision, &link.customer_id, before, now);
    Ok(LinkPlan::Write(mapping, linked))
}

/// Decides the import of a mapping: if it is [`Imported::Written`], the store writes the mapping as it is.
pub fn plan_import(mapping: &Mapping, present: &Present, now: Timestamp) -> Imported {
    if mapping.is_expired(now) {
        Imported::Expired
    } else if present.revision().is_some_and(|revision| revision >= mapping.revision) {
        Imported::Kept
    } else {
        Imported::Written
    }
}

/// Decides an unlink: the revision of the tombstone that takes the place of the mapping, or `None` if there is no mapping.
///
/// It works on a mapping of the greatest revision, too, whose tombstone then has the same: nothing may keep a mapping
/// from being removed.
///
/// # Errors
/// `Conflict` if the mapping is not the expected one.
pub fn plan_unlink(expect: &Expect, present: &Present, now: Timestamp) -> Result<Option<Revision>> {
    let Some(mapping) = present.live(now) else { return Ok(None) };
    let conflict = |message: &str| Err(Error::conflict(message, Some(mapping.revision)));
    match expect {
        Expect::Any => {}
        Expect::Customer(customer) if mapping.customer_id == *customer => {}
        Expect::Revision(revision) if mapping.revision == *revision => {}
        Expect::Customer(_) => return conflict("the ACS ID is linked to another customer"),
        Expect::Revision(_) => return conflict("the mapping has another revision"),
    }
    Ok(Some(next_revision(present, now).unwrap_or(Revision::MAX)))
}

/// The revision of the next write of this ID.
///
/// # Errors
/// `InvalidInput` if the last one is the greatest there is.
pub fn next_revision(present: &Present, now: Timestamp) -> Result<Revision> {
    Revision::next(present.revision(), now).ok_or_else(|| {
        Error::invalid_input("the ACS ID has the greatest possible revision and can't be written any more")
    })
}

/// For each ID of a batch, whether it is in it more than once: those are refused, in all their places.
pub fn duplicates<'a>(ids: impl ExactSizeIterator<Item = &'a AcsId>) -> Vec<bool> {
    let mut refused = vec![false; ids.len()];
    let mut first: HashMap<&AcsId, usize> = HashMap::with_capacity(ids.len());
    for (place, id) in ids.enumerate() {
        let earlier = *first.entry(id).or_insert(place);
        if earlier != place {
            (refused[earlier], refused[place]) = (true, true);
        }
    }
    refused
}

/// The error for an ID that is in a batch more than once.
pub fn duplicate_error() -> Error {
    Error::invalid_input("the ACS ID is in the batch more than once")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{CustomerId, ErrorKind};

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn customer(name: &str) -> CustomerId {
        CustomerId::new(name).unwrap()
    }

    fn id() -> AcsId {
        AcsId::new("8:acs:r_1").unwrap()
    }

    fn bobs(revision: u64, expires_at: Option<u64>) -> Present {
        let mut mapping = Mapping::new(id(), customer("bob"), Revision::new(revision), at(10));
        mapping.expires_at = expires_at.map(at);
        Present::Mapping(mapping)
    }

    fn written(plan: LinkPlan) -> (Mapping, Linked) {
        match plan {
            LinkPlan::Write(mapping, linked) => (mapping, linked),
            LinkPlan::Keep(_) => panic!("nothing was to be written"),
        }
    }

    #[test]
    fn create_only_takes_what_is_free_expired_or_its_own() {
        let create = Link::create(id(), customer("alice"));
        for free in [Present::Nothing, Present::Tombstone(Revision::new(5)), bobs(5, Some(100))] {
            let (mapping, linked) = written(plan_link(&create, &free, at(100)).unwrap());
            assert_eq!((mapping.created_at, linked.previous), (at(100), None));
            assert_eq!(linked.displaced, free.mapping().map(|expired| expired.customer_id.clone()));
        }
        let error = plan_link(&create, &bobs(5, Some(101)), at(100)).unwrap_err();
        assert_eq!((error.kind(), error.present_revision()), (ErrorKind::Conflict, Some(Revision::new(5))));
        let again = plan_link(&Link::create(id(), customer("bob")), &bobs(5, None), at(100)).unwrap();
        assert!(matches!(again, LinkPlan::Keep(linked) if linked.revision == Revision::new(5) && !linked.changed));
    }

    #[test]
    fn replace_keeps_the_creation_time_of_the_same_pair_only() {
        let (same, linked) =
            written(plan_link(&Link::replace(id(), customer("bob")), &bobs(5, None), at(100)).unwrap());
        assert_eq!(linked.displaced, None);
        assert_eq!(same.created_at, at(10));
        let (other, linked) =
            written(plan_link(&Link::replace(id(), customer("al")), &bobs(5, None), at(100)).unwrap());
        assert_eq!(other.created_at, at(100));
        assert_eq!(linked.displaced, Some(customer("bob")));
        assert_eq!(linked.previous.unwrap().customer_id, customer("bob"));
    }

    #[test]
    fn if_revision_wants_exactly_that_revision_alive() {
        let link = |revision| Link::if_revision(id(), customer("al"), Revision::new(revision));
        assert!(plan_link(&link(5), &bobs(5, None), at(100)).is_ok());
        assert_eq!(
            plan_link(&link(4), &bobs(5, None), at(100)).unwrap_err().present_revision(),
            Some(Revision::new(5))
        );
        for gone in [Present::Nothing, Present::Tombstone(Revision::new(5)), bobs(5, Some(100))] {
            let error = plan_link(&link(5), &gone, at(100)).unwrap_err();
            assert_eq!((error.kind(), error.present_revision()), (ErrorKind::Conflict, None));
        }
    }

    #[test]
    fn unlink_removes_only_what_is_expected() {
        let unlink = |expect| plan_unlink(&expect, &bobs(5, None), at(3));
        assert_eq!(unlink(Expect::Any).unwrap(), Some(Revision::new(6)));
        assert!(unlink(Expect::Customer(customer("bob"))).unwrap().is_some());
        assert!(unlink(Expect::Revision(Revision::new(5))).unwrap().is_some());
        assert!(unlink(Expect::Customer(customer("Bob"))).is_err());
        assert!(unlink(Expect::Revision(Revision::new(6))).is_err());
        assert_eq!(plan_unlink(&Expect::Revision(Revision::new(1)), &bobs(5, Some(3)), at(3)).unwrap(), None);
    }

    #[test]
    fn an_import_never_goes_back() {
        let Present::Mapping(mapping) = bobs(5, Some(50)) else { unreachable!() };
        assert_eq!(plan_import(&mapping, &Present::Nothing, at(1)), Imported::Written);
        assert_eq!(plan_import(&mapping, &Present::Tombstone(Revision::new(4)), at(1)), Imported::Written);
        assert_eq!(plan_import(&mapping, &bobs(5, None), at(1)), Imported::Kept);
        assert_eq!(plan_import(&mapping, &Present::Nothing, at(50)), Imported::Expired);
    }

    #[test]
    fn all_places_of_a_duplicate_are_refused() {
        let ids: Vec<AcsId> = ["a", "b", "a", "c", "a"].iter().map(|text| AcsId::new(*text).unwrap()).collect();
        assert_eq!(duplicates(ids.iter()), [true, false, true, false, true]);
    }

    #[test]
    fn a_mapping_of_the_greatest_revision_can_be_removed_but_not_written() {
        let present = bobs(Revision::MAX.get(), None);
        let error = plan_link(&Link::replace(id(), customer("al")), &present, at(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(plan_unlink(&Expect::Any, &present, at(1)).unwrap(), Some(Revision::MAX));
    }

    proptest! {
        #[test]
        fn every_write_raises_the_revision(last in prop::option::of(0..1_000_u64), now in 0..1_000_u64, lifetime in 0..100_u64) {
            let present = last.map_or(Present::Nothing, |revision| Present::Tombstone(Revision::new(revision)));
            let link = Link::replace(id(), customer("bob")).expiring_in(Duration::from_micros(lifetime));
            let (mapping, linked) = written(plan_link(&link, &present, at(now))?);
            prop_assert!(present.revision().is_none_or(|last| mapping.revision > last));
            prop_assert!(mapping.revision.get() >= now);
            prop_assert_eq!(linked.revision, mapping.revision);
            prop_assert_eq!(mapping.expires_at, Some(at(now + lifetime)));
        }
    }
}
