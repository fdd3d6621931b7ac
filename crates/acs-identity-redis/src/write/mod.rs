//! Writes: each is decided by a script on what is there of its ACS ID.
//!
//! Where all keys are on one server, the script keeps the indexes, too. In a cluster a write has several steps; see
//! [`split`].

mod item;
mod split;

use std::sync::Arc;

use acs_identity_core::{AcsId, ErrorKind, Result, Timestamp, rules};
use redis::Value;
use tokio::time::Instant;

use crate::answer;
use crate::error::Failure;
use crate::keys::slot;
use crate::member;
use crate::nodes::{Ask, Sort};
use crate::record;
use crate::script::WRITE;
use crate::store::RedisStore;
use item::Item;
pub(crate) use item::{Instruction, Unlink, What};

/// The most items of one script, so that no other client waits long for its turn.
const CHUNK: usize = 100;

/// The most items of one part of a batch. Parts follow each other, so that other calls get their turn on the
/// connection.
const PART: usize = 2000;

/// Writes one item.
pub(crate) async fn one<I: Item>(store: &RedisStore, item: I) -> Result<I::Answer> {
    let end = store.end();
    let written = store.run(end, move |store| async move { write(&store, &[item], end).await }).await?;
    written.into_iter().next().unwrap_or(Err(Failure::Answer.into()))
}

/// Writes each item of a batch but for those whose ID is in it twice.
pub(crate) async fn many<I: Item>(store: &RedisStore, items: &[I]) -> Vec<Result<I::Answer>> {
    let refused = rules::duplicates(items.iter().map(I::acs_id));
    let accepted: Vec<I> =
        items.iter().zip(&refused).filter(|(_, refused)| !**refused).map(|(item, _)| item.clone()).collect();
    let mut answers = Vec::with_capacity(accepted.len());
    let mut failed = false;
    for part in accepted.chunks(PART) {
        if failed {
            answers.extend(part.iter().map(|_| Err(Failure::NotTried.into())));
            continue;
        }
        let (part, end): (Arc<[I]>, _) = (part.into(), store.end());
        let count = part.len();
        let written = store.run(end, move |store| async move { write(&store, &part, end).await }).await;
        let written = written.unwrap_or_else(|failure| vec_of(count, &failure));
        let is_lost = |answer: &Result<_>| {
            use ErrorKind::{Denied, OutcomeUnknown, Timeout, Unavailable};
            answer.as_ref().is_err_and(|error| matches!(error.kind(), Denied | OutcomeUnknown | Timeout | Unavailable))
        };
        failed = written.iter().all(is_lost);
        answers.extend(written);
    }
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Err(Failure::OutcomeUnknown.into()));
    refused.into_iter().map(|refused| if refused { Err(rules::duplicate_error()) } else { next() }).collect()
}

fn vec_of<T>(count: usize, failure: &Failure) -> Vec<Result<T>> {
    (0..count).map(|_| Err(failure.clone().into())).collect()
}

/// Writes items of different IDs.
async fn write<I: Item>(store: &RedisStore, items: &[I], end: Instant) -> Vec<Result<I::Answer>> {
    let instructed = |item: &I| item.instruction().map(|instruction| (item.acs_id().clone(), instruction));
    let written = acknowledged_or_not(store, items.iter().map(instructed).collect(), end).await;
    let answer = |(item, written): (&I, Result<Written, Failure>)| {
        let written = written?;
        // A refusal is no less true for that no replica knows of it.
        let (due, answer) = item.decide(&record::present(item.acs_id(), written.before.as_deref())?, written.now)?;
        let written = written.if_acknowledged()?;
        // The script decides by the same rules.
        if due == written.changed { Ok(answer) } else { Err(Failure::Answer.into()) }
    };
    items.iter().zip(written).map(answer).collect()
}

/// What a script has done about an item.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) changed: bool,
    /// The creation time of the mapping that was written, if one was.
    created: Option<Timestamp>,
    /// The record that was there.
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) now: Timestamp,
    /// The answer, if too few replicas have what was written.
    unacknowledged: Option<Arc<Value>>,
}

impl Written {
    fn if_acknowledged(self) -> Result<Self, Failure> {
        match self.unacknowledged {
            Some(answer) => Err(Failure::Unacknowledged(answer)),
            None => Ok(self),
        }
    }
}

/// Writes the records of different IDs, and the entries in the indexes that belong to them.
pub(crate) async fn records(
    store: &RedisStore,
    items: Vec<Result<(AcsId, Instruction), Failure>>,
    end: Instant,
) -> Vec<Result<Written, Failure>> {
    let written = acknowledged_or_not(store, items, end).await;
    written.into_iter().map(|written| written?.if_acknowledged()).collect()
}

/// The same, where each says for itself whether it is acknowledged.
async fn acknowledged_or_not(
    store: &RedisStore,
    items: Vec<Result<(AcsId, Instruction), Failure>>,
    end: Instant,
) -> Vec<Result<Written, Failure>> {
    let mut answers: Vec<Option<Result<Written, Failure>>> = Vec::with_capacity(items.len());
    let mut good = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(item) => {
                good.push(item);
                answers.push(None);
            }
            Err(failure) => answers.push(Some(Err(failure))),
        }
    }
    let written =
        if store.nodes().is_whole() { whole(store, &good, end).await } else { split::records(store, &good, end).await };
    let mut written = written.into_iter();
    let mut next = || written.next().unwrap_or(Err(Failure::Answer));
    answers.into_iter().map(|answer| answer.unwrap_or_else(&mut next)).collect()
}

/// On one server, which does all in one step.
async fn whole(store: &RedisStore, items: &[(AcsId, Instruction)], end: Instant) -> Vec<Result<Written, Failure>> {
    let chunks: Vec<_> = items.chunks(CHUNK).collect();
    let asks: Vec<_> = chunks.iter().map(|chunk| ask(store, chunk, true, Timestamp::MAX)).collect();
    let only_tidies = items.iter().all(|(_, instruction)| instruction.what == What::Check);
    let answers = store.nodes().each(&asks, if only_tidies { Sort::Tidy } else { Sort::Write }, end).await;
    chunks.iter().zip(answers).flat_map(|(chunk, answer)| read(answer, chunk.len())).collect()
}

/// A run of the script about some items.
fn ask(store: &RedisStore, items: &[(AcsId, Instruction)], whole: bool, latest: Timestamp) -> Ask {
    let keys = store.keys();
    let bare = whole && items.iter().all(|(_, instruction)| instruction.is_bare());
    let kinds = match (whole, bare) {
        (true, true) => 2,
        (true, false) => 3,
        (false, _) => 1,
    };
    let mut command = WRITE.run(kinds * items.len());
    // Where not all keys are on one server, there is one item.
    let first = items.first().filter(|_| !whole).map(|(id, _)| slot(&keys.record(id.as_str())));
    for (id, _) in items {
        command.arg(keys.record(id.as_str()));
    }
    for (id, instruction) in items.iter().filter(|_| whole) {
        match &instruction.customer {
            Some(customer) => command.arg(keys.index(id, customer)),
            None => command.arg(keys.index_of_nobody(id)),
        };
    }
    for (id, _) in items.iter().filter(|_| kinds == 3) {
        command.arg(keys.expiring(id));
    }
    command.arg(if bare {
        "c"
    } else if whole {
        "1"
    } else {
        "0"
    });
    command.arg(keys.index_prefix()).arg(latest.as_micros()).arg(items.len());
    for (id, instruction) in items {
        match bare {
            true => drop(command.arg(member::of(id.as_str()))),
            false => instruction.write(id, whole, &mut command),
        }
    }
    Ask { slot: first.unwrap_or_default(), command, script: Some(&WRITE) }
}

/// Reads the script's answer.
fn read(answer: Result<Value, Failure>, count: usize) -> Vec<Result<Written, Failure>> {
    let all = |failure: Failure| vec![Err(failure); count];
    let (answer, unacknowledged) = match answer {
        Err(Failure::Unacknowledged(answer)) => (Ok(Value::clone(&answer)), Some(answer)),
        answer => (answer, None),
    };
    let mut values = match answer {
        Ok(Value::Array(values)) => values,
        Ok(_) => return all(Failure::Answer),
        Err(failure) => return all(failure),
    };
    if values.is_empty() {
        return all(Failure::Answer);
    }
    let Ok(now) = answer::time(&values.remove(0)) else { return all(Failure::Answer) };
    if values.is_empty() {
        return all(Failure::TooLate);
    }
    if let [Value::Int(all)] = values[..]
        && usize::try_from(all) == Ok(count)
    {
        return vec![Ok(Written { changed: true, created: Some(now), before: None, now, unacknowledged }); count];
    }
    if values.len() != 2 * count {
        return all(Failure::Answer);
    }
    let mut values = values.into_iter();
    let mut written = || {
        let (Some(Value::Int(created)), Some(before)) = (values.next(), values.next()) else {
            return Err(Failure::Answer);
        };
        let before = match before {
            Value::BulkString(record) => Some(record),
            Value::Nil => None,
            _ => return Err(Failure::Answer),
        };
        let time = u64::try_from(created).ok().and_then(|created| created.checked_sub(1));
        let created_at = time.map(Timestamp::from_micros);
        let unacknowledged = unacknowledged.clone();
        Ok(Written { changed: created >= 0, created: created_at, before, now, unacknowledged })
    };
    (0..count).map(|_| written()).collect()
}
