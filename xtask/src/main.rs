//! The workspace's own commands: `cargo xtask test | bench | servers | ci`.
#![allow(clippy::print_stdout, reason = "a command-line tool: printing is its purpose")]

mod bench;
mod cargo;
mod ci;
mod licences;
mod metadata;
mod report;
mod rules;
mod sdk;
mod servers;
mod test;

use std::error::Error;
use std::process::ExitCode;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const HELP: &str = "\
The commands of this workspace.

Usage: cargo xtask <COMMAND>

Commands:
  test [ARGS]...   Run every test: unit, integration, conformance and documentation tests, with all features,
                   on private database servers that are installed if they are missing (by apt-get) and removed
                   afterwards, and the models of the cache, unless there are ARGS. ARGS go to `cargo test`, for instance:
                   cargo xtask test -p acs-identity-core -- identifier
  test --sdk [ARGS]...
                   Run the tests with the official clients for Python and JavaScript instead, which are installed
                   from their registries into target/sdk. ARGS go to the test executable
  bench [--scale] [NAMES]...
                   Build and run the benchmarks (all, or the named ones) in release mode, print a table and
                   write target/bench/report.json; --scale adds those with millions of rows
  servers          Start the servers that the tests need, PostgreSQL, MariaDB, Redis and a Redis Cluster, and print
                   the environment variables that point tests at them; they run until Ctrl-C
  ci               Everything that must be green: format, lints, documentation, licences, house rules, all tests,
                   those with the official clients, too
  help             This text

Environment:
  ACS_IDENTITY_TEST_POSTGRES_URL, ACS_IDENTITY_TEST_MYSQL_URL
                   Servers for `test` and `bench` to use in place of private ones; their user must be allowed to
                   create databases and roles, for instance: postgres://user:password@localhost/postgres
  ACS_IDENTITY_TEST_REDIS_URL, ACS_IDENTITY_TEST_REDIS_CLUSTER_URLS
                   The same of Redis: servers that may be filled with keys, those of the cluster with commas
                   between them, for instance: redis://localhost:6379
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result {
    let Some((command, rest)) = args.split_first() else {
        return Err(format!("no command given\n\n{HELP}").into());
    };
    match (command.as_str(), rest) {
        ("test", [flag, args @ ..]) if flag == "--sdk" => sdk::run(args),
        ("test", args) => test::run(args),
        ("bench", names) => bench::run(names),
        ("servers", []) => servers::run(),
        ("ci", []) => ci::run(),
        ("help" | "-h" | "--help", _) => {
            print!("{HELP}");
            Ok(())
        }
        ("servers" | "ci", [extra, ..]) => Err(format!("`{command}` takes no arguments, but got `{extra}`").into()),
        _ => Err(format!("unknown command `{command}`\n\n{HELP}").into()),
    }
}
