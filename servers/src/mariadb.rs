//! MariaDB.

use crate::kind::{Init, Place, Recipe};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "MariaDB",
    variable: "ACS_IDENTITY_TEST_MYSQL_URL",
    elsewhere: "a server whose user may create databases",
    server: "mariadbd",
    alias: None,
    init: Some(Init { program: "mariadb-install-db", args: init_args }),
    at_least: (10, 6),
    folders: &[
        "/usr/sbin",
        "/usr/bin",
        "/usr/libexec",
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/local/libexec",
        "/usr/local/mysql/bin",
        "/opt/homebrew/opt/mariadb/bin",
        "/usr/local/opt/mariadb/bin",
        "/opt/homebrew/opt/mariadb@*/bin",
        "/usr/local/opt/mariadb@*/bin",
    ],
    // Without the package that brings the service. The second: programs that `mariadb-install-db` calls.
    packages: &[
        &["mariadb-server-core", "mariadb-client-core"],
        &["mariadb-server-core-10.6", "mariadb-client-core-10.6"],
    ],
    server_args,
    setting: |name, value| vec![format!("--{name}={value}")],
    file: Some(("user.sql", user)),
    stale: &[],
    ready: "ready for connections",
    url: |password, port| format!("mysql://root:{password}@127.0.0.1:{port}/mysql"),
};

fn init_args(place: &Place) -> Vec<String> {
    let data = format!("--datadir={}", place.data());
    let fixed = ["--skip-name-resolve", "--skip-test-db"];
    // Must come first.
    ["--no-defaults".to_owned(), data].into_iter().chain(fixed.map(str::to_owned)).collect()
}

fn server_args(place: &Place) -> Vec<String> {
    let mut args = vec!["--no-defaults".to_owned()];
    let settings = [
        ("datadir", place.data()),
        ("tmpdir", place.folder.display().to_string()),
        ("socket", place.path("socket")),
        ("init-file", place.path("user.sql")),
        ("port", place.port.to_string()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("skip-name-resolve", "ON".to_owned()),
        ("max-connections", "200".to_owned()),
        ("performance-schema", "OFF".to_owned()),
        ("innodb-buffer-pool-size", "256M".to_owned()),
    ];
    args.extend(settings.iter().flat_map(|(name, value)| (RECIPE.setting)(name, value)));
    args
}

/// Makes the user that tests connect as; each start runs it, and later ones change nothing.
fn user(password: &str) -> String {
    format!(
        "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
    )
}
