//! The steps that keep an index in a cluster, where a record is on another node.

use std::collections::BTreeMap;

use acs_identity_core::{AcsId, Timestamp};
use redis::Value;
use tokio::time::Instant;

use crate::answer;
use crate::error::Failure;
use crate::keys::slot;
use crate::member;
use crate::nodes::{Ask, Sort};
use crate::script::INDEX;
use crate::store::RedisStore;

/// The most steps of one script.
const CHUNK: usize = 100;

/// One step; see the script for what each does.
#[derive(Debug)]
pub(crate) struct Step {
    key: String,
    member: Vec<u8>,
    what: &'static str,
    first: String,
    second: String,
}

impl Step {
    fn new(key: String, id: &AcsId, what: &'static str) -> Self {
        Self { key, member: member::of(id.as_str()), what, first: String::new(), second: String::new() }
    }

    fn at(time: Timestamp, key: String, id: &AcsId, what: &'static str) -> Self {
        Self { first: text(time), ..Self::new(key, id, what) }
    }

    /// Notes an intent.
    pub(crate) fn note(key: String, id: &AcsId) -> Self {
        Self::new(key, id, "n")
    }

    /// Takes back an intent that was noted at a time; with the record's creation time if it became the customer's.
    pub(crate) fn settle(key: String, id: &AcsId, noted: Timestamp, created: Option<Timestamp>) -> Self {
        Self { second: created.map(text).unwrap_or_default(), ..Self::at(noted, key, id, "s") }
    }

    /// Drops the entry of a record that was created at a time.
    pub(crate) fn drop(key: String, id: &AcsId, created: Timestamp) -> Self {
        Self::at(created, key, id, "d")
    }

    /// Marks an entry as doubted.
    pub(crate) fn mark(key: String, id: &AcsId) -> Self {
        Self::new(key, id, "m")
    }

    /// Sweeps away an entry that still has the mark of a time.
    pub(crate) fn sweep(key: String, id: &AcsId, marked: Timestamp) -> Self {
        Self::at(marked, key, id, "w")
    }

    /// Makes an entry, unless there is one.
    pub(crate) fn make(key: String, id: &AcsId, created: Timestamp) -> Self {
        Self::at(created, key, id, "a")
    }

    /// Clears the mark of a time.
    pub(crate) fn clear(key: String, id: &AcsId, marked: Timestamp) -> Self {
        Self::at(marked, key, id, "c")
    }

    /// Notes an intent in the index by expiry.
    pub(crate) fn intend(key: String, id: &AcsId) -> Self {
        Self::new(key, id, "i")
    }

    /// Settles an intent in the index by expiry that was noted at a time; with the record's expiry.
    pub(crate) fn settle_expiring(key: String, id: &AcsId, noted: Timestamp, expires: Timestamp) -> Self {
        Self { second: text(expires), ..Self::take_back(key, id, noted) }
    }

    /// Takes back an intent in any index that was noted at a time, and leaves the entry.
    pub(crate) fn take_back(key: String, id: &AcsId, noted: Timestamp) -> Self {
        Self::at(noted, key, id, "t")
    }

    /// Makes an entry of the index by expiry, at a time.
    pub(crate) fn expiring_at(key: String, id: &AcsId, at: &str) -> Self {
        Self { first: at.to_owned(), ..Self::new(key, id, "e") }
    }

    /// The same after so many microseconds.
    pub(crate) fn expiring_in(key: String, id: &AcsId, lifetime: &str) -> Self {
        Self { second: lifetime.to_owned(), ..Self::new(key, id, "e") }
    }

    /// Moves an entry of the index by expiry from one time to another.
    pub(crate) fn expiring_later(key: String, id: &AcsId, at: f64, later: &str) -> Self {
        Self { first: at.to_string(), second: later.to_owned(), ..Self::new(key, id, "v") }
    }

    /// Takes an entry out of the index by expiry, if it is still at that time.
    pub(crate) fn expired(key: String, id: &AcsId, at: f64) -> Self {
        Self { first: at.to_string(), ..Self::new(key, id, "k") }
    }
}

fn text(time: Timestamp) -> String {
    time.as_micros().to_string()
}

/// Carries out steps, with the time of the server that did each and what it answered.
pub(crate) async fn steps(
    store: &RedisStore,
    steps: &[Step],
    sort: Sort,
    end: Instant,
) -> Vec<Result<(Timestamp, u64), Failure>> {
    let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        by_key.entry(&step.key).or_default().push(place);
    }
    let groups: Vec<(&str, &[usize])> =
        by_key.iter().flat_map(|(key, places)| places.chunks(CHUNK).map(move |places| (*key, places))).collect();
    let ask = |(key, places): &(&str, &[usize])| {
        let mut command = INDEX.run(1);
        command.arg(*key);
        for step in places.iter().map(|place| &steps[*place]) {
            command.arg(&step.member).arg(step.what).arg(&step.first).arg(&step.second);
        }
        Ask { slot: slot(key), command, script: Some(&INDEX) }
    };
    let asks: Vec<_> = groups.iter().map(ask).collect();
    let mut done: Vec<_> = steps.iter().map(|_| Err(Failure::Answer)).collect();
    for ((_, places), answer) in groups.into_iter().zip(store.nodes().each(&asks, sort, end).await) {
        for (number, place) in places.iter().enumerate() {
            done[*place] = match &answer {
                Ok(value) => read(value, number),
                Err(failure) => Err(failure.clone()),
            };
        }
    }
    done
}

fn read(answer: &Value, number: usize) -> Result<(Timestamp, u64), Failure> {
    let values = answer::array(answer)?;
    let (Some(now), Some(done)) = (values.first(), values.get(number + 1)) else { return Err(Failure::Answer) };
    Ok((answer::time(now)?, answer::number(done)?))
}
