//! `sql.postgres.resolve_one_vs_raw` (64 in flight), `sql.postgres.resolve_one_sequential_vs_raw`, `sql.postgres.resolve_many_1000_vs_raw`
//! and `sql.postgres.link_many_vs_raw`: the store's throughput over that of plain sqlx on the same tables, with as many connections.
//! Then `sql.postgres.link_many_vs_copy`, the same over that of a plain `COPY`; `sql.postgres.notify_cost`, the throughput of single links
//! with the database's notifications and a subscriber who listens over that without and with one who polls; and with `ACS_IDENTITY_BENCH_SCALE` in the environment
//! `sql.postgres.p50_10M_over_100k`, the median time of a lookup in ten million rows over that in a hundred thousand.

use std::error::Error;
use std::time::Instant;

use acs_identity_bench::by_hand::postgres::{self as by_hand, Postgres};
use acs_identity_bench::ids::{acs_id, shuffled};
use acs_identity_bench::rounds::{Comparison, median};
use acs_identity_bench::store::{Bench, IN_FLIGHT};
use acs_identity_bench::{misses, print};
use acs_identity_core::{AcsId, Change, ChangeFeed, MappingStore, Resolver};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{PostgresOptions, PostgresStore};
use futures::StreamExt;
use sqlx::{Connection, Executor, PgConnection};
use tokio::runtime::{Builder, Runtime};

const SINGLE_LINKS: usize = 2_000;
const FEW: usize = 100_000;
const MANY: usize = 10_000_000;
const PICKS: usize = 50_000;

/// The rows of the IDs that `ids::acs_id` makes, in the order of the index, so that it is written from its left to its right.
const FILL: &str = "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
    SELECT 'default', \
        '8:acs:5e2c0a6c-8f4b-4d2e-9b1a-3c7d5e9f1a2b_' || lpad(to_hex(low), 8, '0') || '-578d-7caf-07fd-' \
            || lpad(to_hex(high * 65536 + low), 12, '0'), \
        'user' || lpad((high * 65536 + low)::text, 7, '0') || '@contoso.com', 1767225600000000, 1 \
    FROM generate_series(0, 65535) AS low, generate_series(0, $1::bigint / 65536) AS high \
    WHERE high * 65536 + low < $1::bigint ORDER BY low, high";

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let database = runtime.block_on(database(Kind::Postgres));
    let store = runtime.block_on(PostgresOptions::url(database.url()).open())?;
    let by_hand = runtime.block_on(by_hand::open(database.url()))?;
    let bench = Bench::new("sql.postgres", &runtime, store.clone(), by_hand.clone())?;
    runtime.block_on(async { PgConnection::connect(database.url()).await?.execute("VACUUM ANALYZE").await })?;
    bench.lookups();
    misses::measure("postgres", &runtime, store, &by_hand);
    bench.link_many();
    bench.link_many_vs("link_many_vs_copy", Postgres::copy_many);

    // A connection for each link, since it is the commits that wait for each other.
    let open = |url: &str, notifications| {
        let options = PostgresOptions::url(url).max_connections(IN_FLIGHT as u32).notifications(notifications);
        runtime.block_on(options.open())
    };
    let separator = if database.url().contains('?') { '&' } else { '?' };
    let on = open(database.url(), true)?;
    let off = open(&format!("{}{separator}options[acs_identity.notify]=off", database.url()), false)?;
    let time = |store| subscribed(&runtime, store, || bench.time_links(store, SINGLE_LINKS));
    let cost = Comparison::measure(|| time(&on), || time(&off));
    bench.print("notify_cost", &cost, "ns per link");
    runtime.block_on(on.close());
    runtime.block_on(off.close());
    bench.close();

    if std::env::var_os("ACS_IDENTITY_BENCH_SCALE").is_some() {
        scale(&runtime)?;
    }
    Ok(())
}

/// Measures while somebody follows the store's change feed.
fn subscribed(runtime: &Runtime, store: &PostgresStore, measure: impl FnOnce() -> f64) -> f64 {
    let mut changes = store.changes();
    assert_eq!(runtime.block_on(changes.next()), Some(Change::Live));
    let subscriber = runtime.spawn(async move { while changes.next().await.is_some() {} });
    let cost = measure();
    subscriber.abort();
    cost
}

/// Lookups one after another in many rows and in few. The IDs are picked at random from all of them, and each round has IDs of its own,
/// so that what is measured is not a cache that only holds what was asked for before.
fn scale(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let (_many, many) = runtime.block_on(filled(MANY))?;
    let (_few, few) = runtime.block_on(filled(FEW))?;
    let (mut of_many, mut of_few) = (shuffled(MANY).into_iter().cycle(), shuffled(FEW).into_iter().cycle());
    let compared = Comparison::measure(
        || runtime.block_on(median_lookup(&many, &mut of_many)),
        || runtime.block_on(median_lookup(&few, &mut of_few)),
    );
    print("sql.postgres.p50_10M_over_100k", compared.ratio(), "ratio", compared.details("ns per lookup"));
    runtime.block_on(many.close());
    runtime.block_on(few.close());
    Ok(())
}

/// A database with so many mappings, of which the server has statistics.
async fn filled(rows: usize) -> Result<(Database, PostgresStore), Box<dyn Error>> {
    let database = database(Kind::Postgres).await;
    let store = PostgresOptions::url(database.url()).open().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    connection.execute("ALTER TABLE acs_identity_mappings DISABLE TRIGGER USER").await?;
    sqlx::query(FILL).bind(rows as i64).execute(&mut connection).await?;
    connection.execute("ALTER TABLE acs_identity_mappings ENABLE TRIGGER USER").await?;
    connection.execute("VACUUM ANALYZE").await?;
    Ok((database, store))
}

/// The median of the nanoseconds of one lookup.
async fn median_lookup(store: &PostgresStore, picks: &mut impl Iterator<Item = usize>) -> f64 {
    let mut times = Vec::with_capacity(PICKS);
    for n in picks.take(PICKS) {
        let id = AcsId::new(acs_id(n)).expect("an ID");
        let started = Instant::now();
        let answer = store.resolve(&id).await;
        times.push(started.elapsed().as_nanos() as f64);
        assert!(matches!(answer, Ok(Some(_))));
    }
    median(times)
}
