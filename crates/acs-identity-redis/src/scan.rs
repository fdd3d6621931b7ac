//! All mappings of a namespace, server after server.
//!
//! A server lists its keys in steps, and says with each where to go on. A step may hold more than a page. So a cursor names the server
//! and the step, and the last ACS ID of it that was shown: the step is asked for again, put in order, and gone on with. It may reach further
//! by then, if the server's table has shrunk; so the cursor also stands for what was shown, and where that is no more the beginning of the
//! step, the step is shown again.

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
    /// Stands for all those of this step that were shown: if others are there by then, the step is shown again as a whole.
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

pub(crate) async fn page(store: &RedisStore, page: &PageRequest) -> Result<Page<Mapping>> {
    let place = match page.cursor() {
        None => Place::first(),
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
            && !mapping.is_expired(now)
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
    let mut last = Failure::NoAnswer;
    // Nothing is changed by it, so it is asked once more if the answer was lost.
    for _ in 0..2 {
        let answers = match node.send(&commands, end).await {
            Ok(answers) => answers,
            Err(trouble) => {
                last = Trouble::into_failure(trouble);
                continue;
            }
        };
        for answer in &answers {
            if let redis::Value::ServerError(error) = answer {
                return Err(Trouble::of(error.clone()).into_failure());
            }
        }
        let [info, scanned, nodes @ ..] = &answers[..] else { return Err(Failure::Answer) };
        let info = answer::text(info)?;
        let process = answer::field(info, "run_id").ok_or(Failure::Answer)?;
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
        return Ok(Step { process: process.to_owned(), slots, next, ids });
    }
    Err(last)
}

/// The slots of the node that was asked; `None` if it is giving keys away or getting some, which its own line tells in brackets.
pub(crate) fn slots(nodes: &str) -> Option<Vec<(u16, u16)>> {
    let own = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")))?;
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    own.split_ascii_whitespace().skip(8).map(range).collect()
}

/// Whether the node that was asked is giving keys away to one that has no slots, and so is nobody's to listen to yet.
pub(crate) fn is_leaving(nodes: &str) -> bool {
    let fields = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let nodes: Vec<_> = nodes.lines().map(fields).collect();
    let has_slots = |id: &str| {
        let node = nodes.iter().find(|node| node.first().is_some_and(|first| first == id));
        node.is_some_and(|node| node.iter().skip(8).any(|slots| !slots.starts_with('[')))
    };
    let own = nodes.iter().find(|node| node.get(2).is_some_and(|flags| flags.contains("myself")));
    let leaving = |slot: &String| {
        // `[5460->-aa]`
        slot.split_once("->-").and_then(|(_, to)| to.strip_suffix(']')).is_some_and(|to| !has_slots(to))
    };
    own.is_some_and(|own| own.iter().skip(8).any(leaving))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_for_a_node_without_slots_are_told_from_others() {
        let nodes = "aa 127.0.0.1:7001@17001 master - 0 1 2 connected 5461-10922\n\
            cc 127.0.0.1:7002@17002 master - 0 1 2 connected\n\
            bb 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5459";
        assert!(!is_leaving(nodes));
        for (to, expected) in [("[5->-aa]", false), ("[5->-cc]", true), ("[5->-dd]", true), ("[6000-<-cc]", false)] {
            assert_eq!(is_leaving(&format!("{nodes} {to}")), expected, "{to}");
        }
        assert!(is_leaving(&format!("{nodes} [5->-aa] [6->-cc]")));
    }

    #[test]
    fn a_node_tells_its_slots_and_whether_they_move() {
        let nodes = "aa 127.0.0.1:7001@17001 master - 0 1 2 connected 5461-10922\n\
            bb 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5459 5461";
        assert_eq!(slots(nodes), Some(vec![(0, 5459), (5461, 5461)]));
        assert_eq!(slots(&format!("{nodes} [5460->-aa]")), None);
        assert_eq!(slots("aa 127.0.0.1:7001@17001 master - 0 1 2 connected 0-16383"), None);
    }

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
