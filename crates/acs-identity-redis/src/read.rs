//! Lookups by ACS ID.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Error, Resolution, Timestamp};
use redis::{Cmd, Value, cmd};
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::clocks::Clocks;
use crate::error::{Failure, Trouble};
use crate::keys::slot;
use crate::nodes::{Ask, Sort};
use crate::record;
use crate::store::RedisStore;

/// How many keys one `MGET` has at most, so that no other client waits long for its turn.
const KEYS: usize = 1000;

/// How many keys are asked for at once. Parts follow each other, so that the answers come long before the connection
/// would be given up, which others use as well.
const PART: usize = 20_000;

/// How much older than the record the server's time may be by which it is judged, without that being made up for.
const SLOW: Duration = Duration::from_millis(50);

pub(crate) async fn resolve(store: &RedisStore, id: &AcsId) -> Result<Option<Resolution>, Failure> {
    let end = store.end();
    let key = store.keys().record(id.as_str());
    let value = one(store, "GET", &key, end).await?;
    let Some(bytes) = answer::bytes(&value)? else { return Ok(None) };
    match record::resolution(bytes)? {
        None => Ok(None),
        Some((resolution, None)) => Ok(Some(resolution)),
        Some((resolution, Some(expires_at))) => {
            // Asked after the record was read, so what remains is rather too short than too long.
            let ask = Ask { slot: slot(&key), command: cmd("TIME"), script: None };
            let now = answer::server_time(&store.ask_one(ask, end).await?)?;
            Ok(lasting(resolution, Some(expires_at), now))
        }
    }
}

/// A lookup of one key. The shortest way if nothing is wrong, since it is the one that is taken most often.
async fn one(store: &RedisStore, command: &str, key: &str, end: Instant) -> Result<Value, Failure> {
    let mut get = Cmd::with_capacity(2, key.len() + command.len());
    get.arg(command).arg(key);
    let topology = store.nodes().topology();
    let slot = if store.nodes().is_whole() { 0 } else { slot(key) };
    let mut sort = Sort::Read;
    if let Some(owner) = topology.owner(slot) {
        match timeout_at(end, topology.nodes[owner].read(&get)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Trouble::Final(failure))) => return Err(failure),
            Ok(Err(Trouble::NotDone(..))) => {}
            Ok(Err(Trouble::Lost(_))) => {
                sort = Sort::ReadAgain;
                // Whether or not something is found, it is sent once more.
                let _ = timeout_at(end, store.nodes().look(topology.number)).await;
            }
            Err(_) => return Err(Failure::NoAnswer),
        }
    }
    // Wherever the key may be by now.
    let asks = [Ask { slot, command: get, script: None }];
    store.nodes().each(&asks, sort, end).await.pop().unwrap_or(Err(Failure::Answer))
}

fn lasting(resolution: Resolution, expires_at: Option<Timestamp>, now: Timestamp) -> Option<Resolution> {
    match expires_at {
        None => Some(resolution),
        Some(at) if at <= now => None,
        Some(at) => Some(resolution.lasting(at.since(now))),
    }
}

/// The answers about those IDs of which something is known, or about which nothing could be found out.
pub(crate) async fn resolve_many<'a>(store: &RedisStore, ids: &'a [AcsId]) -> Vec<(&'a str, Answer)> {
    let mut seen = HashSet::with_capacity(ids.len());
    let distinct: Vec<&AcsId> = ids.iter().filter(|id| seen.insert(*id)).collect();
    let records = records(store, &distinct, store.end()).await;
    let mut answers = Vec::with_capacity(distinct.len());
    for (id, record) in distinct.into_iter().zip(records) {
        let answer = record.and_then(|(value, now)| match answer::bytes(&value)? {
            None => Ok(None),
            Some(bytes) => {
                Ok(record::resolution(bytes)?.and_then(|(resolution, expires_at)| lasting(resolution, expires_at, now)))
            }
        });
        if !matches!(answer, Ok(None)) {
            answers.push((id.as_str(), answer.map_err(Error::from)));
        }
    }
    answers
}

/// The records of IDs, each with its server's time when it had been read.
pub(crate) async fn records(
    store: &RedisStore,
    ids: &[&AcsId],
    end: Instant,
) -> Vec<Result<(Value, Timestamp), Failure>> {
    let mut records = Vec::with_capacity(ids.len());
    for part in ids.chunks(PART) {
        records.extend(part_of_records(store, part, end).await);
    }
    records
}

async fn part_of_records(store: &RedisStore, ids: &[&AcsId], end: Instant) -> Vec<Result<(Value, Timestamp), Failure>> {
    let keys: Vec<String> = ids.iter().map(|id| store.keys().record(id.as_str())).collect();
    let mut groups: Vec<(u16, Vec<usize>)> = Vec::new();
    if store.nodes().is_whole() {
        groups.extend((0..keys.len()).collect::<Vec<_>>().chunks(KEYS).map(|group| (0, group.to_vec())));
    } else {
        let mut by_slot: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            by_slot.entry(slot(key)).or_default().push(place);
        }
        groups.extend(by_slot);
    }
    let mut records: Vec<_> = keys.iter().map(|_| Err(Failure::Answer)).collect();
    grouped(store, &keys, &groups, end, &mut records).await;
    // Of a slot on its way, a node has some and another one the others: then one by one.
    let divided = |(_, group): &&(u16, Vec<usize>)| matches!(records[group[0]], Err(Failure::Divided));
    let alone: Vec<(u16, Vec<usize>)> = groups
        .iter()
        .filter(divided)
        .flat_map(|(slot, group)| group.iter().map(|place| (*slot, vec![*place])))
        .collect();
    if !alone.is_empty() {
        grouped(store, &keys, &alone, end, &mut records).await;
    }
    records
}

/// Reads the records of keys, whose places are given, with one command for those of one group.
async fn grouped(
    store: &RedisStore,
    keys: &[String],
    groups: &[(u16, Vec<usize>)],
    end: Instant,
    records: &mut [Result<(Value, Timestamp), Failure>],
) {
    let mut asks = Vec::with_capacity(groups.len() + 1);
    for (slot, group) in groups {
        let mut command = Cmd::with_capacity(group.len() + 1, group.len() * 100);
        command.arg("MGET");
        for place in group {
            command.arg(&keys[*place]);
        }
        asks.push(Ask { slot: *slot, command, script: None });
    }
    let slots: Vec<u16> = groups.iter().map(|(slot, _)| *slot).collect();
    // Behind the other commands of its node.
    let clocks = Clocks::ask(store.nodes().topology(), &slots, &mut asks);
    let started = Instant::now();
    let answers = store.ask(&asks, end).await;
    // A record may have been read long after the time, for instance once a cluster was whole again. It rather ends too
    // early than too late.
    let spent = Some(started.elapsed()).filter(|spent| *spent > SLOW).unwrap_or_default();
    let times: Vec<_> =
        slots.iter().map(|slot| clocks.read(*slot, &answers).map(|now| now.saturating_add(spent))).collect();
    for (((_, group), answer), now) in groups.iter().zip(answers).zip(times) {
        match (answer, now) {
            (Ok(Value::Array(values)), Ok(now)) if values.len() == group.len() => {
                for (place, value) in group.iter().zip(values) {
                    records[*place] = Ok((value, now));
                }
            }
            (answer, now) => {
                let failure = answer.err().or(now.err()).unwrap_or(Failure::Answer);
                group.iter().for_each(|place| records[*place] = Err(failure.clone()));
            }
        }
    }
}

pub(crate) async fn ping(store: &RedisStore) -> Result<(), Failure> {
    let slots = store.nodes().topology().slot_of_each();
    if slots.is_empty() {
        return Err(if store.nodes().is_closed() { Failure::Closed } else { Failure::Uncovered });
    }
    let asks: Vec<_> = slots.into_iter().map(|slot| Ask { slot, command: cmd("PING"), script: None }).collect();
    store.ask(&asks, store.end()).await.into_iter().try_for_each(|answer| answer.map(drop))
}
