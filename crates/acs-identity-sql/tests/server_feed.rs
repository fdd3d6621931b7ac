//! The change feed of a server sees every change, whoever makes it, and says what it may have missed.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::time::Duration;

use acs_identity_core::{AcsId, Change, CustomerId, Link, LostReason, Revision};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{MySqlStore, PostgresStore};
use by_hand::ByHand;
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::Connection;
use store::{Settings, Store};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn open<S: Store>(database: &Database) -> S {
    S::open(S::options(database.url(), Settings::default())).await.unwrap()
}

async fn connect<S: Store>(database: &Database) -> S::Connection {
    S::Connection::connect(database.url()).await.unwrap()
}

/// The next change; a feed that says nothing for a minute is broken.
async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

async fn live<S: Store>(store: &S) -> BoxStream<'static, Change> {
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    changes
}

/// A mapping of revision 1, in a statement.
fn insert(namespace: &str, id: &str, customer: &str) -> String {
    format!(
        "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
        VALUES ('{namespace}', '{id}', '{customer}', 1, 1)"
    )
}

async fn what_is_written_by_hand_is_told<S: Store>() {
    let database = database(S::KIND).await;
    let store = open::<S>(&database).await;
    let mut changes = live(&store).await;
    let mut hand = connect::<S>(&database).await;
    hand.run(&format!("{}, ('other', 'a', 'x', 1, 1)", insert("default", "a", "bob"))).await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("a"), Some(Revision::new(1))));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    hand.run("UPDATE acs_identity_mappings SET customer_id = 'al' WHERE namespace = 'default'").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("a"), Some(Revision::new(1))));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    // A change of the key is one of both.
    hand.run("UPDATE acs_identity_mappings SET acs_id = 'b' WHERE namespace = 'default'").await;
    let told = [next(&mut changes).await, next(&mut changes).await, next(&mut changes).await, next(&mut changes).await];
    assert!(told.contains(&Change::Acs(id("a"), None)) && told.contains(&Change::Acs(id("b"), Some(Revision::new(1)))));
    hand.run("DELETE FROM acs_identity_mappings").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("b"), None));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
}

async fn a_change_that_is_committed_late_is_told<S: Store>() {
    let database = database(S::KIND).await;
    let store = open::<S>(&database).await;
    let mut changes = live(&store).await;
    // Somebody's transaction has its number in the log, and takes its time.
    let mut slow = connect::<S>(&database).await;
    slow.run("BEGIN").await;
    slow.run(&insert("default", "slow", "bob")).await;
    let linked = store.link(Link::create(id("fast"), customer("al"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("fast"), Some(linked.revision)));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    slow.run("COMMIT").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("slow"), Some(Revision::new(1))));
}

async fn a_subscriber_is_told_of_what_was_deleted_from_the_log_unread<S: Store>() {
    let database = database(S::KIND).await;
    let store = S::open(S::options(database.url(), Settings { polled: true, ..Settings::default() })).await.unwrap();
    let mut changes = live(&store).await;
    let mut hand = connect::<S>(&database).await;
    // Nothing is read for a subscriber who does not ask.
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    hand.run("DELETE FROM acs_identity_changes").await;
    assert_eq!(next(&mut changes).await, Change::Lost(LostReason::Lagged));
    assert_eq!(next(&mut changes).await, Change::Live);
    // What was read before it was deleted is not missed.
    let linked = store.link(Link::create(id("b"), customer("bob"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("b"), Some(linked.revision)));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    hand.run("DELETE FROM acs_identity_changes").await;
    let linked = store.link(Link::create(id("c"), customer("bob"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("c"), Some(linked.revision)));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    hand.run("TRUNCATE acs_identity_changes").await;
    assert_eq!(next(&mut changes).await, Change::Lost(LostReason::Lagged));
}

async fn without_its_triggers_nothing_is_told_and_all_else_works<S: Store>() {
    let database = database(S::KIND).await;
    open::<S>(&database).await.close().await;
    let mut hand = connect::<S>(&database).await;
    hand.run(match S::KIND {
        Kind::Postgres => "ALTER TABLE acs_identity_mappings DISABLE TRIGGER USER",
        _ => {
            "DROP TRIGGER acs_identity_mappings_insert; DROP TRIGGER acs_identity_mappings_update; \
            DROP TRIGGER acs_identity_mappings_delete"
        }
    })
    .await;
    // They are not made again.
    let store = open::<S>(&database).await;
    let mut changes = live(&store).await;
    let links: Vec<Link> = (0..200).map(|n| Link::create(id(&n.to_string()), customer("bob"))).collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    store.link(Link::replace(id("1"), customer("al"))).await.unwrap();
    assert_eq!(store.unlink_customer(&customer("bob")).await.unwrap(), 199);
    assert_eq!(store.resolve(&id("1")).await.unwrap().unwrap().customer_id(), &customer("al"));
    assert_eq!(hand.number("SELECT count(*) FROM acs_identity_changes").await, 0);
    // The log itself is read all the same.
    hand.run(match S::KIND {
        Kind::Postgres => "INSERT INTO acs_identity_changes (namespace, acs_id) VALUES ('default', 'by hand')",
        _ => "INSERT INTO acs_identity_changes (namespace, acs_id, at) VALUES ('default', 'by hand', 0)",
    })
    .await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("by hand"), None));
}

macro_rules! feeds {
    ($module:ident, $store:ty) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn what_is_written_by_hand_is_told() {
                super::what_is_written_by_hand_is_told::<$store>().await;
            }

            #[tokio::test]
            async fn a_change_that_is_committed_late_is_told() {
                super::a_change_that_is_committed_late_is_told::<$store>().await;
            }

            #[tokio::test]
            async fn without_its_triggers_nothing_is_told_and_all_else_works() {
                super::without_its_triggers_nothing_is_told_and_all_else_works::<$store>().await;
            }

            #[tokio::test]
            async fn a_subscriber_is_told_of_what_was_deleted_from_the_log_unread() {
                super::a_subscriber_is_told_of_what_was_deleted_from_the_log_unread::<$store>().await;
            }
        }
    };
}

feeds!(mysql, MySqlStore);
feeds!(postgres, PostgresStore);
