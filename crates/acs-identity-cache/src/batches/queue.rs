//! The loads that wait for their batch, and the permits to have one under way.

use std::collections::{HashMap, VecDeque};

use foldhash::quality::RandomState;

use crate::barriers::Key;
use crate::lane::Load;
use crate::values::Cached;

/// Of how many keys it is noted at most that a call for them was late.
const MOST_LATE: usize = 10_000;

pub(super) struct Queue<K: Key, V: Cached> {
    /// Asked for alone.
    lone: VecDeque<Load<K, V>>,
    /// Asked for with others, perhaps a great many.
    rosters: VecDeque<Load<K, V>>,
    /// Each for a call of its own.
    apart: VecDeque<Load<K, V>>,
    /// By which a call is late for sure, or of which one is under way: they hold no more than a part of the permits.
    suspects: VecDeque<Load<K, V>>,
    /// Whether the last call was for one that goes apart.
    was_apart: bool,
    /// Whether the last call was for suspects.
    was_suspect: bool,
    /// Whether the odd place of the last batch was a roster's.
    was_rosters: bool,
    /// The keys of which no call was in time since one was late, and whether it asked for nothing else.
    late: HashMap<K, bool, RandomState>,
    /// The most batches under way.
    pub(super) at_once: usize,
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
    /// Whether its batch is one of suspects.
    is_suspect: bool,
}

impl<K: Key, V: Cached> Queue<K, V> {
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            lone: VecDeque::new(),
            rosters: VecDeque::new(),
            apart: VecDeque::new(),
            suspects: VecDeque::new(),
            was_apart: false,
            was_suspect: false,
            was_rosters: false,
            late: HashMap::default(),
            at_once: at_once.max(1),
            permits: Vec::new(),
            issued: 0,
        }
    }

    /// Puts loads in line that were asked for together.
    pub(super) fn push(&mut self, loads: impl ExactSizeIterator<Item = Load<K, V>>) {
        let is_roster = loads.len() > 1;
        loads.for_each(|load| self.put(load, is_roster));
    }

    fn put(&mut self, mut load: Load<K, V>, is_roster: bool) {
        let late = if self.late.is_empty() { None } else { self.late.get(load.key()).copied() };
        load.goes_alone |= late.is_some();
        // With one call at a time none is under way any more when it is the next one's turn.
        let is_suspect = late == Some(true) || (load.is_again && self.at_once > 1);
        let line = match (is_suspect, load.goes_alone, is_roster) {
            (true, ..) => &mut self.suspects,
            (_, true, _) => &mut self.apart,
            (.., true) => &mut self.rosters,
            _ => &mut self.lone,
        };
        line.push_back(load);
    }

    /// Those who wait, but for suspects.
    fn ordinary(&self) -> usize {
        self.lone.len() + self.rosters.len() + self.apart.len()
    }

    /// How many more permits suspects may hold now: half of all, so that the others always have some.
    fn left_to_suspects(&self) -> usize {
        let held = self.permits.iter().filter(|permit| permit.is_suspect).count();
        (self.at_once / 2).max(1).saturating_sub(held)
    }

    /// Whether somebody waits who may be loaded by this permit, whose last batch is over.
    pub(super) fn waits_for(&mut self, place: usize) -> bool {
        self.permits[place].is_suspect = false;
        self.ordinary() > 0 || (!self.suspects.is_empty() && self.left_to_suspects() > 0)
    }

    /// How many calls those who wait come to that may be loaded now.
    pub(super) fn calls(&self, size: usize) -> usize {
        let suspects = self.suspects.len().min(self.left_to_suspects());
        (self.lone.len() + self.rosters.len()).div_ceil(size) + self.apart.len() + suspects
    }

    /// The next batch, by this permit: up to half of it are loads of rosters, so that neither these nor lone ones wait for all of the
    /// others. Those that go alone take turns with all others, and so do suspects, unless there is one call at a time: then they are
    /// the last.
    pub(super) fn take(&mut self, place: usize, size: usize) -> Vec<Load<K, V>> {
        let is_their_turn = self.ordinary() == 0 || (self.at_once > 1 && !self.was_suspect);
        self.was_suspect = is_their_turn && !self.suspects.is_empty() && self.left_to_suspects() > 0;
        self.permits[place].is_suspect = self.was_suspect;
        if self.was_suspect {
            return self.take_suspects(size);
        }
        self.was_apart = !self.apart.is_empty() && (!self.was_apart || self.ordinary() == self.apart.len());
        if self.was_apart {
            return self.apart.drain(..1).collect();
        }
        self.was_rosters = !self.was_rosters;
        let half = (size + usize::from(self.was_rosters)) / 2;
        let of_rosters = self.rosters.len().min(half.max(size.saturating_sub(self.lone.len())));
        let lone = self.lone.len().min(size - of_rosters);
        self.lone.drain(..lone).chain(self.rosters.drain(..of_rosters)).collect()
    }

    /// One by which calls are late, or those behind each other that are only asked for again.
    fn take_suspects(&mut self, size: usize) -> Vec<Load<K, V>> {
        let mut batch = Vec::new();
        while batch.len() < size
            && let Some(mut load) = self.suspects.pop_front()
        {
            load.goes_alone |= self.late.contains_key(load.key());
            if load.goes_alone && !batch.is_empty() {
                self.suspects.push_front(load);
                break;
            }
            let goes_alone = load.goes_alone;
            batch.push(load);
            if goes_alone {
                break;
            }
        }
        batch
    }

    pub(super) fn take_all(&mut self) -> Vec<Load<K, V>> {
        let lines = [&mut self.lone, &mut self.rosters, &mut self.apart, &mut self.suspects];
        lines.into_iter().flat_map(|line| line.drain(..)).collect()
    }

    /// Notes that a call for these is late.
    pub(super) fn is_late(&mut self, part: &[Load<K, V>]) {
        if self.late.len() + part.len() > MOST_LATE {
            self.late.clear();
        }
        self.late.extend(part.iter().map(|load| (load.key().clone(), part.len() == 1)));
        // Those who wait already stand in no one's way either.
        let lines = [&mut self.lone, &mut self.rosters, &mut self.apart].map(std::mem::take);
        for (line, is_roster) in lines.into_iter().zip([false, true, false]) {
            line.into_iter().for_each(|load| self.put(load, is_roster));
        }
    }

    /// Notes that a call for this alone ended in time.
    pub(super) fn was_in_time(&mut self, load: &Load<K, V>) {
        self.late.remove(load.key());
    }

    pub(super) fn issue(&mut self, now: u64) -> u64 {
        self.issued += 1;
        self.permits.push(Permit { number: self.issued, moved: now, is_suspect: false });
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
