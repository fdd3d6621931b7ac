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
use crate::write::{Instruction, What, records};
use crate::{answer, member, read, record, repair};

/// How many mappings of a customer are unlinked at once.
const CHUNK: usize = 500;

/// How many milliseconds to wait before each time that a customer's list is gone through to unlink all: a write that is
/// under way is soon done.
const PAUSES: [u64; 5] = [0, 0, 20, 100, 300];

/// An entry of the list of a customer's mappings, which is in this order here as on the servers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// The score in half microseconds: that of a time is below 2^53, and so exact, and several writers at once may have
    /// added a half.
    halves: u64,
    /// As it stands in the index, in whose order those of one score are.
    member: Vec<u8>,
}

impl From<(Vec<u8>, f64)> for Entry {
    fn from((member, score): (Vec<u8>, f64)) -> Self {
        Self { halves: (2.0 * score) as u64, member }
    }
}

impl Entry {
    fn score(&self) -> String {
        format!("{}{}", self.halves / 2, if self.halves % 2 == 1 { ".5" } else { "" })
    }

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
    let ids: Vec<AcsId> = entries.iter().map(Entry::acs_id).collect::<Result<_, _>>()?;
    let next = entries.last().zip(ids.last()).filter(|_| more);
    let next = next.map(|(last, id)| Cursor::new(format!("c{}:{}", last.score(), id.as_str())));
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

/// What is read of a part of a customer's index.
struct Part {
    part: u16,
    /// How many entries are asked for, and whether there may be more.
    most: usize,
    more: bool,
    /// The last entry that was read.
    last: Option<Entry>,
}

/// The first entries beyond a place, of all parts together.
async fn entries(
    store: &RedisStore,
    customer: &CustomerId,
    after: Option<&Entry>,
    count: usize,
    end: Instant,
) -> Result<Vec<Entry>, Failure> {
    // Of each somewhat more than its share. Always from the first one on: by its number, one would be passed over where
    // another one has gone meanwhile.
    let most = count.min(8 + count / 8);
    let mut parts: Vec<Part> = (0..PARTS).map(|part| Part { part, most, more: true, last: None }).collect();
    let mut found: Vec<Entry> = Vec::new();
    loop {
        // What is not read yet of a part comes behind what is.
        let bound = found.get(count - 1);
        let is_unread = |part: &&mut Part| part.more && (bound.is_none() || part.last.as_ref() < bound);
        let unread: Vec<&mut Part> = parts.iter_mut().filter(is_unread).collect();
        if unread.is_empty() {
            found.truncate(count);
            return Ok(found);
        }
        let ask = |part: &&mut Part| {
            let key = store.keys().index_part(part.part, customer);
            let mut command = cmd("ZRANGE");
            command.arg(&key).arg(after.map_or("0".to_owned(), Entry::score)).arg("+inf").arg("BYSCORE");
            command.arg("LIMIT").arg(0).arg(part.most).arg("WITHSCORES");
            Ask { slot: slot(&key), command, script: None }
        };
        let asks: Vec<_> = unread.iter().map(ask).collect();
        for (part, answer) in unread.into_iter().zip(store.ask(&asks, end).await) {
            let entries: Vec<Entry> = answer::scored(&answer?)?.into_iter().map(Entry::from).collect();
            (part.more, part.most) = (entries.len() == part.most, 2 * part.most);
            part.last = entries.last().cloned();
            // Those of the same moment may be before the place.
            found.extend(entries.into_iter().filter(|entry| after.is_none_or(|after| entry > after)));
        }
        found.sort_unstable();
        found.dedup();
    }
}

/// The time of the server that has a part of a customer's index.
async fn now(store: &RedisStore, customer: &CustomerId, end: Instant) -> Result<Timestamp, Failure> {
    let slot = slot(&store.keys().index_part(0, customer));
    answer::server_time(&store.ask_one(Ask { slot, command: cmd("TIME"), script: None }, end).await?)
}

fn parse(cursor: &Cursor) -> Option<Entry> {
    let (score, id) = cursor.as_str().strip_prefix('c')?.split_once(':')?;
    AcsId::new(id).ok()?;
    let whole = score.strip_suffix(".5");
    let micros: u64 = whole.unwrap_or(score).parse().ok().filter(|micros| *micros <= Timestamp::MAX.as_micros())?;
    let entry = Entry { halves: 2 * micros + u64::from(whole.is_some()), member: member::of(id) };
    // As it was written, without a sign or more digits.
    (entry.score() == score).then_some(entry)
}

pub(crate) async fn unlink_customer(store: &RedisStore, customer: &CustomerId) -> Result<u64> {
    let customer = customer.clone();
    let end = store.end();
    store.run(end, move |store| async move { unlink_all(&store, &customer, end).await }).await?
}

/// Unlinks what is the customer's now, up to the last place in his list: no clock tells it, as what is imported has any
/// creation time, and an entry may be made by another node's clock. What is linked meanwhile before that place goes,
/// too.
///
/// In a cluster the list is gone through again until nothing is found to be done, as an entry is not dropped while a
/// writer may need it.
async fn unlink_all(store: &RedisStore, customer: &CustomerId, end: Instant) -> Result<u64> {
    let Some(until) = last(store, customer, end).await? else { return Ok(0) };
    let mut removed = 0;
    let mut last = Unlinked::default();
    for pause in PAUSES {
        sleep(Duration::from_millis(pause)).await;
        last = unlink_until(store, customer, &until).await?;
        removed += last.removed;
        if last.kept == 0 && (last.removed == 0 || store.nodes().is_whole()) {
            break;
        }
    }
    match last {
        Unlinked { unreadable: true, .. } => Err(Failure::Unreadable.into()),
        Unlinked { kept: 0, .. } => Ok(removed),
        _ => Err(Failure::Intended.into()),
    }
}

/// What has become of a customer's list.
#[derive(Default)]
struct Unlinked {
    removed: u64,
    /// How many entries were left to a writer.
    kept: usize,
    /// Whether a record or an entry cannot be read, which stays then.
    unreadable: bool,
}

/// Goes through a customer's list once.
async fn unlink_until(store: &RedisStore, customer: &CustomerId, until: &Entry) -> Result<Unlinked, Failure> {
    let mut after: Option<Entry> = None;
    let mut unlinked = Unlinked::default();
    loop {
        let end = store.end();
        let mut entries = entries(store, customer, after.as_ref(), CHUNK, end).await?;
        let is_end = entries.len() < CHUNK || entries.last().is_none_or(|last| last >= until);
        entries.retain(|entry| entry <= until);
        let ids: Vec<AcsId> = entries.iter().filter_map(|entry| entry.acs_id().ok()).collect();
        unlinked.unreadable |= ids.len() < entries.len();
        let forget = |id: &AcsId| Ok((id.clone(), Instruction::of(What::Forget, customer.clone())));
        let mut doubtful = Vec::new();
        for (id, written) in ids.iter().zip(records(store, ids.iter().map(forget).collect(), end).await) {
            let written = written?;
            match (record::present(id, written.before.as_deref()), written.changed) {
                (Ok(Present::Mapping(mapping)), true) => {
                    unlinked.removed += u64::from(!mapping.is_expired(written.now));
                }
                (Ok(_), _) => doubtful.push(id.clone()),
                (Err(_), _) => unlinked.unreadable = true,
            }
        }
        unlinked.kept += repair::entries(store, customer, &doubtful, end).await.map_err(Failure::before_the_write)?;
        if is_end {
            return Ok(unlinked);
        }
        after = entries.pop();
    }
}

/// The last place in a customer's list; `None` if there is none.
async fn last(store: &RedisStore, customer: &CustomerId, end: Instant) -> Result<Option<Entry>, Failure> {
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
        last = last.max(entries.map(Entry::from).max());
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_taken_as_it_was_written_and_in_no_other_way() {
        let place = |cursor: &str| parse(&Cursor::new(cursor));
        let read = |halves| Some(Entry { halves, member: b"8:acs:r_1".to_vec() });
        assert_eq!((place("c17:8:acs:r_1"), place("c17.5:8:acs:r_1")), (read(34), read(35)));
        assert!(place("c0:8:acs:r_1").is_some());
        for wrong in [
            "",
            "c",
            "17:8:acs:r_1",
            "c+17:8:acs:r_1",
            "c017:8:acs:r_1",
            "c-1:8:acs:r_1",
            "c17.:8:acs:r_1",
            "c17.50:8:acs:r_1",
            "c17.5.5:8:acs:r_1",
            "c17:",
            "c9007199254740992:a",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
