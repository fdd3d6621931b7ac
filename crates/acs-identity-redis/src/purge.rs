//! What has expired is removed.

use acs_identity_core::{AcsId, Result};
use redis::cmd;
use tokio::time::Instant;

use crate::answer;
use crate::clocks::Clocks;
use crate::error::Failure;
use crate::keys::{EXPIRING_PARTS, slot};
use crate::member;
use crate::nodes::{Ask, Sort};
use crate::record;
use crate::step::{Step, steps};
use crate::store::RedisStore;
use crate::write::{Instruction, What, records};

/// How many are removed at once.
const CHUNK: u32 = 500;

pub(crate) async fn expired(store: &RedisStore, limit: u32) -> Result<u64> {
    store.run(store.end(), move |store| async move { all(&store, limit).await }).await?
}

async fn all(store: &RedisStore, limit: u32) -> Result<u64> {
    let mut purged = 0;
    let (due_parts, failure) = due_parts(store).await?;
    for part in due_parts {
        // What is there may be of no use, so there can be more of them than of mappings; and some may have to stay
        // where they are.
        let mut staying = 0;
        loop {
            let room = limit.saturating_sub(purged as u32).min(CHUNK);
            if room == 0 {
                return Ok(purged);
            }
            let due = due(store, part, staying, room, store.end()).await?;
            let count = due.len();
            let (buried, stay) = bury(store, part, due).await?;
            purged += buried;
            staying += stay;
            if count < room as usize {
                break;
            }
        }
    }
    failure.map_or(Ok(purged), |failure| Err(failure.into()))
}

/// The parts in which the time of something is over; and the failure of one that is no index, if there is one.
async fn due_parts(store: &RedisStore) -> Result<(Vec<u16>, Option<Failure>), Failure> {
    let keys: Vec<String> = (0..EXPIRING_PARTS).map(|part| store.keys().expiring_part(part)).collect();
    let earliest = |key: &String| {
        let mut command = cmd("ZRANGE");
        command.arg(key).arg(0).arg("+inf").arg("BYSCORE").arg("LIMIT").arg(0).arg(1).arg("WITHSCORES");
        Ask { slot: slot(key), command, script: None }
    };
    let mut asks: Vec<Ask> = keys.iter().map(earliest).collect();
    let slots: Vec<u16> = keys.iter().map(|key| slot(key)).collect();
    let clocks = Clocks::ask(store.nodes().topology(), &slots, &mut asks);
    let answers = store.ask(&asks, store.end()).await;
    let (mut due, mut failed) = (Vec::new(), None);
    for ((part, slot), answer) in (0..EXPIRING_PARTS).zip(slots).zip(&answers) {
        let earliest = match answer {
            Ok(earliest) => answer::scored(earliest)?,
            Err(failure) if failure.is_corruption() => {
                failed = Some(failure.clone());
                continue;
            }
            Err(failure) => return Err(failure.clone()),
        };
        let now = clocks.read(slot, &answers)?;
        if earliest.iter().any(|(_, at)| *at <= now.as_micros() as f64) {
            due.push(part);
        }
    }
    Ok((due, failed))
}

/// Entries of a part whose time is over, behind so many.
async fn due(
    store: &RedisStore,
    part: u16,
    behind: usize,
    most: u32,
    end: Instant,
) -> Result<Vec<(AcsId, f64)>, Failure> {
    let key = store.keys().expiring_part(part);
    let mut asks = Vec::with_capacity(2);
    let clocks = Clocks::ask(store.nodes().topology(), &[slot(&key)], &mut asks);
    let now = clocks.read(slot(&key), &store.ask(&asks, end).await)?;
    let mut command = cmd("ZRANGE");
    command.arg(&key).arg(0).arg(now.as_micros()).arg("BYSCORE");
    command.arg("LIMIT").arg(behind).arg(most).arg("WITHSCORES");
    let answer = store.ask_one(Ask { slot: slot(&key), command, script: None }, end).await?;
    let entries = answer::scored(&answer)?;
    let entry = |(member, at): (Vec<u8>, f64)| {
        let id = member::read(&member).and_then(|id| AcsId::new(id).ok());
        id.map(|id| (id, at)).ok_or(Failure::Unreadable)
    };
    entries.into_iter().map(entry).collect()
}

/// Buries what has expired. Answers with how many mappings that were, and how many entries stay as they are: the
/// mapping has not expired by the clock of its own node, or a writer may need the entry.
async fn bury(store: &RedisStore, part: u16, due: Vec<(AcsId, f64)>) -> Result<(u64, usize), Failure> {
    let bury = |id: &AcsId| Ok((id.clone(), Instruction::new(What::Bury)));
    let mut buried = 0;
    let mut others = Vec::new();
    let end = store.end();
    let written = records(store, due.iter().map(|(id, _)| bury(id)).collect(), end).await;
    for ((id, at), written) in due.iter().zip(written) {
        let written = written?;
        if written.changed {
            buried += 1;
            continue;
        }
        let key = store.keys().expiring_part(part);
        let later = record::present(id, written.before.as_deref()).ok().and_then(|present| {
            present.live(written.now)?.expires_at.map(|expires_at| expires_at.as_micros().to_string())
        });
        others.push(match later {
            // The entry is that of an earlier write.
            Some(later) => Step::expiring_later(key, id, *at, &later),
            None => Step::expired(key, id, *at),
        });
    }
    let mut staying = 0;
    for done in steps(store, &others, Sort::Tidy, end).await {
        staying += usize::from(done?.1 == 0);
    }
    Ok((buried, staying))
}
