//! What an older version of the schema holds is read by this one.
//!
//! The files in `data` are databases of a version as its release left them: the statements that made it, and then what
//! was in it. One is added with each version that is released, and none is changed.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, ErrorKind, Expect, Link, MappingStore, MappingStoreExt, Namespace,
    Resolution, Revision,
};
use acs_identity_servers::{Kind, database};
use acs_identity_sql::{MySqlOptions, MySqlStore, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore};
use by_hand::ByHand;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::{Connection, MySqlConnection, PgConnection, SqliteConnection};

const DEADLINE: Duration = Duration::from_secs(30);

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

/// The versions that a script makes, each with its statements, be they in a transaction or not.
fn versions(script: &str) -> Vec<String> {
    let (made, _) = script.split_once("-- what was in it\n").unwrap_or((script, ""));
    let statements = |version: &str| {
        let lines =
            version.lines().skip(1).filter(|line| !["BEGIN;", "COMMIT;"].contains(line) && !line.starts_with("--"));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    made.split("-- version ").skip(1).map(statements).collect()
}

/// Makes the database of a version, after a look whether this release would make the same.
async fn restore(hand: &mut impl ByHand, file: &str, schema: &str) {
    let made = versions(file);
    assert!(!made.is_empty() && versions(schema).starts_with(&made), "a version that was released is changed no more");
    hand.run(file).await;
}

/// Looks for all that was in version 1, and goes on from there.
async fn version_1_is_read(
    store: &(impl MappingStore + ChangeFeed),
    other: &impl MappingStore,
    hand: &mut impl ByHand,
    known: usize,
) {
    let versions: Vec<i64> = (1..=known as i64).collect();
    assert_eq!(hand.numbers("SELECT version FROM acs_identity_schema ORDER BY version").await, versions);

    let long = format!("8:acs:{}", "x".repeat(506));
    let ids = ["8:acs:r_a", "8:acs:r_A", "8:acs:r_\u{e1}", "8:acs:r_a\u{301}", &long, "4:+15551234567", "8:acs:r_gone"];
    let ids = ids.map(id);
    let answers = store.resolve_many(&ids).await;
    let mut found: Vec<Option<Resolution>> = Vec::new();
    for (id, answer) in ids.iter().zip(answers) {
        assert_eq!(answer.as_ref().unwrap().is_some(), store.resolve(id).await.unwrap().is_some());
        found.push(answer.unwrap());
    }
    let told: Vec<_> = found.iter().flatten().map(|it| (it.customer_id().as_str(), it.revision().unwrap())).collect();
    let expected = [
        ("bob", 1_750_000_000_000_001),
        ("bob", 1_750_000_000_000_002),
        ("b'o\"b", 9_000_000_000_000),
        ("b'o\"b", 1_750_000_000_000_003),
        ("bob", 1_750_000_000_000_000),
    ];
    assert_eq!(told, expected.map(|(customer, revision)| (customer, Revision::new(revision))));
    assert_eq!(
        found.iter().position(Option::is_none),
        Some(5),
        "what has expired and what was unlinked are the last ones"
    );
    let properties = found[0].as_ref().unwrap().properties();
    assert_eq!((properties.get("team"), properties.get("note")), (Some("blue"), Some("\"quoted\" \u{e9}")));
    let lifetimes = found.iter().flatten().map(|it| it.remaining().is_some());
    assert_eq!(lifetimes.collect::<Vec<_>>(), [false, false, false, true, false]);
    assert_eq!(other.resolve(&ids[0]).await.unwrap().unwrap().customer_id(), &customer("al"));

    let bobs = store.all_mappings_of(&customer("bob")).await.unwrap();
    assert_eq!(bobs.iter().map(|it| &it.acs_id).collect::<Vec<_>>(), [&ids[4], &ids[0], &ids[1]], "the oldest first");
    assert_eq!(bobs.iter().map(|it| it.created_at.as_micros() % 10).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(store.scan_all().try_collect::<Vec<_>>().await.unwrap().len(), 5);
    assert_eq!(other.scan_all().try_collect::<Vec<_>>().await.unwrap().len(), 1);

    // And it goes on: the feed from here, the revisions from there.
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    let again = store.link(Link::create(ids[6].clone(), customer("dora"))).await.unwrap();
    assert_eq!(again.revision, Revision::new(4_102_444_800_000_006), "one more than the tombstone's");
    assert_eq!(next(&mut changes).await, Change::Acs(ids[6].clone(), Some(again.revision)));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("dora")));
    let taken = store.link(Link::create(ids[0].clone(), customer("dora"))).await.unwrap_err();
    assert_eq!((taken.kind(), taken.present_revision()), (ErrorKind::Conflict, Some(Revision::new(expected[0].1))));
    let removed = store.unlink(&ids[1], Expect::Revision(Revision::new(expected[1].1))).await.unwrap();
    assert_eq!(removed.unwrap().customer_id, customer("bob"));
    assert!(matches!(next(&mut changes).await, Change::Acs(told, Some(_)) if told == ids[1]));
    assert_eq!(store.purge_expired(100).await.unwrap(), 1);
}

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut hand = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
    let schema = SqliteStore::schema_sql();
    restore(&mut hand, include_str!("data/version-1.sqlite.sql"), &schema).await;
    let store = SqliteOptions::file(&path).call_deadline(DEADLINE).open().await.unwrap();
    let other = store.in_namespace(Namespace::new("other").unwrap());
    version_1_is_read(&store, &other, &mut hand, versions(&schema).len()).await;
}

#[tokio::test]
async fn postgres() {
    let database = database(Kind::Postgres).await;
    let mut hand = PgConnection::connect(database.url()).await.unwrap();
    let schema = PostgresStore::schema_sql();
    restore(&mut hand, include_str!("data/version-1.postgres.sql"), &schema).await;
    let store = PostgresOptions::url(database.url()).call_deadline(DEADLINE).open().await.unwrap();
    let other = store.in_namespace(Namespace::new("other").unwrap());
    version_1_is_read(&store, &other, &mut hand, versions(&schema).len()).await;
}

#[tokio::test]
async fn mysql() {
    let database = database(Kind::MariaDb).await;
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    let schema = MySqlStore::schema_sql();
    restore(&mut hand, include_str!("data/version-1.mysql.sql"), &schema).await;
    let store = MySqlOptions::url(database.url()).call_deadline(DEADLINE).open().await.unwrap();
    let other = store.in_namespace(Namespace::new("other").unwrap());
    version_1_is_read(&store, &other, &mut hand, versions(&schema).len()).await;
}
