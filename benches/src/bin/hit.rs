//! `cache.hit_vs_handwritten` and `cache.hit_vs_quick_cache`: the time of a hit through `IdentityMap` over that of a hand-written cache,
//! each the worst of four cells: 1 k and 100 k entries, 1 and 2 threads.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use acs_identity_bench::by_hand::{moka_cache, quick_cache};
use acs_identity_bench::ids::{acs_id, customer, shuffled};
use acs_identity_bench::print;
use acs_identity_bench::rounds::Comparison;
use acs_identity_cache::ReadThrough;
use acs_identity_core::{AcsId, IdentityMap, Link, MappingStore, MemoryStore};
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

const LOOKUPS: usize = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut vs_moka, mut vs_quick) = (Cells::default(), Cells::default());
    for entries in [1_000, 100_000] {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let cached = runtime.block_on(ours(entries))?;
        let map = IdentityMap::new(cached.clone());
        let moka = runtime.block_on(moka_cache::filled(entries, |n| (acs_id(n), customer(n))));
        let quick = Arc::new(quick_cache::filled(entries, |n| (acs_id(n), customer(n))));
        // Texts of their own: in an application, the asked ID comes from an event and not out of the cache.
        let texts: Arc<[String]> = shuffled(entries).into_iter().map(acs_id).collect();
        let ids: Arc<[AcsId]> =
            texts.iter().map(|text| AcsId::new(text.as_str())).collect::<Result<Vec<_>, _>>()?.into();
        let loaded = cached.stats().loaded;
        for threads in [1, 2] {
            let run_ours = || {
                time(&runtime, threads, |from| {
                    let (map, ids) = (map.clone(), ids.clone());
                    async move {
                        for n in from..from + LOOKUPS {
                            let answer = map.resolve(&ids[n % ids.len()]).await;
                            assert!(matches!(black_box(answer), Ok(Some(_))));
                        }
                    }
                })
            };
            let run_moka = || {
                time(&runtime, threads, |from| {
                    let (cache, texts) = (moka.clone(), texts.clone());
                    async move {
                        for n in from..from + LOOKUPS {
                            assert!(black_box(moka_cache::get(&cache, &texts[n % texts.len()]).await).is_some());
                        }
                    }
                })
            };
            let run_quick = || {
                time(&runtime, threads, |from| {
                    let (cache, texts) = (quick.clone(), texts.clone());
                    async move {
                        for n in from..from + LOOKUPS {
                            assert!(black_box(quick_cache::get(&cache, &texts[n % texts.len()])).is_some());
                        }
                    }
                })
            };
            let cell = format!("{entries} entries, {threads} threads");
            vs_moka.add(&cell, &Comparison::measure(run_ours, run_moka));
            vs_quick.add(&cell, &Comparison::measure(run_ours, run_quick));
        }
        assert_eq!(cached.stats().loaded, loaded, "only hits are measured");
    }
    vs_moka.print("cache.hit_vs_handwritten");
    vs_quick.print("cache.hit_vs_quick_cache");
    Ok(())
}

/// A cache over a store, with every ID loaded once.
async fn ours(entries: usize) -> acs_identity_core::Result<ReadThrough<MemoryStore>> {
    let store = MemoryStore::new();
    let cached = ReadThrough::builder(store.clone()).capacity(2 * entries as u64).build();
    for n in 0..entries {
        store.link(Link::create(acs_id(n).parse()?, customer(n).parse()?)).await?;
    }
    let ids: Vec<AcsId> = (0..entries).map(|n| AcsId::new(acs_id(n))).collect::<Result<_, _>>()?;
    // Twice: what the table would not take the first time is there after the second.
    for _ in 0..2 {
        for chunk in ids.chunks(1000) {
            use acs_identity_core::Resolver;
            cached.resolve_many(chunk).await;
        }
    }
    Ok(cached)
}

/// Nanoseconds of one lookup in a task on each of so many threads at once.
fn time<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    threads: usize,
    lookups: impl Fn(usize) -> F,
) -> f64 {
    let started = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..threads).map(|thread| tokio::spawn(lookups(thread * 7919))).collect();
        for task in tasks {
            task.await.expect("a lookup failed");
        }
    });
    started.elapsed().as_nanos() as f64 / LOOKUPS as f64
}

#[derive(Default)]
struct Cells {
    worst: f64,
    spread: Value,
    details: Map<String, Value>,
}

impl Cells {
    fn add(&mut self, cell: &str, comparison: &Comparison) {
        let details = comparison.details("ns");
        if comparison.ratio() > self.worst {
            (self.worst, self.spread) = (comparison.ratio(), details["spread"].clone());
        }
        self.details.insert(cell.to_owned(), details);
    }

    fn print(mut self, name: &str) {
        self.details.insert("spread".to_owned(), self.spread);
        print(name, self.worst, "ratio", Value::Object(self.details));
    }
}
