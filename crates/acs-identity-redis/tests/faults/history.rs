//! What was written to an ACS ID, and what may be read of it then.

use std::time::Instant;

/// All writes of an ID, in the order in which its only writer began them.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<Write>);

#[derive(Debug)]
struct Write {
    /// `None`: it was unlinked.
    customer: Option<usize>,
    outcome: Outcome,
    ended: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    UnderWay,
    Done,
    /// It did nothing, as the error has it.
    Failed,
    /// It may take effect at any time, also after later ones.
    Unknown,
}

/// What was read: the number of a write, and the customer; `None` if the ID is absent.
pub(crate) type Seen = Option<(usize, usize)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Right,
    /// Something newer was acknowledged before the read began.
    Outdated,
}

impl History {
    /// Begins a write, and says which number it has.
    pub(crate) fn begin(&mut self, customer: Option<usize>) -> usize {
        self.0.push(Write { customer, outcome: Outcome::UnderWay, ended: None });
        self.0.len() - 1
    }

    pub(crate) fn end(&mut self, number: usize, outcome: Outcome) {
        self.0[number].outcome = outcome;
        self.0[number].ended = Some(Instant::now());
    }

    /// When the last write was acknowledged that was.
    pub(crate) fn acknowledged_at(&self) -> Option<Instant> {
        self.acknowledged().and_then(|number| self.0[number].ended)
    }

    /// The last write that was acknowledged.
    pub(crate) fn acknowledged(&self) -> Option<usize> {
        self.0.iter().rposition(|write| write.outcome == Outcome::Done)
    }

    /// Judges a read that began when this write was the last that had been acknowledged.
    ///
    /// # Panics
    /// If what was seen was never written, or by a write that failed.
    pub(crate) fn judge(&self, what: &str, seen: Seen, acknowledged: Option<usize>) -> Judgement {
        let since = acknowledged.unwrap_or(0);
        let right = match seen {
            Some((number, customer)) => {
                let write = self.0.get(number).unwrap_or_else(|| panic!("{what}: write {number} was never begun"));
                assert_eq!(write.customer, Some(customer), "{what}: write {number} was of another customer");
                assert_ne!(write.outcome, Outcome::Failed, "{what}: write {number} has failed, and is there");
                number >= since || write.outcome == Outcome::Unknown
            }
            None => {
                let unlinked = |(number, write): (usize, &Write)| {
                    write.customer.is_none()
                        && (write.outcome == Outcome::Unknown || (number >= since && write.outcome != Outcome::Failed))
                };
                acknowledged.is_none() || self.0.iter().enumerate().any(unlinked)
            }
        };
        if right { Judgement::Right } else { Judgement::Outdated }
    }
}

#[test]
fn the_checker_knows_right_from_wrong() {
    let mut history = History::default();
    for (customer, outcome) in [
        (Some(1), Outcome::Done),
        (Some(2), Outcome::Failed),
        (Some(3), Outcome::Unknown),
        (Some(4), Outcome::Done),
        (Some(5), Outcome::UnderWay),
    ] {
        let number = history.begin(customer);
        history.end(number, outcome);
    }
    assert_eq!(history.acknowledged(), Some(3));
    let judge = |seen, acknowledged| history.judge("a read", seen, acknowledged);
    for seen in [(2, 3), (3, 4), (4, 5)] {
        assert_eq!(judge(Some(seen), Some(3)), Judgement::Right, "{seen:?}");
    }
    assert_eq!(judge(Some((0, 1)), Some(3)), Judgement::Outdated);
    assert_eq!(judge(Some((0, 1)), Some(0)), Judgement::Right);
    assert_eq!((judge(None, None), judge(None, Some(0))), (Judgement::Right, Judgement::Outdated));
    for wrong in [(9, 1), (0, 2), (1, 2)] {
        assert!(std::panic::catch_unwind(|| judge(Some(wrong), None)).is_err(), "{wrong:?}");
    }
    assert_eq!(history.begin(None), 5);
    assert_eq!(history.judge("a read", None, Some(3)), Judgement::Right);
}
