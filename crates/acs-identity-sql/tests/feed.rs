//! The change feed sees every change, whoever makes it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, Expect, Link, LostReason, MappingStore, Resolver, Revision,
};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::{Connection, SqliteConnection};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> Change {
    Change::Customer(text.parse().unwrap())
}

struct Fixture {
    folder: tempfile::TempDir,
    store: SqliteStore,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::file(folder.path().join("a.db")).poll_interval(Duration::from_millis(5));
        Self { store: options.open().await.unwrap(), folder }
    }

    /// Somebody else's connection, with no knowledge of the store.
    async fn by_hand(&self, statements: &[&'static str]) {
        let url = format!("sqlite:{}", self.folder.path().join("a.db").display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        for sql in statements {
            sqlx::query(*sql).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    async fn live(&self) -> BoxStream<'static, Change> {
        let mut changes = self.store.changes();
        assert_eq!(next(&mut changes).await, Some(Change::Live));
        changes
    }

    async fn link(&self, link: Link) -> Revision {
        self.store.link(link).await.unwrap().revision
    }
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Option<Change> {
    tokio::time::timeout(Duration::from_secs(5), changes.next()).await.expect("news in time")
}

/// All news up to that of a last write, which is not among them.
async fn news(fixture: &Fixture, changes: &mut BoxStream<'static, Change>) -> Vec<Change> {
    let revision = fixture.link(Link::replace(id("last"), "last".parse().unwrap())).await;
    let mut news = Vec::new();
    loop {
        let change = next(changes).await.unwrap();
        if change == Change::Acs(id("last"), Some(revision)) {
            assert_eq!(next(changes).await, Some(customer("last")));
            return news;
        }
        news.push(change);
    }
}

#[tokio::test]
async fn the_stores_own_writes_are_told_with_their_revisions() {
    let fixture = Fixture::new().await;
    fixture.link(Link::create(id("a"), "bob".parse().unwrap())).await;
    let mut changes = fixture.live().await;
    let second = fixture.link(Link::replace(id("a"), "al".parse().unwrap())).await;
    fixture.store.link(Link::create(id("a"), "al".parse().unwrap())).await.unwrap();
    fixture.store.unlink(&id("a"), Expect::Any).await.unwrap();
    let third = fixture.link(Link::create(id("a"), "al".parse().unwrap())).await;
    let news = news(&fixture, &mut changes).await;
    for expected in
        [Change::Acs(id("a"), Some(second)), customer("bob"), customer("al"), Change::Acs(id("a"), Some(third))]
    {
        assert!(news.contains(&expected), "{expected:?} in {news:?}");
    }
    assert!(matches!(news.last(), Some(Change::Customer(_))));
}

#[tokio::test]
async fn statements_written_by_hand_are_seen() {
    let fixture = Fixture::new().await;
    for name in ["a", "b", "c", "d"] {
        fixture.link(Link::create(id(name), "bob".parse().unwrap())).await;
    }
    let mut changes = fixture.live().await;
    fixture
        .by_hand(&[
            "UPDATE acs_identity_mappings SET customer_id = 'al', revision = 7 WHERE acs_id = 'a'",
            "UPDATE acs_identity_mappings SET acs_id = 'e' WHERE acs_id = 'b'",
            "INSERT OR REPLACE INTO acs_identity_mappings VALUES ('default', 'c', 'cy', NULL, 0, NULL, 8)",
            "INSERT INTO acs_identity_mappings VALUES ('default', 'f', 'flo', NULL, 0, NULL, 9)",
            "DELETE FROM acs_identity_mappings WHERE acs_id = 'd'",
        ])
        .await;
    let mut expected = vec![Change::Acs(id("a"), Some(Revision::new(7))), customer("bob"), customer("al")];
    expected.extend([Change::Acs(id("b"), None), customer("bob")]);
    let moved = fixture.store.resolve(&id("e")).await.unwrap().unwrap().revision();
    expected.extend([Change::Acs(id("e"), moved), customer("bob")]);
    let replaced = Change::Acs(id("c"), Some(Revision::new(8)));
    expected.extend([replaced.clone(), customer("bob"), customer("cy"), replaced, customer("cy")]);
    expected.extend([Change::Acs(id("f"), Some(Revision::new(9))), customer("flo")]);
    expected.extend([Change::Acs(id("d"), None), customer("bob")]);
    assert_eq!(news(&fixture, &mut changes).await, expected);
}

#[tokio::test]
async fn what_nobody_can_see_is_no_news() {
    let fixture = Fixture::new().await;
    fixture.link(Link::create(id("a"), "bob".parse().unwrap()).expiring_in(Duration::ZERO)).await;
    fixture.link(Link::create(id("b"), "bob".parse().unwrap())).await;
    let other = fixture.store.in_namespace("other".parse().unwrap());
    let mut changes = fixture.live().await;
    assert_eq!(fixture.store.purge_expired(10).await.unwrap(), 1);
    fixture.by_hand(&["UPDATE acs_identity_mappings SET revision = revision WHERE acs_id = 'b'"]).await;
    fixture.by_hand(&["DELETE FROM acs_identity_mappings WHERE customer_id IS NULL"]).await;
    other.link(Link::create(id("c"), "bob".parse().unwrap())).await.unwrap();
    assert_eq!(news(&fixture, &mut changes).await, []);
}

#[tokio::test]
async fn a_subscriber_who_falls_behind_is_told_so() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.live().await;
    let links: Vec<_> = (0..10_001).map(|n| Link::create(id(&n.to_string()), CustomerId::from(n))).collect();
    assert!(fixture.store.link_many(&links).await.iter().all(Result::is_ok));
    assert_eq!(next(&mut changes).await, Some(Change::Lost(LostReason::Lagged)));
    assert_eq!(next(&mut changes).await, Some(Change::Live));
    let revision = fixture.link(Link::replace(id("5"), "bob".parse().unwrap())).await;
    assert_eq!(next(&mut changes).await, Some(Change::Acs(id("5"), Some(revision))));
    // The log does not grow for ever.
    let url = format!("sqlite:{}", fixture.folder.path().join("a.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM acs_identity_changes").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, 10_000);
}

#[tokio::test]
async fn a_subscriber_who_keeps_up_loses_nothing_however_much_is_written() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.live().await;
    let store = fixture.store.clone();
    let writer = tokio::spawn(async move {
        for start in (0..12_000_u64).step_by(500) {
            let links: Vec<_> =
                (start..start + 500).map(|n| Link::create(id(&n.to_string()), CustomerId::from(n))).collect();
            assert!(store.link_many(&links).await.iter().all(Result::is_ok));
        }
    });
    for n in 0..12_000_u64 {
        assert!(matches!(next(&mut changes).await, Some(Change::Acs(found, _)) if found == id(&n.to_string())));
        assert_eq!(next(&mut changes).await, Some(Change::Customer(CustomerId::from(n))));
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_broken_feed_says_so_and_comes_back() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.live().await;
    fixture.by_hand(&["ALTER TABLE acs_identity_changes RENAME TO elsewhere"]).await;
    assert_eq!(next(&mut changes).await, Some(Change::Lost(LostReason::Disconnected)));
    fixture.by_hand(&["ALTER TABLE elsewhere RENAME TO acs_identity_changes"]).await;
    assert_eq!(next(&mut changes).await, Some(Change::Live));
    let revision = fixture.link(Link::create(id("a"), "bob".parse().unwrap())).await;
    assert_eq!(next(&mut changes).await, Some(Change::Acs(id("a"), Some(revision))));
}

#[tokio::test]
async fn a_log_that_was_emptied_may_have_hidden_something() {
    let fixture = Fixture::new().await;
    fixture.link(Link::create(id("a"), "bob".parse().unwrap())).await;
    let mut changes = fixture.live().await;
    fixture.by_hand(&["DELETE FROM acs_identity_changes"]).await;
    assert_eq!(next(&mut changes).await, Some(Change::Lost(LostReason::Lagged)));
    assert_eq!(next(&mut changes).await, Some(Change::Live));
}

#[tokio::test]
async fn closing_ends_the_feeds_of_all_handles() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.live().await;
    let mut memory = SqliteStore::in_memory().await.unwrap();
    let mut others = memory.in_namespace("other".parse().unwrap()).changes();
    assert_eq!(next(&mut others).await, Some(Change::Live));
    let waiting = tokio::spawn(async move { (next(&mut changes).await, next(&mut others).await) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    fixture.store.close().await;
    memory.close().await;
    assert_eq!(waiting.await.unwrap(), (None, None));
    memory = memory.clone();
    assert_eq!(memory.changes().next().await, None);
}
