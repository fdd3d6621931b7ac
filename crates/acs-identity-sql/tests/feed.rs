//! The change feed sees every change, whoever makes it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, Expect, Link, LostReason, MappingStore, PageRequest, Resolver, Revision,
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
    async fn connect(&self) -> SqliteConnection {
        let url = format!("sqlite:{}", self.folder.path().join("a.db").display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    async fn logged(&self) -> i64 {
        let sql = "SELECT count(*) FROM acs_identity_changes";
        sqlx::query_scalar(sql).fetch_one(&mut self.connect().await).await.unwrap()
    }

    async fn by_hand(&self, statements: &[&'static str]) {
        let mut connection = self.connect().await;
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
    let [Change::Acs(a, Some(re_linked)), Change::Customer(before), Change::Customer(after), rest @ ..] = &news[..]
    else {
        panic!("{news:?}")
    };
    assert_eq!((a, *re_linked, before.as_str(), after.as_str()), (&id("a"), second, "bob", "al"));
    let [Change::Acs(a, Some(unlinked)), Change::Customer(before), rest @ ..] = rest else { panic!("{news:?}") };
    assert_eq!((a, *unlinked > second, before.as_str()), (&id("a"), true, "al"));
    assert_eq!(rest, [Change::Acs(id("a"), Some(third)), customer("al")]);
}

#[tokio::test]
async fn each_change_is_in_the_log_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let link = |name: &str, to: &str| Link::replace(id(name), to.parse().unwrap());
    let mut known = 0;
    let mut logged = async |expected: i64, what: &str| {
        let new = fixture.logged().await - known;
        assert_eq!(new, expected, "{what}");
        known += new;
    };
    fixture.link(link("a", "bob")).await;
    logged(1, "a first link").await;
    fixture.link(link("a", "al")).await;
    logged(1, "a re-link").await;
    fixture.link(link("a", "al")).await;
    logged(1, "a link of the same pair with another revision").await;
    fixture.link(Link::create(id("a"), "al".parse().unwrap())).await;
    logged(0, "a link that changes nothing").await;
    store.unlink(&id("a"), Expect::Any).await.unwrap();
    logged(1, "an unlink").await;
    fixture.link(link("a", "al")).await;
    logged(1, "a link after an unlink").await;
    store.link_many(&[link("a", "bob"), link("b", "bob"), link("c", "cy")]).await;
    logged(3, "a batch of links").await;
    let mut mapping = store.scan(PageRequest::default()).await.unwrap().items.remove(0);
    mapping.revision = Revision::new(mapping.revision.get() + 1000);
    mapping.customer_id = "al".parse().unwrap();
    store.import(&[mapping]).await;
    logged(1, "an import").await;
    store.unlink_customer(&"bob".parse().unwrap()).await.unwrap();
    logged(1, "an unlink of a customer with one mapping").await;
    fixture.link(link("d", "dora").expiring_in(Duration::ZERO)).await;
    logged(1, "a link that has expired").await;
    store.purge_expired(10).await.unwrap();
    logged(0, "a purge").await;
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
    // Told before it is done, and then by the insert.
    expected.extend([Change::Acs(id("c"), None), customer("bob"), customer("cy")]);
    expected.extend([Change::Acs(id("c"), Some(Revision::new(8))), customer("cy")]);
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
    assert_eq!(fixture.logged().await, 10_000);
}

#[tokio::test]
async fn a_subscriber_who_keeps_up_loses_nothing_however_much_is_written() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.live().await;
    let store = fixture.store.clone();
    let writer = tokio::spawn(async move {
        for start in (0..12_000_u64).step_by(500) {
            let links: Vec<_> =
                (start..start + 500).map(|n| Link::create(id(&format!("{n:05}")), CustomerId::from(n))).collect();
            assert!(store.link_many(&links).await.iter().all(Result::is_ok));
        }
    });
    for n in 0..12_000_u64 {
        assert!(matches!(next(&mut changes).await, Some(Change::Acs(found, _)) if found == id(&format!("{n:05}"))));
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
async fn a_log_that_lost_entries_may_have_hidden_something() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.live().await;
    for (name, statements) in [
        ("a", ["DELETE FROM acs_identity_changes", "SELECT 1"]),
        ("b", ["DELETE FROM acs_identity_changes WHERE acs_id = 'b'", "SELECT 1"]),
        ("c", ["DELETE FROM acs_identity_changes", "DELETE FROM sqlite_sequence"]),
    ] {
        // Nothing is read between these, as nobody asks the subscription.
        for name in ["before", name, "after"] {
            fixture.link(Link::replace(id(name), "bob".parse().unwrap())).await;
        }
        fixture.by_hand(&statements).await;
        assert_eq!(next(&mut changes).await, Some(Change::Lost(LostReason::Lagged)), "{statements:?}");
        assert_eq!(next(&mut changes).await, Some(Change::Live), "{statements:?}");
    }
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
