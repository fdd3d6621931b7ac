//! Writes in a cluster, where the indexes are on other nodes than the record. A write has four steps, each atomic on its node:
//!
//! 1. In the new customer's index, an entry and the intent to need it; in the index by expiry an entry, if there is an expiry.
//! 2. The record. It refuses an intent that is older than half a minute.
//! 3. The former customer's entry is dropped, unless it is a newer one, or somebody intends to need it.
//! 4. The intent is taken back; if the record did not become the customer's, with the entry. Where two writers have had the same
//!    intent at a time, it stays until it is old.
//!
//! A client that dies between two steps leaves an entry or an intent too many, never one too few.

use std::time::Duration;

use acs_identity_core::{AcsId, Timestamp};
use tokio::time::Instant;

use super::{Told, Written, ask, read};
use crate::clocks::Clocks;
use crate::error::Failure;
use crate::keys::slot;
use crate::nodes::Sort;
use crate::record;
use crate::step::{Step, steps};
use crate::store::RedisStore;

/// How old an intent may be when the record is written.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the records of different IDs, and the entries in the indexes that belong to them, step by step.
pub(super) async fn records(
    store: &RedisStore,
    items: &[(AcsId, Told)],
    end: Instant,
) -> Vec<Result<Written, Failure>> {
    let begun = Instant::now();
    let mut first = Vec::new();
    // For each item the places of its steps among them.
    let mut places = Vec::with_capacity(items.len());
    for (id, told) in items {
        let mut place = |step: Option<Step>| {
            first.extend(step);
            first.len()
        };
        let customer = told.becomes();
        let start = place(None);
        let noted = place(customer.map(|customer| Step::note(store.keys().index(id, customer), id)));
        let entry = customer.filter(|_| !told.expiry.is_empty()).map(|_| match told.what {
            "i" => Step::expiring_at(store.keys().expiring(id), id, &told.expiry),
            _ => Step::expiring_in(store.keys().expiring(id), id, &told.expiry),
        });
        places.push((start..noted, start..place(entry)));
    }
    let (first, clocks) = futures::future::join(steps(store, &first, end), clocks(store, items, end)).await;
    let spent = begun.elapsed();

    let mut intents: Vec<Result<Option<Timestamp>, Failure>> = Vec::with_capacity(items.len());
    let mut asks = Vec::with_capacity(items.len());
    for ((item, (noted, all)), clock) in items.iter().zip(places).zip(clocks) {
        let ready = first[all].iter().cloned().collect::<Result<Vec<_>, _>>().and(clock);
        intents.push(ready.and_then(|now| {
            let latest = latest(now, spent)?;
            asks.push(ask(store, std::slice::from_ref(item), false, latest));
            first[noted].first().cloned().transpose().map(|noted| noted.map(|(at, _)| at))
        }));
    }
    let written = store.nodes().each(&asks, Sort::Write, end).await;
    let mut written = written.into_iter().flat_map(|answer| read(answer, 1));
    let mut answers = Vec::with_capacity(items.len());
    let mut tidy = Vec::new();
    for ((id, told), intent) in items.iter().zip(intents) {
        answers.push(match intent {
            // The records are as they were; the indexes may have too much in them.
            Err(failure) => Err(failure.before_the_write()),
            Ok(intent) => {
                let answer = written.next().unwrap_or(Err(Failure::Answer));
                // Where the outcome is unknown, the intent stays until it is too old to count.
                if let Ok(written) = &answer {
                    tidy_up(store, id, told, intent, written, &mut tidy);
                }
                answer
            }
        });
    }
    // Nobody has to know whether it failed: it only takes out what is too much.
    steps(store, &tidy, end).await;
    answers
}

/// Until when a record may be written by its server's clock, which was asked within the time that was spent since before the
/// intent was noted.
fn latest(now: Timestamp, spent: Duration) -> Result<Timestamp, Failure> {
    let left = PATIENCE.checked_sub(spent).filter(|left| !left.is_zero()).ok_or(Failure::TooLate)?;
    Ok(now.saturating_add(left))
}

/// The steps that are left when a record is as it should be.
fn tidy_up(
    store: &RedisStore,
    id: &AcsId,
    told: &Told,
    intent: Option<Timestamp>,
    written: &Written,
    tidy: &mut Vec<Step>,
) {
    let Ok(before) = record::present(id, written.before.as_deref()) else { return };
    let customer = told.becomes();
    if written.changed
        && let Some(former) = before.mapping().filter(|former| Some(&former.customer_id) != customer)
    {
        tidy.push(Step::drop(store.keys().index(id, &former.customer_id), id, former.created_at));
    }
    if let Some((customer, noted)) = customer.zip(intent) {
        let present = before.mapping().filter(|mapping| mapping.customer_id == *customer);
        let created = written.created.or(present.map(|mapping| mapping.created_at));
        tidy.push(Step::settle(store.keys().index(id, customer), id, noted, created));
    }
}

/// Each record's server's time.
async fn clocks(store: &RedisStore, items: &[(AcsId, Told)], end: Instant) -> Vec<Result<Timestamp, Failure>> {
    let slots: Vec<u16> = items.iter().map(|(id, _)| slot(&store.keys().record(id.as_str()))).collect();
    let mut asks = Vec::new();
    let clocks = Clocks::ask(store.nodes().topology(), &slots, &mut asks);
    let answers = store.ask(&asks, end).await;
    slots.into_iter().map(|slot| clocks.read(slot, &answers)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_since_the_intent_is_off_the_time_for_the_record() {
        let now = Timestamp::from_micros(1_000_000);
        assert_eq!(latest(now, Duration::ZERO).unwrap(), Timestamp::from_micros(31_000_000));
        assert_eq!(latest(now, Duration::from_secs(29)).unwrap(), Timestamp::from_micros(2_000_000));
        for late in [30, 31] {
            assert!(matches!(latest(now, Duration::from_secs(late)), Err(Failure::TooLate)));
        }
    }
}
