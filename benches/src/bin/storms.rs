//! `cache.miss_storm_loads`: how often the source is asked if ten thousand tasks want one cold ID at once. `cache.unknown_flood` and
//! `cache.unknown_flood_quick`: which part of the questions for ten thousand known IDs are hits while a million others, each asked for once,
//! are unknown. The resident memory may not grow by more meanwhile than the absent answers that may be kept take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use acs_identity_bench::ids::{acs_id, customer};
use acs_identity_bench::memory::resident;
use acs_identity_bench::print;
use acs_identity_cache::{ReadThrough, TableKind};
use acs_identity_core::{AcsId, Answers, CustomerId, IdentityMap, Resolution, Resolver};
use serde_json::json;
use tokio::runtime::Builder;

const TASKS: usize = 10_000;
const KNOWN: usize = 10_000;
const UNKNOWN: usize = 1_000_000;
/// The most absent answers that are kept.
const ABSENT: u64 = 10_000;
/// The most bytes that one of them takes, with what the table and the allocator need for it.
const BYTES_PER_ABSENT: u64 = 1024;
/// After so many unknown IDs a known one is asked for.
const UNKNOWN_PER_KNOWN: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(miss_storm())?;
    runtime.block_on(unknown_flood("cache.unknown_flood", TableKind::Moka))?;
    runtime.block_on(unknown_flood("cache.unknown_flood_quick", TableKind::QuickCache))
}

/// Knows the IDs of the first users, and counts how often it is asked.
#[derive(Debug, Default)]
struct Users {
    calls: AtomicU64,
    /// How long it takes to answer.
    latency: Duration,
}

impl Users {
    async fn find(&self, id: &AcsId) -> Option<Resolution> {
        let number = id.as_str().rsplit('-').next().and_then(|hex| usize::from_str_radix(hex, 16).ok())?;
        let known = number < KNOWN && id.as_str() == acs_id(number);
        known.then(|| CustomerId::new(customer(number)).expect("a customer").into())
    }

    async fn answer_late(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
    }
}

#[async_trait::async_trait]
impl Resolver for Users {
    async fn resolve(&self, id: &AcsId) -> acs_identity_core::Result<Option<Resolution>> {
        self.answer_late().await;
        Ok(self.find(id).await)
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        self.answer_late().await;
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.find(id).await.map(|resolution| (id.clone(), resolution)));
        }
        Answers::by_id(ids, found)
    }
}

async fn miss_storm() -> Result<(), Box<dyn std::error::Error>> {
    let users = Arc::new(Users { latency: Duration::from_millis(50), ..Users::default() });
    let map = IdentityMap::new(ReadThrough::new(users.clone()));
    let id: AcsId = acs_id(1).parse()?;
    let ask = || {
        let (map, id) = (map.clone(), id.clone());
        tokio::spawn(async move { map.resolve(&id).await })
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| ask()).collect();
    for task in tasks {
        assert!(matches!(task.await?, Ok(Some(_))));
    }
    let calls = users.calls.load(Ordering::Relaxed);
    print("cache.miss_storm_loads", calls as f64, "calls", json!({ "tasks": TASKS }));
    Ok(())
}

async fn unknown_flood(name: &str, table: TableKind) -> Result<(), Box<dyn std::error::Error>> {
    let cached = ReadThrough::builder(Arc::new(Users::default())).table(table).absent_capacity(ABSENT).build();
    let map = IdentityMap::new(cached.clone());
    let known: Vec<AcsId> = (0..KNOWN).map(|n| acs_id(n).parse()).collect::<Result<_, _>>()?;
    for _ in 0..2 {
        for id in &known {
            assert!(map.resolve(id).await?.is_some());
        }
    }
    let (before, hits_before) = (resident()?, cached.stats().hits);
    let mut asked = 0;
    for n in 0..UNKNOWN {
        let unknown: AcsId = acs_id(KNOWN + n).parse()?;
        assert!(map.resolve(&unknown).await?.is_none());
        if n % UNKNOWN_PER_KNOWN == 0 {
            assert!(map.resolve(&known[asked % KNOWN]).await?.is_some());
            asked += 1;
        }
    }
    let stats = cached.stats();
    let hit_rate = (stats.hits - hits_before) as f64 / asked as f64;
    let (grown, bound) = (resident()? - before, (ABSENT * BYTES_PER_ABSENT) as f64);
    assert!(grown <= bound, "{name}: the memory has grown by {grown} bytes, and {bound} is its bound");
    let details = json!({
        "grown_by_bytes": grown,
        "bound_in_bytes": bound,
        "known_asked": asked,
        "evicted": stats.evicted,
    });
    print(name, hit_rate, "ratio", details);
    Ok(())
}
