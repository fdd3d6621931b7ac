//! All mappings of a namespace, server after server.
//!
//! A server lists its keys in steps, and says with each where to go on. A step may hold more than a page. So a cursor
//! names the server and the step, and the last ACS ID of it that was shown: the step is asked for again, put in order,
//! and gone on with. It may reach further by then, if the server's table has shrunk; so the cursor also stands for what
//! was shown, and where that is no more the beginning of the step, the step is shown again.

use acs_identity_core::{AcsId, Cursor, Error, Mapping, Page, PageRequest, Result, Timestamp};
use redis::{Pipeline, Value, cmd};
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::error::{Failure, Trouble};
use crate::keys::{self, Key};
use crate::nodes::{Node, Pauses, slots};
use crate::read;
use crate::record;
use crate::store::RedisStore;

/// Where a listing goes on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    /// Stands for who has which slots; 0 before the first page.
    topology: u64,
    /// The place of the server among them.
    node: usize,
    /// The process that runs there: the steps of another one mean something else.
    process: String,
    step: u64,
    /// The last ACS ID of this step that was shown; empty if none was.
    last: String,
    /// Stands for all those of this step that were shown: if others are there by then, the step is shown again as a
    /// whole.
    shown: u64,
}

impl Place {
    fn first() -> Self {
        Self { shown: sum(&[]), ..Self::default() }
    }

    fn cursor(&self) -> Cursor {
        let Self { topology, node, process, step, last, shown } = self;
        let text = format!("{topology:x}:{node}:{process}:{step}:{shown:x}:{last}");
        Cursor::new(format!("r{:04x}:{text}", keys::hash(&text)))
    }

    fn parse(cursor: &Cursor) -> Option<Self> {
        // The sum tells a cursor that somebody else made from one whose servers have changed.
        let (sum, text) = cursor.as_str().strip_prefix('r')?.split_once(':')?;
        if format!("{:04x}", keys::hash(text)) != sum {
            return None;
        }
        let mut parts = text.splitn(6, ':');
        let place = Self {
            topology: u64::from_str_radix(parts.next()?, 16).ok()?,
            node: parts.next()?.parse().ok()?,
            process: parts.next()?.to_owned(),
            step: parts.next()?.parse().ok()?,
            shown: u64::from_str_radix(parts.next()?, 16).ok()?,
            last: parts.next()?.to_owned(),
        };
        (place.last.is_empty() || AcsId::new(place.last.as_str()).is_ok()).then_some(place)
    }
}

/// How many keys a step looks at, at the least: in a database there may be many others.
const LOOKED_AT: u32 = 100;

/// Stands for some ACS IDs in their order.
fn sum(ids: &[AcsId]) -> u64 {
    keys::fingerprint(ids.iter().map(|id| id.as_str().as_bytes()))
}

/// Which mappings are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Present,
    /// Also those that have expired and are there still.
    AlsoExpired,
}

pub(crate) async fn page(store: &RedisStore, page: &PageRequest, listed: Listed) -> Result<Page<Mapping>> {
    let place = match page.cursor() {
        None => Place::first(),
        Some(cursor) => {
            Place::parse(cursor).ok_or_else(|| Error::invalid_input("the cursor is not one of this listing"))?
        }
    };
    Ok(read_page(store, place, page, listed).await?)
}

async fn read_page(
    store: &RedisStore,
    mut place: Place,
    page: &PageRequest,
    listed: Listed,
) -> Result<Page<Mapping>, Failure> {
    let end = store.end();
    if store.nodes().is_closed() {
        return Err(Failure::Closed);
    }
    let is_first = page.cursor().is_none();
    if is_first {
        look_again(store, end).await?;
    }
    let topology = store.nodes().topology();
    if is_first {
        place.topology = topology.fingerprint();
    } else if place.topology != topology.fingerprint() {
        return Err(Failure::Moved);
    }
    let node = topology.nodes.get(place.node).ok_or(Failure::Moved)?;
    let limit = page.limit() as usize;
    // Again the same part of a step that a page has ended in.
    let mut count = if place.last.is_empty() { LOOKED_AT.max(page.limit() / 2) } else { 1 };
    let mut part = step(store, node, place.step, count, end).await?;
    while part.ids.len() > limit && count > 1 {
        count /= 4;
        part = step(store, node, place.step, count.max(1), end).await?;
    }
    let Step { process, slots, next, mut ids } = part;
    if slots.is_some_and(|slots| !topology.has_slots(place.node, &slots)) {
        return Err(Failure::Moved);
    }
    // Of the first page of each server, which process it is.
    if place.process.is_empty() {
        place.process = process;
    } else if place.process != process {
        return Err(Failure::Moved);
    }
    ids.sort_unstable();
    ids.dedup();
    let before = ids.partition_point(|id| id.as_str() <= place.last.as_str());
    let from = if sum(&ids[..before]) == place.shown { before } else { 0 };
    let to = ids.len().min(from + limit);
    let (more, shown) = (to < ids.len(), sum(&ids[..to]));
    let ids = &ids[from..to];

    let found = read::records(store, &ids.iter().collect::<Vec<_>>(), end).await;
    let mut items = Vec::with_capacity(ids.len());
    let mut read_at = Timestamp::from_micros(0);
    for (id, found) in ids.iter().zip(found) {
        let (value, now) = found?;
        read_at = read_at.max(now);
        if let Some(bytes) = answer::bytes(&value)?
            && let Some(mapping) = record::mapping(id, bytes)?
            && (listed == Listed::AlsoExpired || !mapping.is_expired(now))
        {
            items.push(mapping);
        }
    }
    let next = match (more, next) {
        (true, _) => {
            place.last = ids.last().map(|id| id.as_str().to_owned()).unwrap_or_default();
            place.shown = shown;
            Some(place)
        }
        (false, 0) if place.node + 1 == topology.nodes.len() => {
            // What went from a server that was yet to be listed to one that had been would be missing.
            look_again(store, end).await?;
            if store.nodes().topology().fingerprint() != place.topology {
                return Err(Failure::Moved);
            }
            None
        }
        (false, 0) => Some(Place { topology: place.topology, node: place.node + 1, ..Place::first() }),
        (false, step) => Some(Place { step, last: String::new(), shown: sum(&[]), ..place }),
    };
    Ok(Page::new(items, next.map(|place| place.cursor()), read_at))
}

/// Looks for who has which slots now.
async fn look_again(store: &RedisStore, end: Instant) -> Result<(), Failure> {
    timeout_at(end, store.nodes().look_again()).await.unwrap_or(Err(Failure::NoAnswer))
}

/// What a server lists in one step.
struct Step {
    process: String,
    /// In a cluster, the slots that the server has: first and last of each range.
    slots: Option<Vec<(u16, u16)>>,
    /// The next step; 0 if this was the last one.
    next: u64,
    ids: Vec<AcsId>,
}

async fn step(store: &RedisStore, node: &Node, step: u64, count: u32, end: Instant) -> Result<Step, Failure> {
    let mut commands = Pipeline::with_capacity(3);
    let mut scan = cmd("SCAN");
    scan.arg(step).arg("MATCH").arg(store.keys().records()).arg("COUNT").arg(count);
    commands.cmd("INFO").arg("server").add_command(scan);
    let in_cluster = !store.nodes().is_whole();
    if in_cluster {
        // Behind the step, so that what began to move before it ended is seen.
        commands.cmd("CLUSTER").arg("NODES");
    }
    let mut pauses = Pauses::default();
    let mut lost = false;
    loop {
        let failure = match listed_by(store, node, &commands, end).await {
            Ok(step) => return Ok(step),
            Err(Trouble::Lost(failure)) if !lost => {
                lost = true;
                failure
            }
            Err(Trouble::NotDone(failure, _)) => failure,
            Err(trouble) => return Err(trouble.into_failure()),
        };
        if Instant::now() >= end {
            return Err(failure);
        }
        let topology = store.nodes().topology();
        // Whether or not something is found, there is a next time.
        let _ = timeout_at(end, store.nodes().look(topology.number)).await;
        if store.nodes().is_closed() {
            return Err(Failure::Closed);
        }
        if store.nodes().topology().fingerprint() != topology.fingerprint() {
            return Err(Failure::Moved);
        }
        pauses.wait(end).await;
    }
}

async fn listed_by(store: &RedisStore, node: &Node, commands: &Pipeline, end: Instant) -> Result<Step, Trouble> {
    let answers = node.send(commands, end).await?;
    for answer in &answers {
        if let Value::ServerError(error) = answer {
            return Err(Trouble::of(error.clone()));
        }
    }
    read_step(store, &answers).map_err(Trouble::Final)
}

fn read_step(store: &RedisStore, answers: &[Value]) -> Result<Step, Failure> {
    let [info, scanned, nodes @ ..] = answers else { return Err(Failure::Answer) };
    let process = answer::field(answer::text(info)?, "run_id").ok_or(Failure::Answer)?.to_owned();
    let slots = match nodes {
        [nodes] => Some(slots(answer::text(nodes)?).ok_or(Failure::Moved)?),
        _ => None,
    };
    let [next, keys] = answer::array(scanned)? else { return Err(Failure::Answer) };
    let next = answer::text(next)?.parse().map_err(|_| Failure::Answer)?;
    let mut ids = Vec::new();
    for key in answer::array(keys)? {
        if let Some(Key::Record(id)) = store.keys().parse(answer::text(key)?) {
            ids.push(AcsId::new(id).map_err(|_| Failure::Unreadable)?);
        }
    }
    Ok(Step { process, slots, next, ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let place =
            Place { topology: u64::MAX, node: 2, process: "ab12".into(), step: 77, last: "8:acs:r_1".into(), shown: 7 };
        assert_eq!(Place::parse(&place.cursor()), Some(place));
        for bad in ["", "r", "r1", "r31c3:123456789", "r0000:1:0:p:1:", "s:8:acs:r_1", "c1:8:acs:r_1"] {
            assert_eq!(Place::parse(&Cursor::new(bad)), None, "{bad}");
        }
    }
}
