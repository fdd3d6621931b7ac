//! PostgreSQL.

use crate::kind::{Init, Place, Recipe};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "PostgreSQL",
    variable: "ACS_IDENTITY_TEST_POSTGRES_URL",
    elsewhere: "a server whose user may create databases",
    server: "postgres",
    alias: None,
    init: Some(Init { program: "initdb", args: init_args }),
    at_least: (14, 0),
    folders: &[
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/usr/local/pgsql/bin",
        "/opt/homebrew/opt/postgresql@*/bin",
        "/usr/local/opt/postgresql@*/bin",
        "/Applications/Postgres.app/Contents/Versions/*/bin",
    ],
    packages: &[&["postgresql"]],
    server_args,
    setting: |name, value| vec!["-c".into(), format!("{name}={value}")],
    file: Some(("password", str::to_owned)),
    // The process id in it may be another process's by now.
    stale: &["postmaster.pid"],
    ready: "ready to accept connections",
    url: |password, port| format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"),
};

fn init_args(place: &Place) -> Vec<String> {
    let password = format!("--pwfile={}", place.path("password"));
    let data = format!("--pgdata={}", place.data());
    let fixed = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"];
    [data, password].into_iter().chain(fixed.map(str::to_owned)).collect()
}

fn server_args(place: &Place) -> Vec<String> {
    let mut args = vec!["-D".to_owned(), place.data()];
    let settings = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &place.port.to_string()),
        // The path of a socket in the temporary folder could be longer than systems allow.
        ("unix_socket_directories", ""),
        ("max_connections", "200"),
        ("shared_buffers", "256MB"),
        // Segments of the other types survive a killed server; these are files in its folder.
        ("dynamic_shared_memory_type", "mmap"),
    ];
    args.extend(settings.iter().flat_map(|(name, value)| (RECIPE.setting)(name, value)));
    args
}
