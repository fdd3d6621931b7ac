//! `redis.resolve_one_256_vs_raw` (256 tasks), `redis.resolve_many_1000_vs_raw` and `redis.link_many_vs_raw`: the store's throughput over
//! that of plain redis-rs with `GET`, `MGET` and a pipeline that writes both directions, over one connection each.
//! Then `redis.cluster.resolve_many_1000_vs_standalone`, the store's throughput on a cluster over that on one server; and
//! `redis.bytes_per_mapping`, the server's memory for one mapping over the bytes of its ACS ID and its customer ID, with what both
//! directions by hand take in its details.

use std::error::Error;

use acs_identity_bench::by_hand::redis as by_hand;
use acs_identity_bench::ids::{acs_id, customer};
use acs_identity_bench::store::{Bench, MAPPINGS};
use acs_identity_bench::{misses, print};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Kind, cluster_urls, url};
use serde_json::json;
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let url = url(Kind::Redis);
    let store = runtime.block_on(RedisOptions::url(&url).open())?;
    let by_hand = runtime.block_on(by_hand::open(&url))?;

    let before = used_memory(&url)?;
    let bench = Bench::new("redis", &runtime, store.clone(), by_hand.clone())?;
    let ours = (used_memory(&url)? - before) / MAPPINGS as f64;
    let plain = (0..MAPPINGS).map(|n| acs_id(n).len() + customer(n).len()).sum::<usize>() as f64 / MAPPINGS as f64;
    let before = used_memory(&url)?;
    bench.fill_by_hand();
    let by_hands = (used_memory(&url)? - before) / MAPPINGS as f64;
    let details = json!({ "ours": ours, "theirs": plain, "set_and_sadd_by_hand": by_hands, "unit": "bytes" });
    print("redis.bytes_per_mapping", ours / plain, "ratio", details);
    misses::measure("redis", &runtime, store, &by_hand);

    bench.resolve_by_tasks("resolve_one_256_vs_raw", 256);
    bench.resolve_many();
    bench.link_many();

    let cluster = runtime.block_on(RedisOptions::cluster(cluster_urls()).open())?;
    bench.resolve_many_vs_this("cluster.resolve_many_1000_vs_standalone", cluster);
    bench.close();
    Ok(())
}

/// The bytes that the server's data take.
fn used_memory(url: &str) -> Result<f64, Box<dyn Error>> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query(&mut connection)?;
    info.get("used_memory").ok_or_else(|| "the server does not say its memory".into())
}
