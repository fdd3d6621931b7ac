//! Real servers, started, killed and gone.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use acs_identity_servers::{Kind, Running, Server, database, database_with, url};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

/// The single number that a query returns on a new connection.
async fn number(kind: Kind, url: &str, query: &str) -> i64 {
    let query = AssertSqlSafe(query);
    match kind {
        Kind::Postgres => {
            let mut connection = PgConnection::connect(url).await.expect("a connection");
            sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a number")
        }
        Kind::MariaDb => {
            let mut connection = MySqlConnection::connect(url).await.expect("a connection");
            sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a number")
        }
        Kind::Redis => unreachable!("it has no SQL"),
    }
}

/// Runs a statement on a new connection.
async fn run(kind: Kind, url: &str, statement: &str) {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement));
    let result = match kind {
        Kind::Postgres => {
            let mut connection = PgConnection::connect(url).await.expect("a connection");
            statement.execute(&mut connection).await.map(|_| ())
        }
        Kind::MariaDb => {
            let mut connection = MySqlConnection::connect(url).await.expect("a connection");
            statement.execute(&mut connection).await.map(|_| ())
        }
        Kind::Redis => unreachable!("it has no SQL"),
    };
    result.expect("the statement is right");
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// How many processes work in a folder, as all of a server's do. Linux tells; elsewhere none is found.
fn processes_in(folder: &Path) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .count()
}

fn wait_until_gone(folder: &Path) {
    let started = Instant::now();
    while folder.exists() || processes_in(folder) > 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} processes are left", processes_in(folder));
        thread::sleep(Duration::from_millis(20));
    }
}

async fn killed_and_restarted(kind: Kind) {
    let mut server = Server::start(kind).expect("a server");
    let (url, port) = (server.url(), server.port());
    run(kind, &url, "CREATE TABLE kept (one INT)").await;
    for round in 1..=3 {
        run(kind, &url, "INSERT INTO kept VALUES (1)").await;
        server.kill();
        assert!(!answers(port));
        assert_eq!(processes_in(server.folder()), 0);
        server.restart().expect("it comes back");
        assert_eq!((server.url(), server.port()), (url.clone(), port));
        assert_eq!(number(kind, &url, "SELECT COUNT(*) FROM kept").await, round);
    }
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!answers(port));
    assert!(!folder.exists());
    assert_eq!(processes_in(&folder), 0);
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_its_data() {
    killed_and_restarted(Kind::Postgres).await;
}

#[tokio::test]
async fn a_killed_mariadb_comes_back_with_its_data() {
    killed_and_restarted(Kind::MariaDb).await;
}

#[tokio::test]
async fn a_server_restarted_empty_has_forgotten_all() {
    for kind in Kind::SQL {
        let mut server = Server::start(kind).expect("a server");
        let url = server.url();
        run(kind, &url, "CREATE TABLE forgotten (one INT)").await;
        server.restart_empty().expect("it comes back");
        assert_eq!(server.url(), url);
        run(kind, &url, "CREATE TABLE forgotten (one INT)").await;
    }
}

#[tokio::test]
async fn a_busy_postgres_is_killed_with_all_of_its_processes() {
    let mut server = Server::start(Kind::Postgres).expect("a server");
    let url = server.url();
    // It looks neither for its client nor for the server's main process before it ends.
    let busy = "DO $$ BEGIN FOR i IN 1..2000000000 LOOP END LOOP; END $$";
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let at_work = tokio::spawn(async move { sqlx::raw_sql(busy).execute(&mut connection).await.map(|_| ()) });
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'DO $$%' AND state = 'active'";
    while number(Kind::Postgres, &url, waiting).await == 0 {
        tokio::task::yield_now().await;
    }
    server.kill();
    assert_eq!(processes_in(server.folder()), 0);
    at_work.await.expect("no panic").expect_err("its server was killed");
    server.restart().expect("it comes back");
}

#[test]
fn a_restart_waits_for_a_port_that_is_taken_for_a_while() {
    for kind in Kind::ALL {
        let mut server = Server::start(kind).expect("a server");
        server.kill();
        let taken = TcpListener::bind(("127.0.0.1", server.port())).expect("the port is free");
        let release = thread::spawn(move || {
            thread::sleep(Duration::from_millis(500));
            drop(taken);
        });
        server.restart().expect("it comes back");
        release.join().expect("released");
    }
}

/// Starts a server of each kind in another process, and kills that process.
#[test]
fn nothing_outlives_a_killed_process() {
    const NAME: &str = "nothing_outlives_a_killed_process";
    const CHILD: &str = "ACS_IDENTITY_SERVERS_CHILD";
    if env::var_os(CHILD).is_some() {
        let servers: Vec<Server> = Kind::ALL.map(|kind| Server::start(kind).expect("a server")).into();
        for server in &servers {
            println!("folder {} {}", server.port(), server.folder().display());
        }
        // Until it is killed.
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = Command::new(env::current_exe().expect("the test"))
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let told = lines.map_while(Result::ok).filter_map(|line| {
        // The test harness may have begun the line.
        let (_, told) = line.split_once("folder ")?;
        let (port, folder) = told.split_once(' ')?;
        Some((port.parse::<u16>().ok()?, PathBuf::from(folder)))
    });
    let servers: Vec<(u16, PathBuf)> = told.take(Kind::ALL.len()).collect();
    assert_eq!(servers.len(), Kind::ALL.len());
    for (port, folder) in &servers {
        assert!(answers(*port) && folder.exists());
        assert!(!cfg!(target_os = "linux") || processes_in(folder) > 0);
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    for (port, folder) in &servers {
        wait_until_gone(folder);
        assert!(!answers(*port));
    }
}

#[tokio::test]
async fn settings_reach_the_server() {
    let fsync = &[("fsync", "off"), ("max_connections", "17")];
    let server = Server::start_with(Kind::Postgres, fsync).expect("a server");
    let query = "SELECT setting::bigint FROM pg_settings WHERE name = 'max_connections'";
    assert_eq!(number(Kind::Postgres, &server.url(), query).await, 17);

    let mut server = Server::start_with(Kind::MariaDb, &[("max-connections", "17")]).expect("a server");
    let query = "SELECT CAST(@@max_connections AS SIGNED)";
    assert_eq!(number(Kind::MariaDb, &server.url(), query).await, 17);
    server.set("max-connections", "18");
    server.restart().expect("it comes back");
    assert_eq!(number(Kind::MariaDb, &server.url(), query).await, 18);
}

#[test]
fn a_wrong_setting_is_answered_with_the_log() {
    let error = Server::start_with(Kind::Postgres, &[("no_such_setting", "1")]).expect_err("a wrong setting");
    assert!(error.starts_with("cannot start PostgreSQL: ") && error.contains("no_such_setting"), "{error}");
    let error = Server::start_with(Kind::MariaDb, &[("no-such-setting", "1")]).expect_err("a wrong setting");
    assert!(error.starts_with("cannot start MariaDB: ") && error.contains("no-such-setting"), "{error}");
}

#[tokio::test]
async fn each_database_is_empty_and_of_its_own() {
    for kind in Kind::SQL {
        let (one, other) = (database(kind).await, database(kind).await);
        for database in [&one, &other] {
            run(kind, database.url(), "CREATE TABLE mine (one INT)").await;
            assert_eq!(number(kind, database.url(), "SELECT COUNT(*) FROM mine").await, 0);
        }
    }
}

#[tokio::test]
async fn a_database_is_dropped_with_its_value_unless_its_server_soon_ends() {
    for kind in Kind::SQL {
        let database = database(kind).await;
        let catalog = match kind {
            Kind::Postgres => "SELECT COUNT(*) FROM pg_database WHERE datname =",
            Kind::MariaDb => "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name =",
            Kind::Redis => unreachable!("it has no SQL"),
        };
        let query = format!("{catalog} '{}'", database.name());
        assert_eq!(number(kind, &url(kind), &query).await, 1);
        drop(database);
        assert_eq!(number(kind, &url(kind), &query).await, i64::from(kind.given().is_none()));
    }
}

#[tokio::test]
async fn a_database_has_the_options_it_was_made_with() {
    let latin = database_with(Kind::Postgres, "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'").await;
    let query = "SELECT COUNT(*) FROM pg_database WHERE datname = current_database() AND pg_encoding_to_char(encoding) = 'LATIN1'";
    assert_eq!(number(Kind::Postgres, latin.url(), query).await, 1);

    let latin = database_with(Kind::MariaDb, "CHARACTER SET latin1 COLLATE latin1_german2_ci").await;
    let query = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = DATABASE() \
                 AND default_collation_name = 'latin1_german2_ci'";
    assert_eq!(number(Kind::MariaDb, latin.url(), query).await, 1);
}

#[tokio::test]
async fn running_servers_are_told_by_environment_variables() {
    let running = Running::start_kinds(Kind::SQL).expect("servers");
    let env = running.env();
    let names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ACS_IDENTITY_TEST_POSTGRES_URL", "ACS_IDENTITY_TEST_MYSQL_URL"]);
    for ((_, url), kind) in env.iter().zip(Kind::SQL) {
        assert_eq!(number(kind, url, "SELECT COUNT(*) FROM (SELECT 1 AS one) AS t").await, 1);
    }
}
