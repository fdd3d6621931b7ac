//! The loads that wait for their batch, and the permits to have one under way.

use std::collections::{HashMap, VecDeque};

use acs_identity_core::AcsId;
use foldhash::quality::RandomState;

use super::Load;

/// Of how many IDs it is noted at most that a call for them was late.
const MOST_LATE: usize = 10_000;

#[derive(Default)]
pub(super) struct Queue {
    /// Asked for alone.
    lone: VecDeque<Load>,
    /// Asked for with others, perhaps a great many.
    rosters: VecDeque<Load>,
    /// Each for a call of its own.
    apart: VecDeque<Load>,
    /// Whether the next call is for one of those.
    is_turn_of_apart: bool,
    /// The IDs of which no call was in time since one was late, and whether it asked for nothing else.
    late: HashMap<AcsId, bool, RandomState>,
    /// Those of the batches under way.
    pub(super) permits: Vec<Permit>,
    /// How many there were so far.
    issued: u64,
}

/// The permit of a worker to have a batch under way.
pub(super) struct Permit {
    number: u64,
    /// When its last call began, or when it was issued, in microseconds.
    pub(super) moved: u64,
}

impl Queue {
    /// Puts loads in line that were asked for together.
    pub(super) fn push(&mut self, loads: impl ExactSizeIterator<Item = Load>) {
        let is_roster = loads.len() > 1;
        for mut load in loads {
            load.goes_alone |= !self.late.is_empty() && self.late.contains_key(load.key());
            let line = match (load.goes_alone, is_roster) {
                (true, _) => &mut self.apart,
                (_, true) => &mut self.rosters,
                _ => &mut self.lone,
            };
            line.push_back(load);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.lone.len() + self.rosters.len() + self.apart.len()
    }

    /// How many calls those who wait come to.
    pub(super) fn calls(&self, size: usize) -> usize {
        (self.lone.len() + self.rosters.len()).div_ceil(size) + self.apart.len()
    }

    /// The next batch: up to half of it are loads of rosters, so that neither these nor lone ones wait for all of the others. Those
    /// that go alone take turns with all others.
    pub(super) fn take(&mut self, size: usize) -> Vec<Load> {
        let others = self.lone.len() + self.rosters.len();
        self.is_turn_of_apart = !self.is_turn_of_apart || others == 0;
        if self.is_turn_of_apart {
            // Those by which a call is late for sure are the last.
            let first = self.apart.iter().position(|load| self.late.get(load.key()) != Some(&true));
            if let Some(load) = self.apart.remove(first.unwrap_or(0)) {
                return vec![load];
            }
        }
        let of_rosters = self.rosters.len().min((size / 2).max(size.saturating_sub(self.lone.len())));
        let lone = self.lone.len().min(size - of_rosters);
        self.lone.drain(..lone).chain(self.rosters.drain(..of_rosters)).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Load> {
        [&mut self.lone, &mut self.rosters, &mut self.apart].into_iter().flat_map(|line| line.drain(..)).collect()
    }

    /// Notes that a call for these is late.
    pub(super) fn is_late(&mut self, part: &[Load]) {
        if self.late.len() + part.len() > MOST_LATE {
            self.late.clear();
        }
        self.late.extend(part.iter().map(|load| (load.key().clone(), part.len() == 1)));
    }

    /// Notes that a call for this alone ended in time.
    pub(super) fn was_in_time(&mut self, load: &Load) {
        self.late.remove(load.key());
    }

    pub(super) fn issue(&mut self, now: u64) -> u64 {
        self.issued += 1;
        self.permits.push(Permit { number: self.issued, moved: now });
        self.issued
    }

    /// Takes permits back that nothing was done with for longer than a call has one: then the runtimes that they are used on
    /// stand still, and would keep everybody waiting.
    pub(super) fn expire(&mut self, now: u64, deadline: u64) {
        self.permits.retain(|permit| now <= permit.moved.saturating_add(deadline));
    }

    /// Where a permit is, unless it was taken back.
    pub(super) fn place(&self, number: u64) -> Option<usize> {
        self.permits.iter().position(|permit| permit.number == number)
    }
}
