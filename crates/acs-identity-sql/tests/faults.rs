//! What goes wrong outside is told in time, changes nothing, and is over when it is over.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acs_identity_core::{
    AcsId, ChangeFeed, CustomerId, ErrorKind, Expect, Link, Mapping, MappingStore, MappingStoreExt, PageRequest,
    Properties, Resolver,
};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use futures::{StreamExt, TryStreamExt};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

fn id(n: usize) -> AcsId {
    AcsId::new(format!("8:acs:r_{n}")).unwrap()
}

fn customer(name: &str) -> CustomerId {
    name.parse().unwrap()
}

struct Fixture {
    // Removed when the test ends.
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("a.db"), _folder: folder }
    }

    fn options(&self) -> SqliteOptions {
        SqliteOptions::file(&self.path)
    }

    /// Somebody else's connection.
    async fn by_hand(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(&self.path).connect().await.unwrap()
    }
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

/// How long a store waits for a lock.
const BUSY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_lock_held_by_somebody_else_is_told_in_time_and_changes_nothing() {
    let fixture = Fixture::new();
    let store = fixture.options().busy_timeout(BUSY).open().await.unwrap();
    store.link(Link::create(id(1), customer("bob"))).await.unwrap();
    let mut other = fixture.by_hand().await;
    run(&mut other, "BEGIN IMMEDIATE").await;

    let start = Instant::now();
    let error = store.link(Link::replace(id(1), customer("al"))).await.unwrap_err();
    assert!(start.elapsed() < 3 * BUSY);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "backend unavailable: the database is locked by another connection (link, sqlite)");
    let links: Vec<_> = (0..1200).map(|n| Link::create(id(n), customer("al"))).collect();
    let answers = store.link_many(&links).await;
    assert_eq!(answers.len(), 1200);
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.is_transient())));
    assert!(store.unlink(&id(1), Expect::Any).await.unwrap_err().is_transient());
    assert!(store.unlink_customer(&customer("bob")).await.unwrap_err().is_transient());
    assert!(store.purge_expired(10).await.unwrap_err().is_transient());
    // Whoever reads does not wait for the writer.
    assert_eq!(store.resolve(&id(1)).await.unwrap().unwrap().customer_id(), &customer("bob"));

    run(&mut other, "COMMIT").await;
    assert_eq!(store.scan_all().try_collect::<Vec<_>>().await.unwrap().len(), 1);
    assert!(store.link(Link::replace(id(1), customer("al"))).await.unwrap().changed);
}

#[tokio::test]
async fn a_write_whose_deadline_passed_is_never_applied() {
    let fixture = Fixture::new();
    let patient = fixture.options().busy_timeout(Duration::from_secs(10)).call_deadline(Duration::from_millis(100));
    let store = patient.open().await.unwrap();
    let mut other = fixture.by_hand().await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let links = (0..5).map(|n| store.link(Link::create(id(n), customer("bob"))));
    for answer in futures::future::join_all(links).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
    }
    run(&mut other, "COMMIT").await;
    // Behind the ones that were given up.
    let start = Instant::now();
    while store.link(Link::create(id(9), customer("al"))).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "it must work again");
    }
    let all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    assert_eq!(all.iter().map(|mapping| &mapping.acs_id).collect::<Vec<_>>(), [&id(9)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_cancelled_by_the_thousand_leave_all_connections_whole() {
    let fixture = Fixture::new();
    for store in [fixture.options().open().await.unwrap(), SqliteStore::in_memory().await.unwrap()] {
        let bob = customer("bob");
        for round in 0..3000_usize {
            let (id, ids) = (id(round % 50), [id(1), id(2)]);
            let wait = Duration::from_micros((round % 40) as u64 * 10);
            let links = [Link::replace(id.clone(), bob.clone())];
            let mut changes = store.changes();
            tokio::select! {
                biased;
                _ = async { store.link(links[0].clone()).await.unwrap() }, if round % 7 == 0 => {}
                _ = async { store.resolve(&id).await.unwrap() }, if round % 7 == 1 => {}
                _ = async { store.resolve_many(&ids).await }, if round % 7 == 2 => {}
                _ = async { store.link_many(&links).await }, if round % 7 == 3 => {}
                _ = async { store.unlink(&id, Expect::Any).await.unwrap() }, if round % 7 == 4 => {}
                _ = async { store.mappings_of(&bob, PageRequest::default()).await.unwrap() }, if round % 7 == 5 => {}
                _ = changes.next(), if round % 7 == 6 => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // More at once than there are connections, and both directions agree.
        let ids: Vec<AcsId> = (0..50).map(id).collect();
        let resolved = futures::future::join_all(ids.iter().map(|id| store.resolve(id))).await;
        let mapped = resolved.into_iter().filter(|answer| answer.as_ref().unwrap().is_some()).count();
        assert_eq!(store.all_mappings_of(&bob).await.unwrap().len(), mapped);
        for n in 0..50 {
            store.link(Link::replace(id(n), customer("al"))).await.unwrap();
        }
        assert_eq!(store.all_mappings_of(&customer("al")).await.unwrap().len(), 50);
        store.close().await;
    }
}

#[tokio::test]
async fn close_lets_a_write_finish_and_nothing_begin() {
    let fixture = Fixture::new();
    let store = fixture.options().open().await.unwrap();
    let links: Vec<_> = (0..500).map(|n| Link::create(id(n), customer("bob"))).collect();
    let writing = {
        let (store, links) = (store.clone(), links.clone());
        tokio::spawn(async move { store.link_many(&links).await })
    };
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.close().await;
    let written = writing.await.unwrap().iter().filter(|answer| answer.is_ok()).count();
    let bob = customer("bob");
    let kinds = [
        store.link(links[0].clone()).await.unwrap_err().kind(),
        store.link_many(&links).await.remove(0).unwrap_err().kind(),
        store.resolve(&id(1)).await.unwrap_err().kind(),
        store.resolve_many(&[id(1)]).await[0].as_ref().unwrap_err().kind(),
        store.mappings_of(&bob, PageRequest::default()).await.unwrap_err().kind(),
        store.purge_expired(1).await.unwrap_err().kind(),
        store.in_namespace("other".parse().unwrap()).ping().await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unavailable; 7]);
    let again = fixture.options().open().await.unwrap();
    assert_eq!(again.all_mappings_of(&bob).await.unwrap().len(), written);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_error_and_not_absent() {
    let fixture = Fixture::new();
    let store = fixture.options().open().await.unwrap();
    let links: Vec<_> = (0..6).map(|n| Link::create(id(n), customer("bob"))).collect();
    store.link_many(&links).await;
    let mut other = fixture.by_hand().await;
    run(&mut other, "UPDATE acs_identity_mappings SET properties = '{\"a\":1}' WHERE acs_id = '8:acs:r_0'").await;
    run(&mut other, "UPDATE acs_identity_mappings SET customer_id = '' WHERE acs_id = '8:acs:r_1'").await;
    run(&mut other, "UPDATE acs_identity_mappings SET revision = -1 WHERE acs_id = '8:acs:r_2'").await;
    run(&mut other, "UPDATE acs_identity_mappings SET customer_id = CAST(x'ff' AS TEXT) WHERE acs_id = '8:acs:r_3'")
        .await;
    run(&mut other, "UPDATE acs_identity_mappings SET expires_at = -1 WHERE acs_id = '8:acs:r_4'").await;

    let ids: Vec<AcsId> = (0..7).map(id).collect();
    let answers = store.resolve_many(&ids).await;
    for n in 0..5 {
        assert_eq!(store.resolve(&id(n)).await.unwrap_err().kind(), ErrorKind::Corrupt, "{n}");
        assert_eq!(answers[n].as_ref().unwrap_err().kind(), ErrorKind::Corrupt, "{n}");
    }
    for n in 1..5 {
        let error = store.link(Link::replace(id(n), customer("al"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{n}");
    }
    assert!(answers[5].as_ref().unwrap().is_some() && answers[6].as_ref().unwrap().is_none());
    assert_eq!(store.scan(PageRequest::default()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // One bad row does not lose the others of a batch.
    let links = [Link::replace(id(1), customer("al")), Link::replace(id(5), customer("al"))];
    let answers = store.link_many(&links).await;
    assert!(answers[0].is_err() && answers[1].as_ref().is_ok_and(|linked| linked.changed));
}

#[tokio::test]
async fn unreadable_properties_keep_no_mapping_from_being_replaced_or_removed() {
    let fixture = Fixture::new();
    let store = fixture.options().open().await.unwrap();
    let properties = Properties::new([("name", "Bob")]).unwrap();
    let links: Vec<_> =
        (0..3).map(|n| Link::create(id(n), customer("bob")).with_properties(properties.clone())).collect();
    store.link_many(&links).await;
    run(&mut fixture.by_hand().await, "UPDATE acs_identity_mappings SET properties = '{'").await;

    let removed = store.unlink(&id(0), Expect::Customer(customer("bob"))).await.unwrap().unwrap();
    assert_eq!((removed.customer_id, removed.properties), (customer("bob"), Properties::default()));
    let replaced = store.link(Link::replace(id(1), customer("bob")).with_properties(properties.clone())).await.unwrap();
    assert_eq!(replaced.previous.unwrap().properties, Properties::default());
    assert_eq!(store.resolve(&id(1)).await.unwrap().unwrap().properties(), &properties);
    assert_eq!(store.unlink_customer(&customer("bob")).await.unwrap(), 2);
}

#[tokio::test]
async fn a_table_that_vanished_is_an_error_and_not_absent() {
    let fixture = Fixture::new();
    let store = fixture.options().open().await.unwrap();
    run(&mut fixture.by_hand().await, "DROP TABLE acs_identity_mappings").await;
    assert_eq!(store.resolve(&id(1)).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    let error = store.link(Link::create(id(1), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

/// Set for the process that is killed.
const CHILD: &str = "ACS_IDENTITY_TEST_DATABASE";

/// Links each ID to "before" and then to "after", and says so when both are done.
async fn write_for_ever(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    let start = store.scan_all().count().await;
    // Not `println!`, which the test harness may keep to itself.
    let mut output = std::io::stdout();
    for n in start.. {
        store.link(Link::create(id(n), customer("before"))).await.unwrap();
        store.link(Link::replace(id(n), customer("after"))).await.unwrap();
        writeln!(output, "acknowledged {n}").unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_death_of_the_process() {
    if let Ok(path) = std::env::var(CHILD) {
        return write_for_ever(Path::new(&path)).await;
    }
    let fixture = Fixture::new();
    let mut acknowledged = Vec::new();
    let start = Instant::now();
    while acknowledged.len() < 100 {
        assert!(start.elapsed() < Duration::from_secs(300), "{acknowledged:?}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_acknowledged_survives_the_death_of_the_process"])
            .env(CHILD, &fixture.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers =
            lines.filter_map(|line| line.rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<usize>().ok()));
        acknowledged.extend(numbers.by_ref().take(20));
        // SIGKILL, wherever it is just now.
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(numbers);

        let store = fixture.options().open().await.unwrap();
        let all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
        for n in &acknowledged {
            assert_eq!(store.resolve(&id(*n)).await.unwrap().unwrap().customer_id(), &customer("after"), "{n}");
        }
        // The last one may have got half-way; whatever it is, both directions tell the same.
        let mut reverse = store.all_mappings_of(&customer("before")).await.unwrap();
        assert!(reverse.len() <= 1);
        reverse.extend(store.all_mappings_of(&customer("after")).await.unwrap());
        reverse.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
        assert_eq!(reverse, all);
        let checked: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut fixture.by_hand().await).await.unwrap();
        assert_eq!(checked, "ok");
        // Its last link is finished, so that the next process finds no gap.
        for mapping in store.all_mappings_of(&customer("before")).await.unwrap() {
            store.link(Link::replace(mapping.acs_id, customer("after"))).await.unwrap();
        }
        store.close().await;
    }
}
