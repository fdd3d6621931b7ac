//! Writes in a cluster, where the indexes are on other nodes than the record. A write has four steps, each atomic on
//! its node:
//!
//! 1. In the new customer's index, an entry and the intent to need it; the same in the index by expiry, if there is an
//!    expiry.
//! 2. The record. It refuses an intent that is older than half a minute.
//! 3. The former customer's entry is dropped, unless it is a newer one, or somebody intends to need it; the former
//!    expiry's, too.
//! 4. The intents are taken back; if the record did not become the customer's, with the entry, unless somebody else has
//!    had the same intent meanwhile.
//!
//! A client that dies between two steps leaves an entry or an intent too many, never one too few.

use std::collections::BTreeMap;
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Timestamp};
use futures::future::{join, join_all};
use tokio::time::Instant;

use super::{Instruction, What, Written, ask, read};
use crate::clocks::Clocks;
use crate::error::Failure;
use crate::keys::slot;
use crate::nodes::Sort;
use crate::step::{Step, steps};
use crate::store::RedisStore;
use crate::{record, repair};

/// How old an intent may be when the record is written.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the records of different IDs, and the entries in the indexes that belong to them, step by step; those that
/// have to do with the same nodes together, so that a node which is away does not keep what others have from being
/// written.
pub(super) async fn records(
    store: &RedisStore,
    items: &[(AcsId, Instruction)],
    end: Instant,
) -> Vec<Result<Written, Failure>> {
    let topology = store.nodes().topology();
    let mut groups: BTreeMap<[Option<usize>; 3], Vec<usize>> = BTreeMap::new();
    for (place, (id, instruction)) in items.iter().enumerate() {
        let keys = store.keys();
        let owner = |key: &str| topology.owner(slot(key));
        let index = instruction.becomes().and_then(|customer| owner(&keys.index(id, customer)));
        let expiring = Some(id).filter(|_| !instruction.expiry.is_empty()).and_then(|id| owner(&keys.expiring(id)));
        groups.entry([owner(&keys.record(id.as_str())), index, expiring]).or_default().push(place);
    }
    let written = groups.values().map(|places| {
        let items: Vec<_> = places.iter().map(|place| &items[*place]).collect();
        async move { of_nodes(store, &items, end).await }
    });
    let written = join_all(written).await;
    let mut answers: Vec<_> = items.iter().map(|_| Err(Failure::Answer)).collect();
    for (places, written) in groups.values().zip(written) {
        for (place, written) in places.iter().zip(written) {
            answers[*place] = written;
        }
    }
    answers
}

async fn of_nodes(store: &RedisStore, items: &[&(AcsId, Instruction)], end: Instant) -> Vec<Result<Written, Failure>> {
    let begun = Instant::now();
    let mut first = Vec::new();
    // For each item the places of its steps among them.
    let mut places = Vec::with_capacity(items.len());
    for (id, instruction) in items {
        let start = first.len();
        if let Some(customer) = instruction.becomes() {
            first.push(Step::note(store.keys().index(id, customer), id));
            if !instruction.expiry.is_empty() {
                let key = store.keys().expiring(id);
                first.push(Step::intend(key.clone(), id));
                first.push(match instruction.what {
                    What::Import => Step::expiring_at(key, id, &instruction.expiry),
                    _ => Step::expiring_in(key, id, &instruction.expiry),
                });
            }
        }
        places.push(start..first.len());
    }
    let (first, clocks) = join(steps(store, &first, Sort::Write, end), clocks(store, items, end)).await;
    let spent = begun.elapsed();

    let mut intents: Vec<(Intents, Result<(), Failure>)> = Vec::with_capacity(items.len());
    let mut asks = Vec::with_capacity(items.len());
    for ((item, places), clock) in items.iter().zip(places).zip(clocks) {
        let noted = &first[places];
        let at = |place: usize| noted.get(place)?.as_ref().ok().copied();
        let all = noted.iter().find_map(|noted| noted.as_ref().err().cloned()).map_or(Ok(()), Err);
        let ready = all.and(clock).and_then(|now| latest(now, spent));
        let ready = ready.map(|latest| asks.push(ask(store, std::slice::from_ref(item), false, latest)));
        intents.push((
            Intents { customer: at(0).map(|(at, done)| (at, done == 2)), expiry: at(1).map(|(at, _)| at) },
            ready,
        ));
    }
    let written = store.nodes().each(&asks, Sort::Write, end).await;
    let mut written = written.into_iter().flat_map(|answer| read(answer, 1));
    let mut answers = Vec::with_capacity(items.len());
    let mut tidy = Vec::new();
    // The steps that drop former customers' entries, by their places.
    let mut formers = Vec::new();
    for ((id, instruction), (intents, ready)) in items.iter().zip(intents) {
        let answer = match ready {
            // The records are as they were; the indexes may have too much in them.
            Err(failure) => Err(failure.before_the_write()),
            Ok(()) => written.next().unwrap_or(Err(Failure::Answer)),
        };
        match &answer {
            // It may be as it was before, and need all entries, if another node takes its place.
            Ok(Written { changed: true, unacknowledged: Some(_), .. }) => {}
            Ok(written) => {
                let former = tidy_up(store, id, instruction, &intents, written, &mut tidy);
                formers.extend(former.map(|(place, customer)| (place, id, customer)));
            }
            // The intents stay until they are too old to count.
            Err(Failure::OutcomeUnknown) => {}
            Err(_) => take_back(store, id, instruction, &intents, false, &mut tidy),
        }
        answers.push(answer);
    }
    // Nobody has to know whether it failed: it only takes out what is too much.
    let tidied = steps(store, &tidy, Sort::Tidy, end).await;
    let refused = formers.iter().filter(|(place, ..)| matches!(tidied[*place], Ok((_, 0))));
    // Who looks at the record as well may take out more.
    join_all(refused.map(|(_, id, customer)| repair::sweep(store, customer, std::slice::from_ref(*id), end))).await;
    answers
}

/// When a writer's intents were noted.
struct Intents {
    /// With whether there was no entry yet.
    customer: Option<(Timestamp, bool)>,
    expiry: Option<Timestamp>,
}

/// Until when a record may be written by its server's clock, which was asked within the time that was spent since
/// before the intent was noted.
fn latest(now: Timestamp, spent: Duration) -> Result<Timestamp, Failure> {
    let left = PATIENCE.checked_sub(spent).filter(|left| !left.is_zero()).ok_or(Failure::TooLate)?;
    Ok(now.saturating_add(left))
}

/// The steps that are left of a write that was not done; with the entry, if it was made for that, only where its record
/// is known not to need it.
fn take_back(
    store: &RedisStore,
    id: &AcsId,
    instruction: &Instruction,
    intents: &Intents,
    with_entry: bool,
    tidy: &mut Vec<Step>,
) {
    if let Some((customer, (noted, made))) = instruction.becomes().zip(intents.customer) {
        let key = store.keys().index(id, customer);
        tidy.push(match with_entry && made {
            true => Step::settle(key, id, noted, None),
            false => Step::take_back(key, id, noted),
        });
    }
    tidy.extend(intents.expiry.map(|noted| Step::take_back(store.keys().expiring(id), id, noted)));
}

/// The steps that are left when a record is as it should be; with the place of the one that drops a former customer's
/// entry.
fn tidy_up(
    store: &RedisStore,
    id: &AcsId,
    instruction: &Instruction,
    intents: &Intents,
    written: &Written,
    tidy: &mut Vec<Step>,
) -> Option<(usize, CustomerId)> {
    let Ok(before) = record::present(id, written.before.as_deref()) else {
        // It stays as it is.
        take_back(store, id, instruction, intents, true, tidy);
        return None;
    };
    let customer = instruction.becomes();
    let mut dropped = None;
    if written.changed
        && let Some(former) = before.mapping()
    {
        if Some(&former.customer_id) != customer {
            dropped = Some((tidy.len(), former.customer_id.clone()));
            tidy.push(Step::drop(store.keys().index(id, &former.customer_id), id, former.created_at));
        }
        if let Some(at) = former.expires_at.filter(|_| intents.expiry.is_none()) {
            tidy.push(Step::expired(store.keys().expiring(id), id, at.as_micros() as f64));
        }
    }
    if let Some(noted) = intents.expiry {
        let key = store.keys().expiring(id);
        tidy.push(match written.created.and_then(|_| instruction.expires(written.now)) {
            Some(expires) => Step::settle_expiring(key, id, noted, expires),
            None => Step::take_back(key, id, noted),
        });
    }
    if let Some((customer, (noted, _))) = customer.zip(intents.customer) {
        let key = store.keys().index(id, customer);
        let present = before.mapping().filter(|mapping| mapping.customer_id == *customer);
        let created = written.created.or(present.map(|mapping| mapping.created_at));
        tidy.push(Step::settle(key, id, noted, created));
    }
    dropped
}

/// Each record's server's time.
async fn clocks(store: &RedisStore, items: &[&(AcsId, Instruction)], end: Instant) -> Vec<Result<Timestamp, Failure>> {
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
