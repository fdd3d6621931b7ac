//! How a store on a server is opened: options, who makes the tables, and what is refused.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::process::{Command, Stdio};
use std::time::Duration;

use acs_identity_core::{AcsId, Change, CustomerId, ErrorKind, Expect, Link, MappingStoreExt, PageRequest};
use acs_identity_servers::{Kind, database, database_with};
use acs_identity_sql::{MySqlStore, PostgresStore};
use by_hand::ByHand;
use futures::{StreamExt, TryStreamExt};
use sqlx::Connection;
use store::{Settings, Store};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn open<S: Store>(url: &str) -> acs_identity_core::Result<S> {
    S::open(S::options(url, Settings::default())).await
}

async fn ids_are_bytes_whatever_the_collation_of_the_database_is<S: Store>() {
    let database = database_with(S::KIND, S::CARELESS).await;
    let store = open::<S>(database.url()).await.unwrap();
    let ids = ["Bob", "B\u{f3}b", "Z", "bob", "bob ", "bo\u{301}b", "b\u{f3}b"].map(id);
    for (n, id) in ids.iter().enumerate() {
        assert!(store.link(Link::create(id.clone(), CustomerId::from(n as u64))).await.unwrap().changed);
    }
    for (n, answer) in store.resolve_many(&ids).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap().customer_id(), &CustomerId::from(n as u64));
    }
    // Their order is that of the bytes, too: each page begins after the ID that the one before ended with.
    let (mut listed, mut page) = (Vec::new(), PageRequest::first(1).unwrap());
    loop {
        let found = store.scan(page).await.unwrap();
        listed.extend(found.items.into_iter().map(|mapping| mapping.acs_id));
        match found.next {
            Some(next) => page = PageRequest::first(1).unwrap().after(next),
            None => break,
        }
    }
    assert_eq!(listed, ids);
}

async fn a_newer_schema_is_refused_and_a_missing_one_is_not_made_unasked<S: Store>() {
    let database = database(S::KIND).await;
    let cautious = || S::open(S::options(database.url(), Settings { migrate: false, ..Settings::default() }));
    assert_eq!(cautious().await.unwrap_err().kind(), ErrorKind::Misconfigured);
    // As an administrator would make it.
    let mut hand = S::Connection::connect(database.url()).await.unwrap();
    hand.run(&S::schema()).await;
    let store = cautious().await.unwrap();
    assert!(store.link(Link::create(id("a"), customer("bob"))).await.unwrap().changed);
    hand.run("INSERT INTO acs_identity_schema (version) VALUES (1000)").await;
    for opened in [open::<S>(database.url()).await, cautious().await] {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().contains("1000"), "{error}");
    }
    // It is left as it is.
    assert_eq!(hand.numbers("SELECT version FROM acs_identity_schema ORDER BY version").await, [1, 1000]);
}

async fn four_rights_on_the_tables_are_all_that_is_needed<S: Store>() {
    let database = database(S::KIND).await;
    open::<S>(database.url()).await.unwrap().close().await;
    // Roles are the whole server's, so this one has the name of the database.
    let (role, rights) = (database.name(), "SELECT, INSERT, UPDATE, DELETE");
    let mut hand = S::Connection::connect(database.url()).await.unwrap();
    let tables = ["mappings", "changes", "schema", "trimmed"].map(|name| format!("acs_identity_{name}"));
    let drop = match S::KIND {
        Kind::Postgres => {
            hand.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA public TO {role}"))
                .await;
            hand.run(&format!("GRANT {rights} ON {} TO {role}", tables.join(", "))).await;
            format!("DROP OWNED BY {role}; DROP ROLE {role}")
        }
        _ => {
            hand.run(&format!("CREATE USER {role} IDENTIFIED BY 'secret'")).await;
            for table in tables {
                hand.run(&format!("GRANT {rights} ON {role}.{table} TO {role}")).await;
            }
            format!("DROP USER {role}")
        }
    };
    let (_, rest) = database.url().split_once('@').unwrap();
    let store = open::<S>(&format!("{}://{role}:secret@{rest}", S::SCHEME)).await.unwrap();
    let mut changes = store.changes();
    assert_eq!(changes.next().await, Some(Change::Live));
    let links: Vec<Link> = (0..300).map(|n| Link::create(id(&n.to_string()), customer("bob"))).collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    assert!(matches!(changes.next().await, Some(Change::Acs(..))));
    let replaced = store.link(Link::replace(id("0"), customer("al"))).await.unwrap();
    assert!(
        store.link(Link::create(id("x"), customer("al")).expiring_in(Duration::from_millis(1))).await.unwrap().changed
    );
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(store.resolve(&id("0")).await.unwrap().unwrap().revision(), Some(replaced.revision));
    assert!(store.unlink(&id("1"), Expect::Any).await.unwrap().is_some());
    assert_eq!(store.unlink_customer(&customer("bob")).await.unwrap(), 298);
    assert_eq!(store.scan_all().try_collect::<Vec<_>>().await.unwrap().len(), 1);
    // Of what is over an hour old, too.
    let age = if S::KIND == Kind::Postgres { "at - interval '2 hours'" } else { "at - 7200000000" };
    hand.run(&format!("UPDATE acs_identity_changes SET at = {age}")).await;
    hand.run("UPDATE acs_identity_mappings SET expires_at = 1 WHERE customer_id IS NULL").await;
    assert_eq!(store.purge_expired(1000).await.unwrap(), 1);
    assert_eq!(hand.number("SELECT count(*) FROM acs_identity_mappings").await, 2);
    assert!(hand.number("SELECT count(*) FROM acs_identity_changes").await < 10);
    store.close().await;
    hand.run(&drop).await;
}

async fn wrong_options_are_refused_before_any_io_and_wrong_credentials_by_the_server<S: Store>() {
    let (scheme, url) = (S::SCHEME, format!("{}://localhost/x", S::SCHEME));
    let other = if scheme == "mysql" { "postgres" } else { "mysql" };
    for wrong in [
        S::options(&format!("{other}://localhost/x"), Settings::default()),
        S::options("localhost", Settings::default()),
        S::options(&format!("{scheme}://localhost:port/x"), Settings::default()),
        S::options(&url, Settings { connections: 0, ..Settings::default() }),
        S::options(&url, Settings { deadline: Duration::ZERO, ..Settings::default() }),
    ] {
        assert!(!format!("{wrong:?}").contains("localhost"));
        assert_eq!(S::open(wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let database = database(S::KIND).await;
    let (start, rest) = database.url().split_once('@').unwrap();
    let (user, _) = start.rsplit_once(':').unwrap();
    let error = open::<S>(&format!("{user}:wrong-secret@{rest}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(!format!("{error:?}").contains("wrong-secret"));
    let elsewhere = database.url().replace(database.name(), "no_such_database");
    assert_eq!(open::<S>(&elsewhere).await.unwrap_err().kind(), ErrorKind::Misconfigured);
}

async fn many_clients_may_open_an_empty_database_at_once<S: Store>() {
    let database = database(S::KIND).await;
    let opened = (0..10).map(|_| {
        let url = database.url().to_owned();
        tokio::spawn(async move { open::<S>(&url).await })
    });
    for store in futures::future::join_all(opened).await {
        store.unwrap().unwrap().ping().await.unwrap();
    }
}

/// Set for the processes that a test starts of itself.
const CHILD: &str = "ACS_IDENTITY_TEST_DATABASE";

async fn ten_processes_may_open_an_empty_database_at_once<S: Store>(test: &str) {
    let link = |name: &str| Link::create(id(&format!("8:acs:r_{name}")), customer(name));
    if let Ok(url) = std::env::var(CHILD) {
        let store = open::<S>(&url).await.unwrap();
        store.link(link(&std::process::id().to_string())).await.unwrap();
        store.close().await;
        return;
    }
    let database = database(S::KIND).await;
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CHILD, database.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..10).map(|_| start()).collect();
    let mut names = Vec::new();
    for child in children {
        names.push(child.id().to_string());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    let store = open::<S>(database.url()).await.unwrap();
    for name in names {
        let found = store.resolve(&link(&name).acs_id).await.unwrap().unwrap();
        assert_eq!(found.customer_id().as_str(), name);
    }
    let mut hand = S::Connection::connect(database.url()).await.unwrap();
    assert_eq!(hand.numbers("SELECT version FROM acs_identity_schema").await, [1]);
    assert_eq!(hand.number("SELECT count(*) FROM acs_identity_changes").await, 10, "each trigger is there once");
}

macro_rules! openings {
    ($module:ident, $store:ty) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn ids_are_bytes_whatever_the_collation_of_the_database_is() {
                super::ids_are_bytes_whatever_the_collation_of_the_database_is::<$store>().await;
            }

            #[tokio::test]
            async fn a_newer_schema_is_refused_and_a_missing_one_is_not_made_unasked() {
                super::a_newer_schema_is_refused_and_a_missing_one_is_not_made_unasked::<$store>().await;
            }

            #[tokio::test]
            async fn four_rights_on_the_tables_are_all_that_is_needed() {
                super::four_rights_on_the_tables_are_all_that_is_needed::<$store>().await;
            }

            #[tokio::test]
            async fn wrong_options_are_refused_before_any_io_and_wrong_credentials_by_the_server() {
                super::wrong_options_are_refused_before_any_io_and_wrong_credentials_by_the_server::<$store>().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn many_clients_may_open_an_empty_database_at_once() {
                super::many_clients_may_open_an_empty_database_at_once::<$store>().await;
            }

            #[tokio::test]
            async fn ten_processes_may_open_an_empty_database_at_once() {
                let test = concat!(stringify!($module), "::ten_processes_may_open_an_empty_database_at_once");
                super::ten_processes_may_open_an_empty_database_at_once::<$store>(test).await;
            }
        }
    };
}

openings!(mysql, MySqlStore);
openings!(postgres, PostgresStore);
