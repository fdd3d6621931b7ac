//! Readers, writers and purges on real threads, against a simple oracle: a read that begins after a write has returned sees
//! that write or a later one.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acs_identity_cache::ReadThrough;
use acs_identity_core::{AcsId, Link, MappingStore, MemoryStore, PageRequest, Resolver};
use common::{customer, id};

const IDS: usize = 4;
const WRITERS: usize = 4;
const READERS: usize = 8;

/// What the writers have had confirmed: the revision of each ID.
#[derive(Default)]
struct Oracle {
    confirmed: [AtomicU64; IDS],
    over: AtomicBool,
}

impl Oracle {
    fn floor(&self, n: usize) -> u64 {
        self.confirmed[n].load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_is_older_than_a_write_that_had_returned_when_it_began() {
    let cached = ReadThrough::builder(MemoryStore::new()).absent_lifetime(Duration::from_secs(60)).build();
    let oracle = Arc::new(Oracle::default());
    let ids: Vec<AcsId> = (0..IDS).map(|n| id(&format!("8:acs:r_{n}"))).collect();
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (cached, oracle, ids) = (cached.clone(), oracle.clone(), ids.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0.. {
                if oracle.over.load(Ordering::SeqCst) {
                    break;
                }
                let n = (writer + round) % IDS;
                let link = Link::replace(ids[n].clone(), customer(&format!("user{}", round % 3)));
                let linked = if round % 5 == 0 {
                    cached.link_many(&[link]).await.remove(0).expect("a link")
                } else {
                    cached.link(link).await.expect("a link")
                };
                oracle.confirmed[n].fetch_max(linked.revision.get(), Ordering::SeqCst);
                if round % 64 == 0 {
                    cached.purge_all();
                }
                // Lets the readers have hits, too.
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }));
    }
    for reader in 0..READERS {
        let (cached, oracle, ids) = (cached.clone(), oracle.clone(), ids.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0.. {
                if oracle.over.load(Ordering::SeqCst) {
                    break;
                }
                // A hit never waits, so without this the readers would leave no thread to the writers.
                tokio::task::yield_now().await;
                let n = (reader + round) % IDS;
                let floor = oracle.floor(n);
                let seen = match round % 3 {
                    0 => cached.resolve(&ids[n]).await.expect("an answer"),
                    1 => cached.resolve_many(&ids).await[n].clone().expect("an answer"),
                    _ => page_revision(&cached, &ids[n]).await,
                };
                let seen = seen.and_then(|found| found.revision()).map_or(0, |revision| revision.get());
                // A page is asked of the customer whom the ID had a moment ago, so it may miss the ID, but not show an older one.
                assert!(seen >= floor || (round % 3 == 2 && seen == 0), "revision {seen} after {floor} was confirmed");
            }
        }));
    }
    // Until each sort of event has been met often enough, however long that takes this machine; at most a minute.
    let met_enough = || {
        let stats = cached.stats();
        stats.hits > 100_000 && stats.joined > 1000 && stats.refused_as_stale > 100
    };
    let started = Instant::now();
    while !met_enough() && started.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(tasks.iter().all(|task| !task.is_finished()), "a task has failed");
    }
    oracle.over.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("no read was stale");
    }
    assert!(met_enough(), "{:?}", cached.stats());
}

/// The revision of an ID as the page of its customer shows it.
async fn page_revision(cached: &ReadThrough<MemoryStore>, id: &AcsId) -> Option<acs_identity_core::Resolution> {
    let owner = cached.resolve(id).await.expect("an answer")?;
    let page = cached.mappings_of(owner.customer_id(), PageRequest::default()).await.expect("a page");
    let shown = page.items.into_iter().find(|mapping| mapping.acs_id == *id)?;
    Some(owner.at_revision(shown.revision))
}
