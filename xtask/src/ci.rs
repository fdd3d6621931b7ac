//! `cargo xtask ci`: everything that must be green before a change is taken.

use std::process::Command;
use std::time::Instant;

use crate::cargo::{cargo, root, run as run_command};
use crate::metadata::{Metadata, Package};
use crate::{Result, licences, rules, sdk, test};

/// Runs all steps in order, the cheap ones first, and stops at the first that fails.
pub(crate) fn run() -> Result {
    let started = Instant::now();
    let metadata = Metadata::load()?;

    step("format", || run_command(cargo(["fmt", "--all", "--check"])))?;
    step("house rules", || verdict(rules::sources(&root())?))?;
    step("documents compiled", || verdict(rules::documents(&root())?))?;
    step("texts of the licences", || verdict(rules::licence_texts(&root())?))?;
    step("arrows between crates", || verdict(rules::arrows(&metadata)))?;
    step("minimum Rust version", || verdict(rules::rust_version(&metadata)))?;
    step("licences", || verdict(licences::violations(metadata.packages.iter())))?;
    step("lint, all features", || run_command(clippy(&["--workspace", "--all-targets", "--all-features"])))?;
    for package in metadata.published() {
        for choice in feature_choices(package) {
            let args: Vec<_> = ["-p", &package.name].into_iter().chain(choice).collect();
            step(&format!("lint {}", args[1..].join(" ")), || run_command(clippy(&args)))?;
        }
    }
    step("compiled with the minimum Rust version", || minimum_rust(&metadata))?;
    step("documentation", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run_command(doc)
    })?;
    step("tests", || test::run(&[]))?;
    step("tests with the official clients", || sdk::run(&[]))?;

    println!("ci: all green in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Compiles everything with the Rust version that the workspace declares, where rustup has it.
fn minimum_rust(metadata: &Metadata) -> Result {
    let Some(declared) = metadata.members().find_map(|package| package.rust_version.as_deref()) else {
        return Err("no member declares a rust-version".into());
    };
    let asked = Command::new("rustup").args(["run", declared, "rustc", "--version"]).output();
    if !asked.is_ok_and(|answer| answer.status.success()) {
        println!("ci: Rust {declared} is not installed, so only what the dependencies declare was compared");
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", declared, "cargo", "check", "--workspace", "--all-features"]);
    run_command(check)
}

/// Runs one step between a heading and a line with its time.
fn step(name: &str, body: impl FnOnce() -> Result) -> Result {
    println!("ci: {name} ...");
    let started = Instant::now();
    let result = body();
    let outcome = if result.is_ok() { "ok" } else { "FAILED" };
    println!("ci: {name} {outcome} ({:.1} s)", started.elapsed().as_secs_f64());
    result.map_err(|error| format!("ci failed at `{name}`: {error}").into())
}

/// The linter with warnings as errors.
fn clippy(args: &[&str]) -> Command {
    cargo(["clippy"].into_iter().chain(args.iter().copied()).chain(["--", "-D", "warnings"]))
}

/// The ways in which a published crate must build by itself: as most people get it, without any
/// feature, and with each feature alone. A feature that only compiles next to another one shows here
/// and nowhere else, because one build of the whole workspace turns all of them on.
fn feature_choices(package: &Package) -> Vec<Vec<&str>> {
    let mut choices = vec![vec![]];
    if package.features.get("default").is_some_and(|features| !features.is_empty()) {
        choices.push(vec!["--no-default-features"]);
    }
    for feature in package.features.keys().filter(|feature| *feature != "default") {
        choices.push(vec!["--no-default-features", "--features", feature]);
    }
    choices
}

/// Turns what a rule found into the outcome of its step.
fn verdict(violations: Vec<String>) -> Result {
    if violations.is_empty() { Ok(()) } else { Err(format!("\n  {}", violations.join("\n  ")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_features(features: &[(&str, &[&str])]) -> Package {
        let owned =
            |(name, of): &(&str, &[&str])| ((*name).to_owned(), of.iter().map(|one| (*one).to_owned()).collect());
        Package { features: features.iter().map(owned).collect(), ..Package::default() }
    }

    #[test]
    fn each_feature_is_linted_alone() {
        let package = with_features(&[("default", &["sqlite"]), ("sqlite", &[]), ("uuid", &["dep:uuid"])]);
        let choices = feature_choices(&package);
        let alone = |name| vec!["--no-default-features", "--features", name];
        assert_eq!(choices, [vec![], vec!["--no-default-features"], alone("sqlite"), alone("uuid")]);
    }

    #[test]
    fn a_crate_without_features_is_linted_once() {
        assert_eq!(feature_choices(&with_features(&[])), [Vec::<&str>::new()]);
        assert_eq!(feature_choices(&with_features(&[("default", &[])])), [Vec::<&str>::new()]);
    }

    #[test]
    fn every_violation_is_in_the_error() {
        assert!(verdict(vec![]).is_ok());
        let error = verdict(vec!["one".into(), "two".into()]).expect_err("must fail").to_string();
        assert_eq!(error, "\n  one\n  two");
    }
}
