//! What the benchmarks share: how two things are measured side by side, what is printed, and the IDs they work on.
//!
//! Each benchmark is an executable in `src/bin`; what it is compared with, written as a user would by hand, is in [`by_hand`].
#![allow(clippy::print_stdout)]

pub mod by_hand;
pub mod ids;
pub mod memory;
pub mod misses;
pub mod rounds;
pub mod store;

use serde_json::{Value, json};

/// Prints one measure, as `cargo xtask bench` reads it.
pub fn print(name: &str, value: f64, unit: &str, details: Value) {
    println!("{}", json!({ "name": name, "value": value, "unit": unit, "details": details }));
}
