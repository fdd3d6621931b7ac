//! `sql.mysql.resolve_one_vs_raw` (64 in flight), `sql.mysql.resolve_one_sequential_vs_raw`, `sql.mysql.resolve_many_1000_vs_raw` and
//! `sql.mysql.link_many_vs_raw`: the store's throughput over that of plain sqlx on the same tables, with as many connections.

use std::error::Error;

use acs_identity_bench::by_hand::mysql as by_hand;
use acs_identity_bench::misses;
use acs_identity_bench::store::{BATCH, Bench};
use acs_identity_servers::{Kind, database};
use acs_identity_sql::MySqlOptions;
use sqlx::{Connection, Executor, MySqlConnection};
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let database = runtime.block_on(database(Kind::MariaDb));
    let store = runtime.block_on(MySqlOptions::url(database.url()).open())?;
    let by_hand = runtime.block_on(by_hand::open(database.url(), BATCH))?;
    let bench = Bench::new("sql.mysql", &runtime, store.clone(), by_hand.clone())?;
    let analyze = "ANALYZE TABLE acs_identity_mappings";
    runtime.block_on(async { MySqlConnection::connect(database.url()).await?.execute(analyze).await })?;
    bench.lookups();
    misses::measure("mysql", &runtime, store, &by_hand);
    bench.link_many();
    bench.close();
    Ok(())
}
