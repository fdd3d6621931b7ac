//! `cache.bytes_per_entry_vs_handwritten` and `cache.bytes_per_entry_quick_vs_handwritten`: what a cached answer takes over what an entry of a
//! hand-written cache takes, moka's async one with a lifetime.

use std::error::Error;

use acs_identity_bench::by_hand::moka_cache;
use acs_identity_bench::ids::{acs_id, customer};
use acs_identity_bench::memory::{in_process, measure};
use acs_identity_bench::print;
use acs_identity_bench::rounds::Comparison;
use acs_identity_cache::{ReadThrough, TableKind};
use acs_identity_core::{AcsId, CustomerId, Resolver, resolver_fn};
use tokio::runtime::Builder;

const ENTRIES: usize = 500_000;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("moka") => ours(TableKind::Moka),
        Some("quick") => ours(TableKind::QuickCache),
        Some("theirs") => theirs(),
        _ => {
            for (name, which) in [
                ("cache.bytes_per_entry_vs_handwritten", "moka"),
                ("cache.bytes_per_entry_quick_vs_handwritten", "quick"),
            ] {
                let comparison = Comparison::measure(|| in_process(which), || in_process("theirs"));
                print(name, comparison.ratio(), "ratio", comparison.details("bytes per entry"));
            }
            Ok(())
        }
    }
}

fn ours(table: TableKind) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let users = resolver_fn(|id: AcsId| async move {
        let number = id.as_str().rsplit('-').next().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        Ok(number.map(|number| CustomerId::new(customer(number)).expect("a customer")))
    });
    let cached = measure(ENTRIES, || {
        let cached = ReadThrough::builder(users).table(table).capacity(2 * ENTRIES as u64).build();
        runtime.block_on(async {
            for n in 0..ENTRIES {
                assert!(cached.resolve(&acs_id(n).parse()?).await?.is_some());
            }
            Ok::<(), acs_identity_core::Error>(())
        })?;
        Ok(cached)
    })?;
    assert_eq!(cached.stats().evicted, 0, "all of them are still there");
    Ok(())
}

fn theirs() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let filled = || Ok(runtime.block_on(moka_cache::filled(ENTRIES, |n| (acs_id(n), customer(n)))));
    let cache = measure(ENTRIES, filled)?;
    assert_eq!(cache.entry_count(), ENTRIES as u64);
    Ok(())
}
