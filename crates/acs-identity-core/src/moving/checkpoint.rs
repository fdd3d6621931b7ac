//! How far a move has come, and what it has counted.

use serde::{Deserialize, Deserializer, Serialize};

use super::count;
use super::finding::{Compared, FindingKind};
use crate::Cursor;
use crate::wire::unquoted;

/// A part of a [`Move`](super::Move). Each walks through all mappings of a store; they follow in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stage {
    /// Imports the source's mappings at the target.
    Copy,
    /// Walks through the source again and looks each mapping up at the target: customer, properties, revision, and
    /// remaining lifetime within the tolerance. Creation times are not looked up: they are part of what a revision
    /// stands for.
    Verify,
    /// Walks through the target and looks each mapping up at the source, which finds what was unlinked there during the
    /// copy. Where the target had mappings of its own, these are found, too.
    Reverse,
}

/// How far a [`Move`](super::Move) has come: what a program writes down after each page, and gives back later, also in
/// another process.
///
/// [`default`](Self::default) is the beginning. It is written with serde, and belongs to its two stores in their order,
/// and to their namespaces: a cursor that is not one of a store's listing is `InvalidInput`, but no store can tell its
/// own from one of a store of the same sort. The in-memory store's are good for that one store alone.
///
/// It may hold an ID, so `Debug` does not show all of it and it should be kept like one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    pub(super) stage: Option<Stage>,
    pub(super) next: Option<Cursor>,
    pub(super) counts: Counts,
}

impl Checkpoint {
    /// The beginning of a stage, with nothing counted: for verifying a copy that was made before, or where a listing
    /// can't be gone on with because the store's topology has changed.
    pub fn at(stage: Stage) -> Self {
        Self { stage: Some(stage), next: None, counts: Counts::default() }
    }

    /// The stage in which to go on; `None` at the end of the move.
    pub fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// What was counted since the beginning of the move, before and after each interruption.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn move_on(&mut self, stage: Stage, next: Option<Cursor>) {
        self.stage = match (stage, &next) {
            (_, Some(_)) => Some(stage),
            (Stage::Copy, None) => Some(Stage::Verify),
            (Stage::Verify, None) => Some(Stage::Reverse),
            (Stage::Reverse, None) => None,
        };
        self.next = next;
    }
}

/// The beginning of a move.
impl Default for Checkpoint {
    fn default() -> Self {
        Self::at(Stage::Copy)
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(remote = "Checkpoint", rename = "Checkpoint")]
        struct Form {
            stage: Option<Stage>,
            next: Option<Cursor>,
            counts: Counts,
        }
        Form::deserialize(deserializer).map_err(unquoted)
    }
}

/// What a move has counted: each mapping once in each stage, unless its store has listed it more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Of [`Stage::Copy`].
    pub copy: Copied,
    /// Of [`Stage::Verify`].
    pub verify: Verified,
    /// Of [`Stage::Reverse`].
    pub reverse: Reversed,
}

impl Counts {
    /// How many mappings are not in both stores alike, as far as they have been verified, those among them that could
    /// not be looked up. What is newer at the target is not counted. After a whole move, 0 says that the copy is
    /// complete.
    pub fn differences(&self) -> u64 {
        let Verified { same: _, newer: _, expired: _, missing, older, customer, properties, expiry, failed } =
            self.verify;
        let Reversed { present: _, expired: _, extra, failed: failed_in_reverse } = self.reverse;
        [missing, older, customer, properties, expiry, failed, extra, failed_in_reverse]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// Mappings of the source, by what copying them came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Copied {
    /// Written at the target.
    pub written: u64,
    /// The target had this revision or a newer one.
    pub kept: u64,
    /// Not copied, since they had expired by the target's clock. What has expired by the source's is not listed there
    /// at all.
    pub expired: u64,
    /// [`FindingKind::Failed`].
    pub failed: u64,
}

/// Mappings of the source, by how they compare with those of the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Verified {
    /// The same in both.
    pub same: u64,
    /// [`FindingKind::Newer`].
    pub newer: u64,
    /// Not at the target, where they may have expired by now.
    pub expired: u64,
    /// [`FindingKind::Missing`].
    pub missing: u64,
    /// [`FindingKind::Older`].
    pub older: u64,
    /// [`FindingKind::OtherCustomer`].
    pub customer: u64,
    /// [`FindingKind::OtherProperties`].
    pub properties: u64,
    /// [`FindingKind::OtherExpiry`].
    pub expiry: u64,
    /// [`FindingKind::Failed`].
    pub failed: u64,
}

impl Verified {
    pub(super) fn add(&mut self, compared: &Compared) {
        count(match compared {
            Compared::Same => &mut self.same,
            Compared::Expired => &mut self.expired,
            Compared::Finding(kind) => match kind {
                FindingKind::Newer => &mut self.newer,
                FindingKind::Missing => &mut self.missing,
                FindingKind::Older => &mut self.older,
                FindingKind::OtherCustomer => &mut self.customer,
                FindingKind::OtherProperties => &mut self.properties,
                FindingKind::OtherExpiry => &mut self.expiry,
                FindingKind::Failed(_) | FindingKind::Extra => &mut self.failed,
            },
        });
    }
}

/// Mappings of the target, by whether the source has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Reversed {
    /// The source has one of the same ACS ID.
    pub present: u64,
    /// Not at the source, where they may have expired by now.
    pub expired: u64,
    /// [`FindingKind::Extra`].
    pub extra: u64,
    /// [`FindingKind::Failed`].
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let mut checkpoint = Checkpoint { next: Some(Cursor::new("s:8:acs:secret_1")), ..Checkpoint::default() };
        checkpoint.counts.copy.written = 7;
        for stage in [Some(Stage::Copy), Some(Stage::Verify), Some(Stage::Reverse), None] {
            checkpoint.stage = stage;
            let json = serde_json::to_string(&checkpoint).unwrap();
            assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
        }
        assert!(!format!("{checkpoint:?}").contains("secret"));
    }

    #[test]
    fn a_checkpoint_that_is_none_is_refused_without_being_quoted() {
        for wrong in ["{}", r#"{"stage":"secret","next":null,"counts":{}}"#, r#"{"stage":"copy","next":7,"counts":{}}"#]
        {
            let error = serde_json::from_str::<Checkpoint>(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn any_number_may_be_in_a_checkpoint() {
        let mut counts = Counts::default();
        (counts.verify.missing, counts.reverse.extra) = (u64::MAX, 1);
        counts.verify.add(&Compared::Finding(FindingKind::Missing));
        assert_eq!(counts.differences(), u64::MAX);
    }
}
