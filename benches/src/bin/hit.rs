//! What a hit costs through `IdentityMap`, over what one of a hand-written cache costs: each the worst of four cells, 1 k and 100 k entries,
//! 1 and 2 threads. With moka's table `cache.hit_vs_handwritten`, with quick_cache's `cache.hit_quick_vs_handwritten`; with the parsing of the ID
//! `cache.hit_from_str_vs_handwritten` and `cache.hit_quick_from_str_vs_handwritten`: all over moka's async cache with a lifetime. Then
//! `cache.hit_quick_vs_quick_cache`, over a hand-written quick_cache without a lifetime.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use acs_identity_bench::by_hand::{moka_cache, quick_cache};
use acs_identity_bench::ids::{acs_id, customer, shuffled};
use acs_identity_bench::print;
use acs_identity_bench::rounds::Comparison;
use acs_identity_cache::{ReadThrough, TableKind};
use acs_identity_core::{AcsId, IdentityMap, Link, MappingStore, MemoryStore, Resolver};
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

const LOOKUPS: usize = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cells: [Cells; 5] = Default::default();
    for entries in [1_000, 100_000] {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let bench = Bench::new(&runtime, entries)?;
        for threads in [1, 2] {
            let cell = format!("{entries} entries, {threads} threads");
            let moka = || bench.by_hand(threads);
            let comparisons = [
                Comparison::measure(|| bench.hit(&bench.moka, threads), moka),
                Comparison::measure(|| bench.hit(&bench.quick, threads), moka),
                Comparison::measure(|| bench.hit_from_str(&bench.moka, threads), moka),
                Comparison::measure(|| bench.hit_from_str(&bench.quick, threads), moka),
                Comparison::measure(|| bench.hit(&bench.quick, threads), || bench.quick_by_hand(threads)),
            ];
            for (cells, comparison) in cells.iter_mut().zip(&comparisons) {
                cells.add(&cell, comparison);
            }
        }
        bench.check()?;
    }
    let names = [
        "cache.hit_vs_handwritten",
        "cache.hit_quick_vs_handwritten",
        "cache.hit_from_str_vs_handwritten",
        "cache.hit_quick_from_str_vs_handwritten",
        "cache.hit_quick_vs_quick_cache",
    ];
    names.into_iter().zip(cells).for_each(|(name, cells)| cells.print(name));
    Ok(())
}

/// Four caches with the same entries.
struct Bench<'a> {
    runtime: &'a Runtime,
    moka: Ours,
    quick: Ours,
    moka_by_hand: moka_cache::ByHand,
    quick_by_hand: Arc<quick_cache::ByHand>,
    /// Texts of their own: in an application, the asked ID comes from an event and not out of the cache.
    texts: Arc<[String]>,
    ids: Arc<[AcsId]>,
}

struct Ours {
    cached: ReadThrough<MemoryStore>,
    map: IdentityMap,
    loaded: u64,
}

impl<'a> Bench<'a> {
    fn new(runtime: &'a Runtime, entries: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let texts: Arc<[String]> = shuffled(entries).into_iter().map(acs_id).collect();
        let ids = texts.iter().map(|text| AcsId::new(text.as_str())).collect::<Result<Vec<_>, _>>()?.into();
        let pair = |n| (acs_id(n), customer(n));
        Ok(Self {
            moka: runtime.block_on(ours(TableKind::Moka, entries))?,
            quick: runtime.block_on(ours(TableKind::QuickCache, entries))?,
            moka_by_hand: runtime.block_on(moka_cache::filled(entries, pair)),
            quick_by_hand: Arc::new(quick_cache::filled(entries, pair)),
            runtime,
            texts,
            ids,
        })
    }

    fn hit(&self, ours: &Ours, threads: usize) -> f64 {
        self.time(threads, |from| {
            let (map, ids) = (ours.map.clone(), self.ids.clone());
            async move {
                for n in from..from + LOOKUPS {
                    let answer = map.resolve(&ids[n % ids.len()]).await;
                    assert!(matches!(black_box(answer), Ok(Some(_))));
                }
            }
        })
    }

    fn hit_from_str(&self, ours: &Ours, threads: usize) -> f64 {
        self.time(threads, |from| {
            let (map, texts) = (ours.map.clone(), self.texts.clone());
            async move {
                for n in from..from + LOOKUPS {
                    let id = AcsId::new(texts[n % texts.len()].as_str()).expect("an ID");
                    assert!(matches!(black_box(map.resolve(&id).await), Ok(Some(_))));
                }
            }
        })
    }

    fn by_hand(&self, threads: usize) -> f64 {
        self.time(threads, |from| {
            let (cache, texts) = (self.moka_by_hand.clone(), self.texts.clone());
            async move {
                for n in from..from + LOOKUPS {
                    assert!(black_box(moka_cache::get(&cache, &texts[n % texts.len()]).await).is_some());
                }
            }
        })
    }

    fn quick_by_hand(&self, threads: usize) -> f64 {
        self.time(threads, |from| {
            let (cache, texts) = (self.quick_by_hand.clone(), self.texts.clone());
            async move {
                for n in from..from + LOOKUPS {
                    assert!(black_box(quick_cache::get(&cache, &texts[n % texts.len()])).is_some());
                }
            }
        })
    }

    /// Nanoseconds of one lookup in a task on each of so many threads at once.
    fn time<F: Future<Output = ()> + Send + 'static>(&self, threads: usize, lookups: impl Fn(usize) -> F) -> f64 {
        let started = Instant::now();
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..threads).map(|thread| tokio::spawn(lookups(thread * 7919))).collect();
            for task in tasks {
                task.await.expect("a lookup failed");
            }
        });
        started.elapsed().as_nanos() as f64 / LOOKUPS as f64
    }

    /// # Errors
    /// If something else than hits was measured.
    fn check(&self) -> Result<(), String> {
        let only_hits = [&self.moka, &self.quick].iter().all(|ours| ours.cached.stats().loaded == ours.loaded);
        if only_hits { Ok(()) } else { Err("loads were measured, too".to_owned()) }
    }
}

/// A cache over a store, with every ID loaded.
async fn ours(table: TableKind, entries: usize) -> acs_identity_core::Result<Ours> {
    let store = MemoryStore::new();
    let cached = ReadThrough::builder(store.clone())
        .table(table)
        .lifetime(std::time::Duration::from_secs(3600))
        .capacity(2 * entries as u64)
        .build();
    for n in 0..entries {
        store.link(Link::create(acs_id(n).parse()?, customer(n).parse()?)).await?;
    }
    let ids: Vec<AcsId> = (0..entries).map(|n| AcsId::new(acs_id(n))).collect::<Result<_, _>>()?;
    // Twice: what the table would not take the first time is there after the second.
    for _ in 0..2 {
        for chunk in ids.chunks(1000) {
            cached.resolve_many(chunk).await;
        }
    }
    Ok(Ours { map: IdentityMap::new(cached.clone()), loaded: cached.stats().loaded, cached })
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
