//! `sql.sqlite.resolve_one_vs_raw` (64 in flight) and `sql.sqlite.resolve_many_1000_vs_raw`: the store's throughput over that of plain
//! sqlx on the same file, with as many connections, the same columns and prepared statements.

use std::error::Error;
use std::time::Instant;

use acs_identity_bench::by_hand::sqlite as by_hand;
use acs_identity_bench::ids::{acs_id, customer, shuffled};
use acs_identity_bench::print;
use acs_identity_bench::rounds::Comparison;
use acs_identity_core::{AcsId, Link, MappingStore, Resolver};
use acs_identity_sql::SqliteStore;
use futures::{StreamExt, stream};
use sqlx::sqlite::SqlitePool;
use tokio::runtime::{Builder, Runtime};

const MAPPINGS: usize = 100_000;
const LOOKUPS: usize = 60_000;
const IN_FLIGHT: usize = 64;
const BATCH: usize = 1000;
const BATCHES: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mappings.db");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (store, pool) = runtime.block_on(async {
        let store = SqliteStore::open(&path).await?;
        for chunk in (0..MAPPINGS).collect::<Vec<_>>().chunks(1000) {
            let links: Vec<Link> = chunk.iter().map(|n| link(*n)).collect::<Result<_, _>>()?;
            for linked in store.link_many(&links).await {
                linked?;
            }
        }
        Ok::<_, Box<dyn Error>>((store, by_hand::open(&path).await?))
    })?;
    let texts: Vec<String> = shuffled(MAPPINGS).into_iter().map(acs_id).collect();
    let ids: Vec<AcsId> = texts.iter().map(|text| AcsId::new(text.as_str())).collect::<Result<_, _>>()?;

    let one = Comparison::measure(|| resolve_ours(&runtime, &store, &ids), || resolve_theirs(&runtime, &pool, &texts));
    print("sql.sqlite.resolve_one_vs_raw", one.throughput_ratio(), "ratio", one.details("ns per lookup"));
    let many = Comparison::measure(|| batches_ours(&runtime, &store, &ids), || batches_theirs(&runtime, &pool, &texts));
    print("sql.sqlite.resolve_many_1000_vs_raw", many.throughput_ratio(), "ratio", many.details("ns per ID"));
    runtime.block_on(store.close());
    Ok(())
}

fn link(n: usize) -> acs_identity_core::Result<Link> {
    Ok(Link::create(acs_id(n).parse()?, customer(n).parse()?))
}

fn resolve_ours(runtime: &Runtime, store: &SqliteStore, ids: &[AcsId]) -> f64 {
    time(runtime, LOOKUPS, async {
        let lookups = stream::iter(&ids[..LOOKUPS]).map(|id| store.resolve(id)).buffer_unordered(IN_FLIGHT);
        lookups.for_each(async |answer| assert!(matches!(answer, Ok(Some(_))))).await;
    })
}

fn resolve_theirs(runtime: &Runtime, pool: &SqlitePool, texts: &[String]) -> f64 {
    time(runtime, LOOKUPS, async {
        let lookups =
            stream::iter(&texts[..LOOKUPS]).map(|id| by_hand::resolve(pool, id.clone())).buffer_unordered(IN_FLIGHT);
        lookups.for_each(async |answer| assert!(matches!(answer, Ok(Some(_))))).await;
    })
}

fn batches_ours(runtime: &Runtime, store: &SqliteStore, ids: &[AcsId]) -> f64 {
    time(runtime, BATCH * BATCHES, async {
        for batch in ids.chunks(BATCH).take(BATCHES) {
            let answers = store.resolve_many(batch).await;
            assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(_)))));
        }
    })
}

fn batches_theirs(runtime: &Runtime, pool: &SqlitePool, texts: &[String]) -> f64 {
    let sql = by_hand::many(BATCH);
    time(runtime, BATCH * BATCHES, async {
        for batch in texts.chunks(BATCH).take(BATCHES) {
            let answers = by_hand::resolve_many(pool, sql, batch.to_vec()).await.expect("an answer");
            assert!(answers.len() == BATCH && answers.iter().all(Option::is_some));
        }
    })
}

/// Nanoseconds of one of so many pieces of work.
fn time(runtime: &Runtime, pieces: usize, work: impl Future<Output = ()>) -> f64 {
    let started = Instant::now();
    runtime.block_on(work);
    started.elapsed().as_nanos() as f64 / pieces as f64
}
