//! `sql.sqlite.resolve_one_vs_raw` (64 in flight), `sql.sqlite.resolve_one_sequential_vs_raw`, `sql.sqlite.resolve_many_1000_vs_raw` and
//! `sql.sqlite.link_many_vs_raw`: the store's throughput over that of plain sqlx on the same file, with as many connections.

use std::error::Error;

use acs_identity_bench::by_hand::sqlite as by_hand;
use acs_identity_bench::misses;
use acs_identity_bench::store::{BATCH, Bench};
use acs_identity_sql::SqliteStore;
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mappings.db");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let store = runtime.block_on(SqliteStore::open(&path))?;
    let by_hand = runtime.block_on(by_hand::open(&path, BATCH))?;
    let bench = Bench::new("sql.sqlite", &runtime, store.clone(), by_hand.clone())?;
    bench.lookups();
    misses::measure("sqlite", &runtime, store, &by_hand);
    bench.link_many();
    bench.close();
    Ok(())
}
