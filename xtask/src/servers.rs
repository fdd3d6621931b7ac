//! `cargo xtask servers`: the servers that the tests need.

use crate::Result;

/// Says that there is nothing to start: the stores of this version live in the process or in a file.
pub(crate) fn run() -> Result {
    println!("No store of this version needs a server: nothing was started, and every test runs without one.");
    Ok(())
}
