//! `cargo xtask bench`: runs the benchmarks, prints a table and writes `target/bench/report.json`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use acs_identity_servers::{Kind, Running};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::cargo::{cargo, root, run as run_command, stdout};
use crate::metadata::Metadata;
use crate::report::Report;

const PACKAGE: &str = "acs-identity-bench";
const REPORT: &str = "target/bench/report.json";
/// Tells the benchmarks to make those measures, too, that need minutes and gigabytes.
const SCALE: &str = "ACS_IDENTITY_BENCH_SCALE";

/// Runs all benchmarks, one after another so that none disturbs another, or those that are named, on the servers that
/// environment variables give and on private ones of the other kinds. With `--scale` also what needs minutes and gigabytes.
///
/// A run of all writes a new report. A run of some puts its measures in the place of the old ones in
/// the report that is there; each measure says by itself from which commit it is.
pub(crate) fn run(args: &[String]) -> Result {
    let (flags, names): (Vec<_>, Vec<_>) = args.iter().cloned().partition(|arg| arg.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| *flag != "--scale") {
        return Err(format!("`bench` knows no option `{unknown}`; there is: --scale").into());
    }
    let metadata = Metadata::load()?;
    let package = metadata.members().find(|package| package.name == PACKAGE);
    let package = package.ok_or_else(|| format!("there is no package {PACKAGE}"))?;
    let chosen = choose(&package.executables(), &names)?;

    let path = root().join(REPORT);
    let mut report = if names.is_empty() { Report::default() } else { existing(&path)? };

    run_command(cargo(["build", "--release", "-p", PACKAGE, "--bins"]))?;
    let origin = origin();
    let mut measured = Report::default();
    for bench in chosen {
        eprintln!("bench: {bench} ...");
        // Only while it is needed, so that it disturbs no other benchmark.
        let running = Running::start_kinds(server(&bench).filter(|kind| kind.given().is_none()))?;
        let mut run = cargo(["run", "--release", "--quiet", "-p", PACKAGE, "--bin", &bench]);
        run.envs(running.env());
        if !flags.is_empty() {
            run.env(SCALE, "1");
        }
        let output = stdout(run)?;
        measured.add_output(&output, &origin).map_err(|error| format!("bench {bench}: {error}"))?;
    }

    print!("{}", measured.table());
    report.update(measured);
    write(&path, &report)?;
    println!("\nwritten to {REPORT}");
    Ok(())
}

/// The benchmarks to run: those asked for, or all.
fn choose(all: &[&str], names: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = names.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(format!("no benchmark is called `{unknown}`; there are: {}", all.join(", ")).into());
    }
    if all.is_empty() {
        return Err(format!("{PACKAGE} has no executables to run").into());
    }
    let chosen = all.iter().filter(|bench| names.is_empty() || names.iter().any(|name| name == *bench));
    Ok(chosen.map(|bench| (*bench).to_owned()).collect())
}

/// The server that a benchmark needs.
fn server(bench: &str) -> Option<Kind> {
    match bench {
        "bench-postgres" => Some(Kind::Postgres),
        "bench-mysql" => Some(Kind::MariaDb),
        "bench-redis" => Some(Kind::Redis),
        _ => None,
    }
}

/// The report of an earlier run, empty if there was none.
fn existing(path: &Path) -> Result<Report> {
    if !path.exists() {
        return Ok(Report::default());
    }
    let unreadable = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    Ok(serde_json::from_str(&text).map_err(|error| unreadable(&error))?)
}

fn write(path: &Path, report: &Report) -> Result {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// Which source was measured: the commit, and whether the tree held nothing else. Both null outside
/// of a git checkout.
fn origin() -> Map<String, Value> {
    let commit = git(&["rev-parse", "HEAD"]);
    let changes = git(&["status", "--porcelain"]);
    Map::from_iter([
        ("commit".to_owned(), json!(commit.as_deref().map(str::trim))),
        ("tree_clean".to_owned(), json!(changes.map(|changes| changes.is_empty()))),
    ])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).current_dir(root()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_all_benchmarks_are_run() {
        assert_eq!(choose(&["cache", "core"], &[]).expect("known"), ["cache", "core"]);
        assert_eq!(choose(&["cache", "core"], &["core".into()]).expect("known"), ["core"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = choose(&["cache", "core"], &["cor".into()]).expect_err("unknown").to_string();
        assert_eq!(error, "no benchmark is called `cor`; there are: cache, core");
    }

    #[test]
    fn an_unknown_option_is_an_error() {
        let error = run(&["--scales".into()]).expect_err("unknown").to_string();
        assert_eq!(error, "`bench` knows no option `--scales`; there is: --scale");
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        assert!(choose(&[], &[]).is_err());
    }

    #[test]
    fn a_written_report_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bench/report.json");
        assert_eq!(existing(&path).expect("none yet"), Report::default());
        let mut report = Report::default();
        report.add_output(r#"{"name":"a","value":1,"unit":"ns"}"#, &origin()).expect("readable");
        write(&path, &report).expect("written");
        assert_eq!(existing(&path).expect("readable"), report);
        fs::write(&path, "{").expect("written");
        assert!(existing(&path).expect_err("broken").to_string().starts_with("cannot read "));
    }
}
