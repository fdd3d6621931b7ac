//! What a move finds that is not as it should be, and the comparison that finds it.

use std::time::Duration;

use crate::{AcsId, Error, Mapping, Resolution, Revision, Timestamp};

/// A mapping that is not as it should be.
///
/// `Debug` does not show the ID.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// The ACS ID of the mapping.
    pub acs_id: AcsId,
    /// Its revision in the store that was walked: the source, or the target if it is [`FindingKind::Extra`].
    pub revision: Revision,
    /// What is the matter.
    pub kind: FindingKind,
}

impl Finding {
    pub(super) fn new(mapping: &Mapping, kind: FindingKind) -> Self {
        Self { acs_id: mapping.acs_id.clone(), revision: mapping.revision, kind }
    }
}

/// What is the matter with a mapping. Where several things are, the first of these.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FindingKind {
    /// It could not be copied, or not be looked up, for a reason of its own: the store refuses it, or holds a record
    /// that it can't read.
    Failed(Error),
    /// The target has none. It was linked at the source after its page had been copied, it could not be copied, or it
    /// was unlinked at the target. Copying again repairs the first.
    Missing,
    /// The target has an older revision: it was written at the source after its page had been copied. Copying again
    /// repairs it.
    Older,
    /// The target has a newer revision, which was kept. No difference where the target is in use already; if it was
    /// not, it held something before the move.
    Newer,
    /// The target has the same revision with another customer.
    OtherCustomer,
    /// The target has the same revision with other properties.
    OtherProperties,
    /// The target has the same revision, and it expires at another time by more than the tolerance.
    OtherExpiry,
    /// The target has it and the source does not: it was unlinked at the source after its page had been copied, or
    /// linked at the target. In the first case [`unlink`](crate::MappingStore::unlink) it at the target, with
    /// [`Expect::Revision`](crate::Expect::Revision) of the finding.
    Extra,
}

/// What comparing one mapping comes to.
pub(super) enum Compared {
    Same,
    /// It has expired, or so nearly that its absence says nothing.
    Expired,
    Finding(FindingKind),
}

/// What times may differ by.
pub(super) struct Tolerance {
    /// When the mapping was read, by its store's clock.
    pub(super) read_at: Timestamp,
    /// How long ago that was at most.
    pub(super) passed: Duration,
    /// How far the clocks of two stores may be apart.
    pub(super) clocks: Duration,
}

impl Tolerance {
    /// Compares what the source holds with what the target answers.
    pub(super) fn compare(&self, mapping: &Mapping, found: Option<&Resolution>) -> Compared {
        let Some(found) = found else {
            let expired = self.is_about_to_expire(mapping);
            return if expired { Compared::Expired } else { Compared::Finding(FindingKind::Missing) };
        };
        let revision = found.revision().unwrap_or(mapping.revision);
        let kind = if revision < mapping.revision {
            FindingKind::Older
        } else if revision > mapping.revision {
            FindingKind::Newer
        } else if *found.customer_id() != mapping.customer_id {
            FindingKind::OtherCustomer
        } else if *found.properties() != mapping.properties {
            FindingKind::OtherProperties
        } else if !self.ends_alike(mapping, found.remaining()) {
            FindingKind::OtherExpiry
        } else {
            return Compared::Same;
        };
        Compared::Finding(kind)
    }

    /// Whether another store may by now take this mapping for expired.
    pub(super) fn is_about_to_expire(&self, mapping: &Mapping) -> bool {
        mapping.expires_at.is_some_and(|at| at.since(self.read_at) <= self.passed.saturating_add(self.clocks))
    }

    fn ends_alike(&self, mapping: &Mapping, remaining: Option<Duration>) -> bool {
        match (mapping.expires_at.map(|at| at.since(self.read_at)), remaining) {
            (None, None) => true,
            (Some(then), Some(now)) => {
                let latest = then.saturating_add(self.clocks);
                let earliest = then.saturating_sub(self.passed).saturating_sub(self.clocks);
                (earliest..=latest).contains(&now)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Properties;

    const READ_AT: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Two seconds after a mapping of revision 5 was read that had so many seconds left, with clocks up to 10 seconds
    /// apart.
    fn compare(left: Option<u64>, found: Option<&Resolution>) -> String {
        let mut mapping =
            Mapping::new("8:acs:secret_1".parse().unwrap(), "bob".parse().unwrap(), Revision::new(5), READ_AT);
        mapping.expires_at = left.map(|left| READ_AT.saturating_add(seconds(left)));
        let tolerance = Tolerance { read_at: READ_AT, passed: seconds(2), clocks: seconds(10) };
        match tolerance.compare(&mapping, found) {
            Compared::Same => "Same".to_owned(),
            Compared::Expired => "Expired".to_owned(),
            Compared::Finding(kind) => {
                let finding = Finding::new(&mapping, kind);
                assert!(!format!("{finding:?}").contains("secret"));
                format!("{:?}", finding.kind)
            }
        }
    }

    fn bob(revision: u64) -> Resolution {
        Resolution::from(crate::CustomerId::new("bob").unwrap()).at_revision(Revision::new(revision))
    }

    #[test]
    fn revisions_are_compared_first_and_then_what_is_in_them() {
        let eve = Resolution::from(crate::CustomerId::new("eve").unwrap());
        let other = Properties::new([("a", "b")]).unwrap();
        assert_eq!(compare(None, Some(&bob(5))), "Same");
        assert_eq!(compare(None, Some(&eve.clone().at_revision(Revision::new(4)))), "Older");
        assert_eq!(compare(None, Some(&eve.clone().at_revision(Revision::new(6)))), "Newer");
        assert_eq!(compare(None, Some(&eve.at_revision(Revision::new(5)).lasting(seconds(9)))), "OtherCustomer");
        assert_eq!(compare(None, Some(&bob(5).with_properties(other).lasting(seconds(9)))), "OtherProperties");
        assert_eq!(compare(None, None), "Missing");
    }

    #[test]
    fn lifetimes_are_compared_within_the_tolerance_and_the_time_that_has_passed() {
        let lasting = |left| bob(5).lasting(left);
        for (now, expected) in [(87, "OtherExpiry"), (88, "Same"), (98, "Same"), (110, "Same"), (111, "OtherExpiry")] {
            assert_eq!(compare(Some(100), Some(&lasting(Some(seconds(now))))), expected, "{now}");
        }
        assert_eq!(compare(Some(100), Some(&lasting(None))), "OtherExpiry");
        assert_eq!(compare(None, Some(&lasting(Some(seconds(100))))), "OtherExpiry");
    }

    #[test]
    fn what_is_about_to_expire_is_not_missing() {
        assert_eq!(compare(Some(12), None), "Expired");
        assert_eq!(compare(Some(13), None), "Missing");
    }
}
