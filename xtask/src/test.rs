//! `cargo xtask test`: every test of the workspace.

use crate::Result;
use crate::cargo::{cargo, run as run_command};

/// Runs unit, integration, conformance and documentation tests of all packages with all features.
///
/// Without `--workspace`, so that a `-p` among the arguments narrows the run: at the root, cargo's
/// default is every package. No store of this version needs a server, so none is started.
pub(crate) fn run(args: &[String]) -> Result {
    run_command(cargo(["test", "--all-features"].into_iter().chain(args.iter().map(String::as_str))))
}
