//! What has expired is removed.

use acs_identity_core::{AcsId, Result};
use redis::cmd;
use tokio::time::Instant;

use crate::answer;
use crate::clocks::Clocks;
use crate::error::Failure;
use crate::keys::{EXPIRING_PARTS, slot};
use crate::member;
use crate::nodes::Ask;
use crate::record;
use crate::step::{Step, steps};
use crate::store::RedisStore;
use crate::write::{Told, records};

/// How many are removed at once.
const CHUNK: u32 = 500;

pub(crate) async fn expired(store: &RedisStore, limit: u32) -> Result<u64> {
    store.run(store.end(), move |store| async move { all(&store, limit).await }).await?
}

async fn all(store: &RedisStore, limit: u32) -> Result<u64> {
    let mut purged = 0;
    for part in due_parts(store).await? {
        // What is there may be of no use, so there can be more of them than of mappings.
        loop {
            let room = limit.saturating_sub(purged as u32).min(CHUNK);
            if room == 0 {
                return Ok(purged);
            }
            let due = due(store, part, room, store.end()).await?;
            let count = due.len();
            purged += bury(store, part, due).await?;
            if count < room as usize {
                break;
            }
        }
    }
    Ok(purged)
}

/// The parts in which the time of something is over.
async fn due_parts(store: &RedisStore) -> Result<Vec<u16>, Failure> {
    let keys: Vec<String> = (0..EXPIRING_PARTS).map(|part| store.keys().expiring_part(part)).collect();
    let earliest = |key: &String| {
        let mut command = cmd("ZRANGE");
        command.arg(key).arg(0).arg(0).arg("WITHSCORES");
        Ask { slot: slot(key), command, script: None }
    };
    let mut asks: Vec<Ask> = keys.iter().map(earliest).collect();
    let slots: Vec<u16> = keys.iter().map(|key| slot(key)).collect();
    let clocks = Clocks::ask(store.nodes().topology(), &slots, &mut asks);
    let answers = store.ask(&asks, store.end()).await;
    let mut due = Vec::new();
    for ((part, slot), answer) in (0..EXPIRING_PARTS).zip(slots).zip(&answers) {
        let earliest = answer::scored(answer.as_ref().map_err(Failure::clone)?)?;
        let now = clocks.read(slot, &answers)?;
        if earliest.iter().any(|(_, at)| *at <= now.as_micros()) {
            due.push(part);
        }
    }
    Ok(due)
}

/// Entries of a part whose time is over.
async fn due(store: &RedisStore, part: u16, most: u32, end: Instant) -> Result<Vec<(AcsId, u64)>, Failure> {
    let key = store.keys().expiring_part(part);
    let mut asks = Vec::with_capacity(2);
    let clocks = Clocks::ask(store.nodes().topology(), &[slot(&key)], &mut asks);
    let now = clocks.read(slot(&key), &store.ask(&asks, end).await)?;
    let mut command = cmd("ZRANGE");
    command.arg(&key).arg("-inf").arg(now.as_micros()).arg("BYSCORE");
    command.arg("LIMIT").arg(0).arg(most).arg("WITHSCORES");
    let answer = store.ask_one(Ask { slot: slot(&key), command, script: None }, end).await?;
    let entries = answer::scored(&answer)?;
    let entry = |(member, at): (Vec<u8>, u64)| {
        let id = member::read(&member).and_then(|id| AcsId::new(id).ok());
        id.map(|id| (id, at)).ok_or(Failure::Unreadable)
    };
    entries.into_iter().map(entry).collect()
}

async fn bury(store: &RedisStore, part: u16, due: Vec<(AcsId, u64)>) -> Result<u64, Failure> {
    let told = |id: &AcsId| Ok((id.clone(), Told { what: "b", ..Told::default() }));
    let mut buried = 0;
    let mut done = Vec::with_capacity(due.len());
    let end = store.end();
    let written = records(store, due.iter().map(|(id, _)| told(id)).collect(), end).await;
    for ((id, at), written) in due.iter().zip(written) {
        let written = written?;
        buried += u64::from(written.changed);
        let key = store.keys().expiring_part(part);
        let later = record::present(id, written.before.as_deref()).ok().and_then(|present| {
            present.live(written.now)?.expires_at.map(|expires_at| expires_at.as_micros().to_string())
        });
        done.push(match later {
            // The entry is that of an earlier write.
            Some(later) => Step::expiring_later(key, id, *at, &later),
            None => Step::expired(key, id, *at),
        });
    }
    steps(store, &done, end).await.into_iter().try_for_each(|done| done.map(drop))?;
    Ok(buried)
}
