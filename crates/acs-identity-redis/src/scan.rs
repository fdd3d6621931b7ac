//! All mappings of a namespace, server after server.
//!
//! A server lists its keys in steps, and says with each where to go on. A step may hold more than a page. So a cursor names the server
//! and the step, and the last ACS ID of it that was shown: the step is asked for again, put in order, and gone on with.

use acs_identity_core::{AcsId, Cursor, Error, Mapping, Page, PageRequest, Result, Timestamp};
use redis::{Pipeline, cmd};
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::error::{Failure, Trouble};
use crate::keys::{self, Key};
use crate::nodes::Node;
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
}

impl Place {
    fn cursor(&self) -> Cursor {
        let Self { topology, node, process, step, last } = self;
        let text = format!("{topology:x}:{node}:{process}:{step}:{last}");
        Cursor::new(format!("r{:04x}:{text}", keys::hash(&text)))
    }

    fn parse(cursor: &Cursor) -> Option<Self> {
        // The sum tells a cursor that somebody else made from one whose servers have changed.
        let (sum, text) = cursor.as_str().strip_prefix('r')?.split_once(':')?;
        if format!("{:04x}", keys::hash(text)) != sum {
            return None;
        }
        let mut parts = text.splitn(5, ':');
        let place = Self {
            topology: u64::from_str_radix(parts.next()?, 16).ok()?,
            node: parts.next()?.parse().ok()?,
            process: parts.next()?.to_owned(),
            step: parts.next()?.parse().ok()?,
            last: parts.next()?.to_owned(),
        };
        (place.last.is_empty() || AcsId::new(place.last.as_str()).is_ok()).then_some(place)
    }
}

pub(crate) async fn page(store: &RedisStore, page: &PageRequest) -> Result<Page<Mapping>> {
    let place = match page.cursor() {
        None => Place::default(),
        Some(cursor) => {
            Place::parse(cursor).ok_or_else(|| Error::invalid_input("the cursor is not one of this listing"))?
        }
    };
    Ok(read_page(store, place, page).await?)
}

async fn read_page(store: &RedisStore, mut place: Place, page: &PageRequest) -> Result<Page<Mapping>, Failure> {
    let end = store.end();
    if store.nodes().is_closed() {
        return Err(Failure::Closed);
    }
    let topology = store.nodes().topology();
    let is_first = page.cursor().is_none();
    if is_first {
        place.topology = topology.fingerprint();
    } else if place.topology != topology.fingerprint() {
        return Err(Failure::Moved);
    }
    let node = topology.nodes.get(place.node).ok_or(Failure::Moved)?;
    let Step { process, next, mut ids } = step(store, node, place.step, page.limit(), end).await?;
    // Of the first page of each server, which process it is.
    if place.process.is_empty() {
        place.process = process;
    } else if place.process != process {
        return Err(Failure::Moved);
    }
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| id.as_str() > place.last.as_str());
    let more = ids.len() > page.limit() as usize;
    ids.truncate(page.limit() as usize);

    let found = read::records(store, &ids.iter().collect::<Vec<_>>()).await;
    let mut items = Vec::with_capacity(ids.len());
    let mut read_at = Timestamp::from_micros(0);
    for (id, found) in ids.iter().zip(found) {
        let (value, now) = found?;
        read_at = read_at.max(now);
        if let Some(bytes) = answer::bytes(&value)?
            && let Some(mapping) = record::mapping(id, bytes)?
            && !mapping.is_expired(now)
        {
            items.push(mapping);
        }
    }
    let next = match (more, next) {
        (true, _) => {
            place.last = ids.last().map(|id| id.as_str().to_owned()).unwrap_or_default();
            Some(place)
        }
        (false, 0) if place.node + 1 == topology.nodes.len() => None,
        (false, 0) => Some(Place { topology: place.topology, node: place.node + 1, ..Place::default() }),
        (false, step) => Some(Place { step, last: String::new(), ..place }),
    };
    Ok(Page::new(items, next.map(|place| place.cursor()), read_at))
}

/// What a server lists in one step.
struct Step {
    process: String,
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
    let mut last = Failure::NoAnswer;
    // Nothing is changed by it, so it is asked once more if the answer was lost.
    for _ in 0..2 {
        let answers = match timeout_at(end, node.send(&commands)).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(trouble)) => {
                last = Trouble::into_failure(trouble);
                continue;
            }
            Err(_) => return Err(Failure::NoAnswer),
        };
        for answer in &answers {
            if let redis::Value::ServerError(error) = answer {
                return Err(Trouble::of(error.clone()).into_failure());
            }
        }
        let [info, scanned, nodes @ ..] = &answers[..] else { return Err(Failure::Answer) };
        let info = answer::text(info)?;
        let process = info.lines().find_map(|line| line.strip_prefix("run_id:")).ok_or(Failure::Answer)?;
        if let [nodes] = nodes
            && moves(answer::text(nodes)?)
        {
            return Err(Failure::Moved);
        }
        let [next, keys] = answer::array(scanned)? else { return Err(Failure::Answer) };
        let next = answer::text(next)?.parse().map_err(|_| Failure::Answer)?;
        let mut ids = Vec::new();
        for key in answer::array(keys)? {
            if let Some(Key::Record(id)) = store.keys().parse(answer::text(key)?) {
                ids.push(AcsId::new(id).map_err(|_| Failure::Unreadable)?);
            }
        }
        return Ok(Step { process: process.trim().to_owned(), next, ids });
    }
    Err(last)
}

/// Whether the node that was asked is giving keys away or getting some: its own line then ends with such slots, in brackets.
fn moves(nodes: &str) -> bool {
    nodes.lines().any(|line| line.contains("myself") && line.contains('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let place = Place { topology: u64::MAX, node: 2, process: "ab12".into(), step: 77, last: "8:acs:r_1".into() };
        assert_eq!(Place::parse(&place.cursor()), Some(place));
        for bad in ["", "r", "r1", "r31c3:123456789", "r0000:1:0:p:1:", "s:8:acs:r_1", "c1:8:acs:r_1"] {
            assert_eq!(Place::parse(&Cursor::new(bad)), None, "{bad}");
        }
    }
}
