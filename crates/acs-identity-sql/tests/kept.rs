//! What was removed does not stay longer than it has to.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, Clock, CustomerId, Expect, Link, LostReason, MappingStore, Revision,
};
use acs_identity_sql::{SqliteOptions, SqliteStore};
use acs_identity_testkit::ManualClock;
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

const HOUR: Duration = Duration::from_secs(3600);

fn id(n: usize) -> AcsId {
    n.to_string().parse().unwrap()
}

fn bob() -> CustomerId {
    "bob".parse().unwrap()
}

struct Fixture {
    store: SqliteStore,
    clock: ManualClock,
    by_hand: SqliteConnection,
    // Removed when the test ends.
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, clock) = (folder.path().join("a.db"), ManualClock::new());
        let options = SqliteOptions::file(&path).clock(Arc::new(clock.clone()));
        let store = options.poll_interval(Duration::from_millis(5)).open().await.unwrap();
        let by_hand = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        Self { store, clock, by_hand, _folder: folder }
    }

    async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.by_hand).await.unwrap()
    }

    async fn tombstones(&mut self) -> i64 {
        self.count("SELECT count(*) FROM acs_identity_mappings WHERE customer_id IS NULL").await
    }

    async fn logged(&mut self) -> i64 {
        self.count("SELECT count(*) FROM acs_identity_changes").await
    }

    /// Makes every entry of the log an hour older.
    async fn age_the_log(&mut self) {
        sqlx::query("UPDATE acs_identity_changes SET at = at - 3600").execute(&mut self.by_hand).await.unwrap();
    }

    async fn link_100(&self) {
        let links: Vec<_> = (0..100).map(|n| Link::create(id(n), bob())).collect();
        assert!(self.store.link_many(&links).await.iter().all(Result::is_ok));
    }

    async fn live(&self) -> BoxStream<'static, Change> {
        let mut changes = self.store.changes();
        assert_eq!(next(&mut changes).await, Change::Live);
        changes
    }
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    let change = tokio::time::timeout(Duration::from_secs(60), changes.next()).await;
    change.expect("news in time").expect("the store is open")
}

#[tokio::test]
async fn a_customer_who_is_unlinked_leaves_nothing_of_what_had_expired() {
    let mut fixture = Fixture::new().await;
    let store = fixture.store.clone();
    let first = store.link(Link::create(id(0), bob()).expiring_in(HOUR)).await.unwrap().revision;
    store.link(Link::create(id(1), bob())).await.unwrap();
    let start = fixture.clock.now();
    fixture.clock.advance(HOUR);
    assert_eq!(store.unlink_customer(&bob()).await.unwrap(), 1);
    assert_eq!(fixture.tombstones().await, 2);
    assert_eq!(fixture.count("SELECT count(*) FROM acs_identity_mappings").await, 2);
    // An expiry is no change, whoever cleans up after it.
    let removals = "SELECT count(*) FROM acs_identity_changes WHERE customer_after IS NULL";
    assert_eq!(fixture.count(removals).await, 1);
    // And the ID's revision rises across it, even if the clock goes back.
    fixture.clock.set(start);
    let again = store.link(Link::create(id(0), bob())).await.unwrap().revision;
    assert_eq!(again, Revision::new(first.get() + 1));
}

#[tokio::test]
async fn every_write_forgets_some_of_the_tombstones_whose_time_is_over() {
    let mut fixture = Fixture::new().await;
    let store = fixture.store.clone();
    let other = store.in_namespace("other".parse().unwrap());
    fixture.link_100().await;
    store.link(Link::create(id(100), "al".parse().unwrap())).await.unwrap();
    assert_eq!(store.unlink_customer(&bob()).await.unwrap(), 100);
    fixture.clock.advance(HOUR - Duration::from_micros(1));
    store.unlink(&id(200), Expect::Any).await.unwrap();
    assert_eq!(fixture.tombstones().await, 100);
    fixture.clock.advance(Duration::from_micros(1));
    for n in 0.. {
        let before = fixture.tombstones().await;
        if before == 0 {
            break;
        }
        // Also one that changes nothing, and one of another namespace.
        match n % 3 {
            0 => drop(store.link(Link::create(id(100), "al".parse().unwrap())).await.unwrap()),
            1 => drop(other.unlink(&id(0), Expect::Any).await.unwrap()),
            _ => drop(store.unlink_customer(&"al".parse().unwrap()).await.unwrap()),
        }
        let after = fixture.tombstones().await;
        assert!(after < before && before - after < 100, "{after} of {before} are left");
    }
}

#[tokio::test]
async fn as_many_tombstones_are_forgotten_as_are_made() {
    let mut fixture = Fixture::new().await;
    let links: Vec<_> = (0..500).map(|n| Link::create(id(n), CustomerId::from(n as u64 / 100))).collect();
    fixture.store.link_many(&links).await;
    for customer in 0..5_u64 {
        assert_eq!(fixture.store.unlink_customer(&customer.into()).await.unwrap(), 100);
        assert_eq!(fixture.tombstones().await, 100);
        fixture.clock.advance(HOUR);
    }
    fixture.link_100().await;
    assert_eq!(fixture.tombstones().await, 0);
}

#[tokio::test]
async fn changes_delete_what_is_old_in_the_log() {
    let mut fixture = Fixture::new().await;
    for _ in 0..6 {
        fixture.link_100().await;
        fixture.store.unlink_customer(&bob()).await.unwrap();
    }
    assert_eq!(fixture.logged().await, 1200);
    fixture.store.link(Link::create(id(0), bob())).await.unwrap();
    assert_eq!(fixture.logged().await, 1201);
    fixture.age_the_log().await;
    for (n, left) in [702, 203, 3, 4].into_iter().enumerate() {
        fixture.store.link(Link::create(id(n + 1), bob())).await.unwrap();
        assert_eq!(fixture.logged().await, left);
    }
}

#[tokio::test]
async fn a_purge_deletes_what_is_old_in_the_log_though_nothing_expires() {
    let mut fixture = Fixture::new().await;
    for _ in 0..6 {
        fixture.link_100().await;
        fixture.store.unlink_customer(&bob()).await.unwrap();
    }
    assert_eq!(fixture.store.purge_expired(5000).await.unwrap(), 0);
    assert_eq!(fixture.logged().await, 1200);
    fixture.age_the_log().await;
    fixture.clock.advance(HOUR);
    assert_eq!(fixture.store.purge_expired(90).await.unwrap(), 0);
    assert_eq!((fixture.logged().await, fixture.tombstones().await), (1110, 10));
    assert_eq!(fixture.store.purge_expired(5000).await.unwrap(), 0);
    assert_eq!((fixture.logged().await, fixture.tombstones().await), (0, 0));
}

#[tokio::test]
async fn a_subscriber_of_a_quiet_system_keeps_its_place_in_an_empty_log() {
    let mut fixture = Fixture::new().await;
    let store = fixture.store.clone();
    let mut changes = fixture.live().await;
    for n in 0..3 {
        let revision = store.link(Link::create(id(n), bob())).await.unwrap().revision;
        assert_eq!(next(&mut changes).await, Change::Acs(id(n), Some(revision)));
        assert_eq!(next(&mut changes).await, Change::Customer(bob()));
        fixture.age_the_log().await;
        if n < 2 {
            // The last one is left to the next write.
            store.purge_expired(10).await.unwrap();
            assert_eq!(fixture.logged().await, 0);
            assert!(tokio::time::timeout(Duration::from_millis(50), changes.next()).await.is_err());
        }
    }
    let revision = store.link(Link::create(id(3), bob())).await.unwrap().revision;
    assert_eq!(fixture.logged().await, 1);
    assert_eq!(next(&mut changes).await, Change::Acs(id(3), Some(revision)));
}

#[tokio::test]
async fn a_subscriber_who_did_not_look_for_an_hour_is_told_so() {
    let mut fixture = Fixture::new().await;
    let store = fixture.store.clone();
    let mut changes = fixture.live().await;
    store.link(Link::create(id(0), bob())).await.unwrap();
    fixture.age_the_log().await;
    store.purge_expired(10).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Lost(LostReason::Lagged));
    assert_eq!(next(&mut changes).await, Change::Live);
    // The same if there is more in the log by then.
    store.link(Link::create(id(1), bob())).await.unwrap();
    fixture.age_the_log().await;
    store.link(Link::create(id(2), bob())).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Lost(LostReason::Lagged));
}
