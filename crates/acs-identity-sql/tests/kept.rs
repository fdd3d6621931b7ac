//! What was removed does not stay longer than it has to.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/still.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod still;

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, Clock, CustomerId, Expect, Link, LostReason, MappingStore, Resolver, Revision,
};
use by_hand::ByHand;
use futures::StreamExt;
use futures::stream::BoxStream;
use still::{InMySql, InPostgres, InSqlite, Still};

const HOUR: Duration = Duration::from_secs(3600);

fn id(n: usize) -> AcsId {
    n.to_string().parse().unwrap()
}

fn bob() -> CustomerId {
    "bob".parse().unwrap()
}

struct Fixture<S: Still> {
    still: S,
    store: S::Store,
    by_hand: S::Connection,
}

impl<S: Still> Fixture<S> {
    async fn new() -> Self {
        let still = S::new().await;
        still.show().await;
        Self { store: still.store().clone(), by_hand: still.by_hand().await, still }
    }

    async fn count(&mut self, sql: &str) -> i64 {
        self.by_hand.number(sql).await
    }

    async fn tombstones(&mut self) -> i64 {
        self.count("SELECT count(*) FROM acs_identity_mappings WHERE customer_id IS NULL").await
    }

    async fn logged(&mut self) -> i64 {
        self.count("SELECT count(*) FROM acs_identity_changes").await
    }

    /// Makes every entry of the log an hour older.
    async fn age_the_log(&mut self) {
        self.by_hand.run(S::AGE_THE_LOG).await;
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

/// Lets the subscriber look a few times and find nothing. Until it has, a transaction of anybody else on the server that was
/// under way beside the last change counts as one whose changes it may miss.
async fn quiet(changes: &mut BoxStream<'static, Change>) {
    assert!(tokio::time::timeout(Duration::from_millis(100), changes.next()).await.is_err());
}

async fn a_customer_who_is_unlinked_leaves_nothing_of_what_had_expired<S: Still>() {
    let mut fixture = Fixture::<S>::new().await;
    let store = fixture.store.clone();
    let first = store.link(Link::create(id(0), bob()).expiring_in(HOUR)).await.unwrap().revision;
    store.link(Link::create(id(1), bob())).await.unwrap();
    let start = fixture.still.clock().now();
    fixture.still.advance(HOUR).await;
    assert_eq!(store.unlink_customer(&bob()).await.unwrap(), 1);
    assert_eq!(fixture.tombstones().await, 2);
    assert_eq!(fixture.count("SELECT count(*) FROM acs_identity_mappings").await, 2);
    // An expiry is no change, whoever cleans up after it.
    let removals = "SELECT count(*) FROM acs_identity_changes WHERE customer_after IS NULL";
    assert_eq!(fixture.count(removals).await, 1);
    // And the ID's revision rises across it, even if the clock goes back.
    fixture.still.set(start).await;
    let again = store.link(Link::create(id(0), bob())).await.unwrap().revision;
    assert_eq!(again, Revision::new(first.get() + 1));
}

async fn a_purge_deletes_what_is_old_in_the_log_though_nothing_expires<S: Still>() {
    let mut fixture = Fixture::<S>::new().await;
    for _ in 0..6 {
        fixture.link_100().await;
        fixture.store.unlink_customer(&bob()).await.unwrap();
    }
    assert_eq!(fixture.store.purge_expired(5000).await.unwrap(), 0);
    fixture.still.settle().await;
    assert_eq!(fixture.logged().await, 1200);
    fixture.age_the_log().await;
    fixture.still.advance(HOUR).await;
    assert_eq!(fixture.store.purge_expired(90).await.unwrap(), 0);
    assert_eq!((fixture.logged().await, fixture.tombstones().await), (1110, 10));
    assert_eq!(fixture.store.purge_expired(5000).await.unwrap(), 0);
    assert_eq!((fixture.logged().await, fixture.tombstones().await), (0, 0));
}

async fn a_subscriber_of_a_quiet_system_keeps_its_place_in_an_empty_log<S: Still>() {
    let mut fixture = Fixture::<S>::new().await;
    let store = fixture.store.clone();
    let mut changes = fixture.live().await;
    for n in 0..3 {
        let revision = store.link(Link::create(id(n), bob())).await.unwrap().revision;
        assert_eq!(next(&mut changes).await, Change::Acs(id(n), Some(revision)));
        assert_eq!(next(&mut changes).await, Change::Customer(bob()));
        quiet(&mut changes).await;
        fixture.age_the_log().await;
        store.purge_expired(10).await.unwrap();
        assert_eq!(fixture.logged().await, 0);
        quiet(&mut changes).await;
    }
    let revision = store.link(Link::create(id(3), bob())).await.unwrap().revision;
    assert_eq!(fixture.logged().await, 1);
    assert_eq!(next(&mut changes).await, Change::Acs(id(3), Some(revision)));
}

async fn a_subscriber_who_did_not_look_for_an_hour_is_told_so<S: Still>() {
    let mut fixture = Fixture::<S>::new().await;
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
    store.purge_expired(10).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Lost(LostReason::Lagged));
}
/// On a server in the background, after some dozen rows.
async fn writes_forget_what_is_old<S: Still>() {
    let mut fixture = Fixture::<S>::new().await;
    fixture.link_100().await;
    assert_eq!(fixture.store.unlink_customer(&bob()).await.unwrap(), 100);
    fixture.still.settle().await;
    fixture.still.advance(HOUR).await;
    fixture.age_the_log().await;
    assert_eq!((fixture.tombstones().await, fixture.logged().await), (100, 200));
    let start = tokio::time::Instant::now();
    for n in 0.. {
        let old = fixture.count("SELECT count(*) FROM acs_identity_changes WHERE acs_id < 'a'").await;
        if fixture.tombstones().await + old == 0 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{old} entries of the log are left");
        let links: Vec<_> =
            (0..10).map(|m| Link::replace(format!("b{m}").parse().unwrap(), CustomerId::from(n))).collect();
        assert!(fixture.store.link_many(&links).await.iter().all(Result::is_ok));
    }
    // And nothing else.
    for m in 0..10 {
        assert!(fixture.store.resolve(&format!("b{m}").parse().unwrap()).await.unwrap().is_some());
    }
}

macro_rules! kept {
    ($module:ident, $still:ty) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn a_customer_who_is_unlinked_leaves_nothing_of_what_had_expired() {
                super::a_customer_who_is_unlinked_leaves_nothing_of_what_had_expired::<$still>().await;
            }

            #[tokio::test]
            async fn a_purge_deletes_what_is_old_in_the_log_though_nothing_expires() {
                super::a_purge_deletes_what_is_old_in_the_log_though_nothing_expires::<$still>().await;
            }

            #[tokio::test]
            async fn a_subscriber_of_a_quiet_system_keeps_its_place_in_an_empty_log() {
                super::a_subscriber_of_a_quiet_system_keeps_its_place_in_an_empty_log::<$still>().await;
            }

            #[tokio::test]
            async fn a_subscriber_who_did_not_look_for_an_hour_is_told_so() {
                super::a_subscriber_who_did_not_look_for_an_hour_is_told_so::<$still>().await;
            }

            #[tokio::test]
            async fn writes_forget_what_is_old() {
                super::writes_forget_what_is_old::<$still>().await;
            }
        }
    };
}

kept!(mysql, InMySql);
kept!(postgres, InPostgres);
kept!(sqlite, InSqlite);

/// SQLite forgets within the writes, so that it is known how much.
mod within_a_write {
    use super::*;

    #[tokio::test]
    async fn a_subscriber_keeps_its_place_when_a_write_deletes_all_before_it() {
        let mut fixture = Fixture::<InSqlite>::new().await;
        let mut changes = fixture.live().await;
        for n in 0..3 {
            let revision = fixture.store.link(Link::create(id(n), bob())).await.unwrap().revision;
            assert_eq!(fixture.logged().await, 1);
            assert_eq!(next(&mut changes).await, Change::Acs(id(n), Some(revision)));
            assert_eq!(next(&mut changes).await, Change::Customer(bob()));
            fixture.age_the_log().await;
        }
    }

    #[tokio::test]
    async fn every_write_forgets_some_of_the_tombstones_whose_time_is_over() {
        let mut fixture = Fixture::<InSqlite>::new().await;
        let store = fixture.store.clone();
        let other = fixture.still.in_namespace("other".parse().unwrap());
        fixture.link_100().await;
        store.link(Link::create(id(100), "al".parse().unwrap())).await.unwrap();
        assert_eq!(store.unlink_customer(&bob()).await.unwrap(), 100);
        fixture.still.advance(HOUR - Duration::from_micros(1)).await;
        store.unlink(&id(200), Expect::Any).await.unwrap();
        assert_eq!(fixture.tombstones().await, 100);
        fixture.still.advance(Duration::from_micros(1)).await;
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
        let mut fixture = Fixture::<InSqlite>::new().await;
        let links: Vec<_> = (0..500).map(|n| Link::create(id(n), CustomerId::from(n as u64 / 100))).collect();
        fixture.store.link_many(&links).await;
        for customer in 0..5_u64 {
            assert_eq!(fixture.store.unlink_customer(&customer.into()).await.unwrap(), 100);
            assert_eq!(fixture.tombstones().await, 100);
            fixture.still.advance(HOUR).await;
        }
        fixture.link_100().await;
        assert_eq!(fixture.tombstones().await, 0);
    }

    #[tokio::test]
    async fn changes_delete_what_is_old_in_the_log() {
        let mut fixture = Fixture::<InSqlite>::new().await;
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
}
