//! Writes in a cluster, where the indexes are on other nodes than the record. A write has four steps, each atomic on its node:
//!
//! 1. In the new customer's index, an entry and the intent to need it; the same in the index by expiry, if there is an expiry.
//! 2. The record. It refuses an intent that is older than half a minute.
//! 3. The former customer's entry is dropped, unless it is a newer one, or somebody intends to need it; the former expiry's, too.
//! 4. The intents are taken back; if the record did not become the customer's, with the entry, unless somebody else has had the same
//!    intent meanwhile.
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
        let start = first.len();
        if let Some(customer) = told.becomes() {
            first.push(Step::note(store.keys().index(id, customer), id));
            if !told.expiry.is_empty() {
                let key = store.keys().expiring(id);
                first.push(Step::intend(key.clone(), id));
                first.push(match told.what {
                    "i" => Step::expiring_at(key, id, &told.expiry),
                    _ => Step::expiring_in(key, id, &told.expiry),
                });
            }
        }
        places.push(start..first.len());
    }
    let (first, clocks) = futures::future::join(steps(store, &first, end), clocks(store, items, end)).await;
    let spent = begun.elapsed();

    let mut intents: Vec<(Intents, Result<(), Failure>)> = Vec::with_capacity(items.len());
    let mut asks = Vec::with_capacity(items.len());
    for ((item, places), clock) in items.iter().zip(places).zip(clocks) {
        let noted = &first[places];
        let at = |place: usize| noted.get(place)?.as_ref().ok().map(|(at, _)| *at);
        let all = noted.iter().find_map(|noted| noted.as_ref().err().cloned()).map_or(Ok(()), Err);
        let ready = all.and(clock).and_then(|now| latest(now, spent));
        let ready = ready.map(|latest| asks.push(ask(store, std::slice::from_ref(item), false, latest)));
        intents.push((Intents { customer: at(0), expiry: at(1) }, ready));
    }
    let written = store.nodes().each(&asks, Sort::Write, end).await;
    let mut written = written.into_iter().flat_map(|answer| read(answer, 1));
    let mut answers = Vec::with_capacity(items.len());
    let mut tidy = Vec::new();
    for ((id, told), (intents, ready)) in items.iter().zip(intents) {
        let answer = match ready {
            // The records are as they were; the indexes may have too much in them.
            Err(failure) => Err(failure.before_the_write()),
            Ok(()) => written.next().unwrap_or(Err(Failure::Answer)),
        };
        match &answer {
            Ok(written) => tidy_up(store, id, told, intents, written, &mut tidy),
            // The intents stay until they are too old to count.
            Err(Failure::OutcomeUnknown | Failure::Unacknowledged) => {}
            Err(_) => {
                let customer = told.becomes().map(|customer| store.keys().index(id, customer)).zip(intents.customer);
                let expiry = intents.expiry.map(|noted| (store.keys().expiring(id), noted));
                let taken_back = customer.into_iter().chain(expiry);
                tidy.extend(taken_back.map(|(key, noted)| Step::take_back(key, id, noted)));
            }
        }
        answers.push(answer);
    }
    // Nobody has to know whether it failed: it only takes out what is too much.
    steps(store, &tidy, end).await;
    answers
}

/// When a writer's intents were noted.
struct Intents {
    customer: Option<Timestamp>,
    expiry: Option<Timestamp>,
}

/// Until when a record may be written by its server's clock, which was asked within the time that was spent since before the
/// intent was noted.
fn latest(now: Timestamp, spent: Duration) -> Result<Timestamp, Failure> {
    let left = PATIENCE.checked_sub(spent).filter(|left| !left.is_zero()).ok_or(Failure::TooLate)?;
    Ok(now.saturating_add(left))
}

/// The steps that are left when a record is as it should be.
fn tidy_up(store: &RedisStore, id: &AcsId, told: &Told, intents: Intents, written: &Written, tidy: &mut Vec<Step>) {
    let Ok(before) = record::present(id, written.before.as_deref()) else { return };
    let customer = told.becomes();
    if written.changed
        && let Some(former) = before.mapping()
    {
        if Some(&former.customer_id) != customer {
            tidy.push(Step::drop(store.keys().index(id, &former.customer_id), id, former.created_at));
        }
        if let Some(at) = former.expires_at.filter(|_| intents.expiry.is_none()) {
            tidy.push(Step::expired(store.keys().expiring(id), id, at.as_micros() as f64));
        }
    }
    if let Some(noted) = intents.expiry {
        let key = store.keys().expiring(id);
        tidy.push(match written.created.and_then(|_| told.expires(written.now)) {
            Some(expires) => Step::settle_expiring(key, id, noted, expires),
            None => Step::take_back(key, id, noted),
        });
    }
    if let Some((customer, noted)) = customer.zip(intents.customer) {
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
