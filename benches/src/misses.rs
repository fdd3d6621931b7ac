//! What a cache in front of a store costs, and gains, where it has no answer yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acs_identity_cache::{ReadThrough, TableKind};
use acs_identity_core::{AcsId, IdentityMap, MappingStore};
use futures::future::join_all;
use tokio::runtime::Runtime;

use crate::by_hand::store::ByHand;
use crate::ids::{acs_id, shuffled};
use crate::print;
use crate::rounds::Comparison;
use crate::store::MAPPINGS;

const TASKS: usize = 256;
const LOOKUPS: usize = 100 * TASKS;
const LONE_LOOKUPS: usize = 2_000;

/// Measures on a store with mappings: `cache.distinct_misses.<store>`, the throughput of 256 tasks that each resolve other cold IDs one after
/// the other, over that of as many with plain driver calls; and `cache.lone_miss.<store>`, the latency of one cold lookup on an
/// idle cache over that of the plain driver call. Then `cache.distinct_misses_quick.<store>`, the first with the table of quick_cache.
///
/// # Panics
/// If a lookup fails or was none.
pub fn measure<S, H>(name: &str, runtime: &Runtime, store: S, by_hand: &H)
where
    S: MappingStore + 'static,
    H: ByHand,
{
    let store = Arc::new(store);
    // A new one each time: to clear one would leave it the work of throwing away what it held.
    let empty = |table| {
        let builder = ReadThrough::builder(store.clone()).table(table);
        builder.capacity(2 * MAPPINGS as u64).lifetime(Duration::from_secs(3600)).build()
    };
    let texts: Arc<[String]> = shuffled(MAPPINGS).into_iter().take(LOOKUPS).map(acs_id).collect();
    let ids: Arc<[AcsId]> = texts.iter().map(|text| AcsId::new(text.as_str()).expect("an ID")).collect();

    let ours = |table: TableKind, tasks: usize, count: usize| {
        let cached = empty(table);
        let map = IdentityMap::new(cached.clone());
        let cost = time(runtime, tasks, count, |range| {
            let (map, ids) = (map.clone(), ids.clone());
            async move {
                for id in &ids[range] {
                    assert!(matches!(map.resolve(id).await, Ok(Some(_))));
                }
            }
        });
        let stats = cached.stats();
        assert_eq!(stats.loaded, count as u64, "only misses are measured");
        (cost, stats.batched as f64 / stats.batches as f64)
    };
    let theirs = |tasks: usize, count: usize| {
        time(runtime, tasks, count, |range| {
            let (by_hand, texts) = (by_hand.clone(), texts.clone());
            async move {
                for text in &texts[range] {
                    assert!(matches!(by_hand.clone().resolve(text.clone()).await, Ok(Some(_))));
                }
            }
        })
    };
    for (what, table) in [("distinct_misses", TableKind::Moka), ("distinct_misses_quick", TableKind::QuickCache)] {
        let mut ids_per_call = 0.0;
        let together = || {
            let (cost, gathered) = ours(table, TASKS, LOOKUPS);
            ids_per_call = gathered;
            cost
        };
        let distinct = Comparison::measure(together, || theirs(TASKS, LOOKUPS));
        let mut details = distinct.details("ns per lookup");
        details["ids_per_call"] = ids_per_call.into();
        print(&format!("cache.{what}.{name}"), distinct.throughput_ratio(), "ratio", details);
    }

    let lone = Comparison::measure(|| ours(TableKind::Moka, 1, LONE_LOOKUPS).0, || theirs(1, LONE_LOOKUPS));
    print(&format!("cache.lone_miss.{name}"), lone.ratio(), "ratio", lone.details("ns per lookup"));
}

/// Nanoseconds of one of so many lookups, in so many tasks at once.
fn time<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    tasks: usize,
    count: usize,
    lookups: impl Fn(std::ops::Range<usize>) -> F,
) -> f64 {
    let each = count / tasks;
    let started = Instant::now();
    runtime.block_on(async {
        let tasks = (0..tasks).map(|task| tokio::spawn(lookups(task * each..(task + 1) * each)));
        assert!(join_all(tasks).await.iter().all(Result::is_ok), "a lookup failed");
    });
    started.elapsed().as_nanos() as f64 / count as f64
}
