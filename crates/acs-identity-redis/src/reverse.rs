//! The mappings of a customer, by the index, whose every entry is checked against its record.

use std::time::Duration;

use acs_identity_core::rules::Present;
use acs_identity_core::{AcsId, Cursor, CustomerId, Error, Mapping, Page, PageRequest, Result, Timestamp};
use redis::cmd;
use tokio::time::{Instant, sleep};

use crate::error::Failure;
use crate::keys::{PARTS, slot};
use crate::nodes::Ask;
use crate::store::RedisStore;
use crate::write::{Told, records};
use crate::{answer, member, read, record, repair};

/// How many mappings of a customer are unlinked at once.
const CHUNK: usize = 500;

/// How many milliseconds to wait before each time that a customer's list is gone through to unlink all: a write that is under way is soon done.
const PAUSES: [u64; 5] = [0, 0, 20, 100, 300];

/// A place in the list of a customer's mappings, which is in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    created_at: u64,
    /// As it stands in the index, in whose order those of one moment are.
    member: Vec<u8>,
}

impl From<(Vec<u8>, f64)> for Place {
    fn from((member, score): (Vec<u8>, f64)) -> Self {
        // Below 2^53, and so exact, but for a half that several writers at once may have added.
        Self { created_at: score as u64, member }
    }
}

impl Place {
    fn acs_id(&self) -> Result<AcsId, Failure> {
        member::read(&self.member).and_then(|id| AcsId::new(id).ok()).ok_or(Failure::Unreadable)
    }
}

pub(crate) async fn mappings_of(
    store: &RedisStore,
    customer: &CustomerId,
    page: &PageRequest,
) -> Result<Page<Mapping>> {
    let after = match page.cursor() {
        None => None,
        Some(cursor) => {
            Some(parse(cursor).ok_or_else(|| Error::invalid_input("the cursor is not one of this listing"))?)
        }
    };
    let end = store.end();
    let mut entries = entries(store, customer, after.as_ref(), page.limit() as usize + 1, end).await?;
    let more = entries.len() > page.limit() as usize;
    entries.truncate(page.limit() as usize);
    let ids: Vec<AcsId> = entries.iter().map(Place::acs_id).collect::<Result<_, _>>()?;
    let next = entries.last().zip(ids.last()).filter(|_| more);
    let next = next.map(|(last, id)| Cursor::new(format!("c{}:{}", last.created_at, id.as_str())));
    let found = read::records(store, &ids.iter().collect::<Vec<_>>(), end).await;
    let (mut items, mut doubtful) = (Vec::with_capacity(ids.len()), Vec::new());
    let mut read_at = Timestamp::from_micros(0);
    for (id, found) in ids.iter().zip(found) {
        let (value, now) = found?;
        read_at = read_at.max(now);
        let mapping = match answer::bytes(&value)? {
            Some(bytes) => record::mapping(id, bytes)?,
            None => None,
        };
        match mapping {
            Some(mapping) if mapping.customer_id == *customer => {
                if !mapping.is_expired(now) {
                    items.push(mapping);
                }
            }
            _ => doubtful.push(id.clone()),
        }
    }
    if ids.is_empty() {
        read_at = now(store, customer, end).await?;
    }
    // An entry whose write was not finished may be in a wrong place.
    items.sort_by(|a, b| (a.created_at, &a.acs_id).cmp(&(b.created_at, &b.acs_id)));
    repair::doubtful(store, customer, doubtful, end).await;
    Ok(Page::new(items, next, read_at))
}

/// The first entries beyond a place, of all parts together.
async fn entries(
    store: &RedisStore,
    customer: &CustomerId,
    after: Option<&Place>,
    count: usize,
    end: Instant,
) -> Result<Vec<Place>, Failure> {
    let mut found = Vec::new();
    // The parts of which there may be more, and how many of each are read. Always from the first one on: by its number, one would be passed
    // over where another one has gone meanwhile.
    let mut parts: Vec<(u16, usize)> = (0..PARTS).map(|part| (part, count)).collect();
    while !parts.is_empty() {
        let ask = |(part, most): &(u16, usize)| {
            let key = store.keys().index_part(*part, customer);
            let mut command = cmd("ZRANGE");
            command.arg(&key).arg(after.map_or(0, |after| after.created_at)).arg("+inf").arg("BYSCORE");
            command.arg("LIMIT").arg(0).arg(*most).arg("WITHSCORES");
            Ask { slot: slot(&key), command, script: None }
        };
        let asks: Vec<_> = parts.iter().map(ask).collect();
        let mut unread = Vec::new();
        for ((part, most), answer) in parts.into_iter().zip(store.ask(&asks, end).await) {
            let entries = answer::scored(&answer?)?;
            let full = entries.len() == most;
            let entries = entries.into_iter().map(Place::from);
            let before = found.len();
            // Those of the same moment may be before the place.
            found.extend(entries.filter(|entry| after.is_none_or(|after| entry > after)));
            if full && found.len() - before < count {
                unread.push((part, 2 * most));
            }
        }
        parts = unread;
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(count);
    Ok(found)
}

/// The time of the server that has a part of a customer's index.
async fn now(store: &RedisStore, customer: &CustomerId, end: Instant) -> Result<Timestamp, Failure> {
    let slot = slot(&store.keys().index_part(0, customer));
    answer::server_time(&store.ask_one(Ask { slot, command: cmd("TIME"), script: None }, end).await?)
}

fn parse(cursor: &Cursor) -> Option<Place> {
    let (created_at, id) = cursor.as_str().strip_prefix('c')?.split_once(':')?;
    AcsId::new(id).ok()?;
    let micros: u64 = created_at.parse().ok().filter(|micros| *micros <= Timestamp::MAX.as_micros())?;
    // As it was written, without a sign or more digits.
    (micros.to_string() == created_at).then(|| Place { created_at: micros, member: member::of(id) })
}

pub(crate) async fn unlink_customer(store: &RedisStore, customer: &CustomerId) -> Result<u64> {
    let customer = customer.clone();
    let end = store.end();
    store.run(end, move |store| async move { unlink_all(&store, &customer, end).await }).await?
}

/// Unlinks what is the customer's now, up to the last place in his list: no clock tells it, as what is imported has any creation
/// time, and an entry may be made by another node's clock. What is linked meanwhile before that place goes, too.
///
/// In a cluster the list is gone through again until nothing is found to be done, as an entry is not dropped while a writer may need it.
async fn unlink_all(store: &RedisStore, customer: &CustomerId, end: Instant) -> Result<u64> {
    let Some(until) = last(store, customer, end).await? else { return Ok(0) };
    let mut removed = 0;
    let mut kept = 0;
    for pause in PAUSES {
        sleep(Duration::from_millis(pause)).await;
        let unlinked;
        (unlinked, kept) = unlink_until(store, customer, &until).await?;
        removed += unlinked;
        if kept == 0 && (unlinked == 0 || store.nodes().is_whole()) {
            break;
        }
    }
    if kept == 0 { Ok(removed) } else { Err(Failure::Intended.into()) }
}

/// Goes through a customer's list once, and answers with how many mappings were unlinked, and how many entries were left to a writer.
async fn unlink_until(store: &RedisStore, customer: &CustomerId, until: &Place) -> Result<(u64, usize)> {
    let mut after: Option<Place> = None;
    let (mut removed, mut kept) = (0, 0);
    loop {
        let end = store.end();
        let mut entries = entries(store, customer, after.as_ref(), CHUNK, end).await?;
        let is_end = entries.len() < CHUNK || entries.last().is_none_or(|last| last >= until);
        entries.retain(|entry| entry <= until);
        let ids: Vec<AcsId> = entries.iter().map(Place::acs_id).collect::<Result<_, _>>()?;
        let told =
            |id: &AcsId| Ok((id.clone(), Told { what: "f", customer: Some(customer.clone()), ..Told::default() }));
        let mut doubtful = Vec::new();
        for (id, written) in ids.iter().zip(records(store, ids.iter().map(told).collect(), end).await) {
            let written = written?;
            let present = record::present(id, written.before.as_deref())?;
            match (&present, written.changed) {
                (Present::Mapping(mapping), true) => removed += u64::from(!mapping.is_expired(written.now)),
                _ => doubtful.push(id.clone()),
            }
        }
        kept += repair::entries(store, customer, &doubtful, end).await.map_err(Failure::before_the_write)?;
        if is_end {
            return Ok((removed, kept));
        }
        after = entries.pop();
    }
}

/// The last place in a customer's list; `None` if there is none.
async fn last(store: &RedisStore, customer: &CustomerId, end: Instant) -> Result<Option<Place>, Failure> {
    let ask = |part| {
        let key = store.keys().index_part(part, customer);
        let mut command = cmd("ZRANGE");
        command.arg(&key).arg("+inf").arg(0).arg("BYSCORE").arg("REV");
        command.arg("LIMIT").arg(0).arg(1).arg("WITHSCORES");
        Ask { slot: slot(&key), command, script: None }
    };
    let mut last = None;
    for answer in store.ask(&(0..PARTS).map(ask).collect::<Vec<_>>(), end).await {
        let entries = answer::scored(&answer?)?.into_iter();
        last = last.max(entries.map(Place::from).max());
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_taken_as_it_was_written_and_in_no_other_way() {
        let place = |cursor: &str| parse(&Cursor::new(cursor));
        let read = Place { created_at: 17, member: b"8:acs:r_1".to_vec() };
        assert_eq!(place("c17:8:acs:r_1"), Some(read));
        assert!(place("c0:8:acs:r_1").is_some());
        for wrong in [
            "",
            "c",
            "17:8:acs:r_1",
            "c+17:8:acs:r_1",
            "c017:8:acs:r_1",
            "c-1:8:acs:r_1",
            "c17:",
            "c9007199254740992:a",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
