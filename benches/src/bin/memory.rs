//! `memory.bytes_vs_hashmaps`: what a million mappings take in the in-memory store over what they take in two hash maps.

use std::error::Error;

use acs_identity_bench::by_hand::hash_maps::ByHand;
use acs_identity_bench::ids::{acs_id, customer};
use acs_identity_bench::memory::{in_process, measure};
use acs_identity_bench::print;
use acs_identity_bench::rounds::Comparison;
use acs_identity_core::{Link, MappingStore, MemoryStore, PageRequest};

const MAPPINGS: usize = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("ours") => measure(MAPPINGS, ours).map(drop),
        Some("theirs") => measure(MAPPINGS, theirs).map(drop),
        _ => {
            let comparison = Comparison::measure(|| in_process("ours"), || in_process("theirs"));
            print("memory.bytes_vs_hashmaps", comparison.ratio(), "ratio", comparison.details("bytes per mapping"));
            Ok(())
        }
    }
}

fn ours() -> Result<MemoryStore, Box<dyn Error>> {
    let store = MemoryStore::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        for n in 0..MAPPINGS {
            store.link(Link::create(acs_id(n).parse()?, customer(n).parse()?)).await?;
        }
        let found = store.mappings_of(&customer(MAPPINGS - 1).parse()?, PageRequest::default()).await?;
        assert_eq!(found.items.len(), 1);
        Ok::<(), acs_identity_core::Error>(())
    })?;
    Ok(store)
}

fn theirs() -> Result<ByHand, Box<dyn Error>> {
    let mut maps = ByHand::default();
    for n in 0..MAPPINGS {
        maps.link(&acs_id(n), &customer(n));
    }
    assert_eq!(maps.len(), MAPPINGS);
    Ok(maps)
}
