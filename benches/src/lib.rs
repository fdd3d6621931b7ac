//! What the benchmarks share: how two things are measured side by side, what is printed, and the IDs they work on.
//!
//! Each benchmark is an executable in `src/bin`; what it is compared with, written as a user would by hand, is in [`by_hand`].
#![allow(clippy::print_stdout)]

pub mod by_hand;
pub mod ids;
pub mod misses;
pub mod rounds;
pub mod store;

use std::error::Error;

use serde_json::{Value, json};

/// Prints one measure, as `cargo xtask bench` reads it.
pub fn print(name: &str, value: f64, unit: &str, details: Value) {
    println!("{}", json!({ "name": name, "value": value, "unit": unit, "details": details }));
}

/// The resident memory of this process in bytes.
///
/// # Errors
/// Where the operating system does not say it as Linux does.
pub fn resident() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS: this benchmark needs Linux")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}
