//! The test harness: one test for each check and store.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::{Fixture, Outcome, checks};

/// Makes the `main` function of a test target that runs every check on each of these fixtures.
///
/// The target needs `harness = false`. A fixture is given as an expression, which is evaluated for each check anew.
#[macro_export]
macro_rules! conformance_main {
    ($($fixture:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::run(&[$(|| ::std::sync::Arc::new($fixture)),+])
        }
    };
}

/// Runs every check on each of these fixtures, under the command line of a test target. What [`conformance_main!`] calls.
pub fn run(fixtures: &[fn() -> Arc<dyn Fixture>]) -> ExitCode {
    let trials = fixtures.iter().flat_map(|fixture| {
        let store = fixture().name().to_owned();
        checks().iter().map(move |check| {
            let fixture = *fixture;
            Trial::ignorable_test(format!("{store}::{}", check.name), move || match check.outcome(fixture()) {
                Outcome::Kept => Ok(Completion::Completed),
                Outcome::Ignored(reason) => Ok(Completion::ignored_with(reason)),
                Outcome::Broken(what) => Err(what.into()),
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
