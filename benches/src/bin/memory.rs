//! `memory.bytes_vs_hashmaps`: what a million mappings take in the in-memory store over what they take in two hash maps.
//!
//! Measured as the growth of the resident memory of a process of its own, so what the allocator adds is in it.

use std::error::Error;
use std::process::Command;

use acs_identity_bench::by_hand::hash_maps::ByHand;
use acs_identity_bench::ids::{acs_id, customer};
use acs_identity_bench::rounds::Comparison;
use acs_identity_bench::{print, resident};
use acs_identity_core::{Link, MappingStore, MemoryStore, PageRequest};

const MAPPINGS: usize = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("ours") => report(ours),
        Some("theirs") => report(theirs),
        _ => {
            let comparison = Comparison::measure(|| in_process("ours"), || in_process("theirs"));
            print("memory.bytes_vs_hashmaps", comparison.ratio(), "ratio", comparison.details("bytes per mapping"));
            Ok(())
        }
    }
}

/// Bytes of one mapping, measured in a fresh process.
fn in_process(which: &str) -> f64 {
    let myself = std::env::current_exe().expect("the path of this program");
    let output = Command::new(myself).arg(which).output().expect("this program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

#[allow(clippy::print_stdout)]
fn report<T>(build: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let built = build()?;
    println!("{}", (resident()? - before) / MAPPINGS as f64);
    drop(built);
    Ok(())
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
