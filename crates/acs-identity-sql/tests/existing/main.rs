//! A resolver over a table that an application has already.
#![allow(clippy::unwrap_used)]

mod app;
mod mysql;
mod postgres;

use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, ErrorKind, IdentityMap, Resolver};
use acs_identity_sql::{SqliteTable, TableOptions};

use app::{App, MySql, NAMES, Postgres, Sqlite, id, short, users};

/// Each check as a test for each database.
macro_rules! checks {
    ($($name:ident)*) => {
        mod in_mysql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::MySql::new().await).await;
            })*
        }
        mod in_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::Postgres::new().await).await;
            })*
        }
        mod in_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::Sqlite::new().await).await;
            })*
        }
    };
}

checks! {
    customers_of_any_type_are_told_as_text
    customers_that_are_floating_point_numbers_are_refused
    only_the_same_bytes_are_the_same_id
    two_rows_of_an_id_are_a_conflict_and_spoil_no_other
    no_customer_is_absent_and_a_bad_one_is_corrupt
    any_name_is_only_a_name
    a_bad_name_is_refused_before_any_call
    what_is_not_there_is_misconfigured_and_may_come_later
    many_ids_come_back_in_their_order
    an_identity_map_takes_it_as_its_resolver
    a_view_will_do
}

async fn customers_of_any_type_are_told_as_text<A: App>(app: &A) {
    for (kind, sql, text) in A::TYPES {
        app.make(kind).await;
        app.run(&format!("INSERT INTO \"Users\" VALUES ({sql}, '8:acs:r_1')")).await;
        assert_eq!(app.ask(&["8:acs:r_1", "8:acs:r_2"]).await, [*text, "absent"], "{kind}");
    }
}

async fn customers_that_are_floating_point_numbers_are_refused<A: App>(app: &A) {
    for kind in A::FLOATS {
        app.make(kind).await;
        app.run("INSERT INTO \"Users\" VALUES (16777217, '8:acs:r_1'), (NULL, '8:acs:r_2'), (1.5, '8:acs:R_1')").await;
        let resolver = app.resolver(users()).unwrap();
        let error = resolver.resolve(&id("8:acs:r_1")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{kind}: {error}");
        assert!(error.message().contains("floating-point"), "{kind}: {error}");
        let answers = resolver.resolve_many(&[id("8:acs:r_0"), id("8:acs:r_1")]).await;
        assert!(answers.iter().all(|answer| short(answer) == "Misconfigured"), "{kind}");
    }
}

async fn only_the_same_bytes_are_the_same_id<A: App>(app: &A) {
    app.make("integer").await;
    app.run("INSERT INTO \"Users\" VALUES (1, '8:acs:r_a'), (2, '8:acs:R_a'), (3, '8:acs:r_a ')").await;
    // The collation itself takes the letters for the same in all databases, and in MySQL the spaces at the end, too.
    let asked = ["8:acs:r_a", "8:acs:R_a", "8:acs:r_a ", "8:acs:r_A", "8:acs:r_a  ", "8:acs:R_a "];
    assert_eq!(app.ask(&asked).await, ["1", "2", "3", "absent", "absent", "absent"]);

    // Also if they are asked with different statements of one batch.
    let many: Vec<String> = (0..200).map(|n| format!("8:acs:r_{n}")).collect();
    let mut ids: Vec<&str> = many.iter().map(String::as_str).collect();
    ids.insert(0, "8:acs:r_a");
    ids.push("8:acs:R_a");
    let answers = app.ask(&ids).await;
    assert_eq!((answers[0].as_str(), answers[201].as_str()), ("1", "2"));
    assert!(answers[1..201].iter().all(|answer| answer == "absent"));
}

async fn two_rows_of_an_id_are_a_conflict_and_spoil_no_other<A: App>(app: &A) {
    app.make("integer").await;
    let rows = "(1, 'one'), (2, 'two'), (3, 'two'), (4, 'same'), (4, 'same'), (5, 'half'), (NULL, 'half')";
    app.run(&format!("INSERT INTO \"Users\" VALUES {rows}")).await;
    let answers = app.ask(&["one", "two", "same", "half", "none"]).await;
    assert_eq!(answers, ["1", "Conflict", "Conflict", "Conflict", "absent"]);
}

async fn no_customer_is_absent_and_a_bad_one_is_corrupt<A: App>(app: &A) {
    app.make("text").await;
    let long = "x".repeat(1025);
    let rows =
        format!("(NULL, 'null'), ('', 'empty'), ('a\nb', 'line'), ('{long}', 'long'), ('bob', NULL), ('eve', 'eve')");
    app.run(&format!("INSERT INTO \"Users\" VALUES {rows}")).await;
    let answers = app.ask(&["null", "empty", "line", "long", "eve", "bob"]).await;
    assert_eq!(answers, ["absent", "Corrupt", "Corrupt", "Corrupt", "eve", "absent"]);

    let error = app.resolver(users()).unwrap().resolve(&id("line")).await.unwrap_err();
    assert_eq!(error.operation(), Some("resolve"));
    assert!(error.backend().is_some());
    assert!(!format!("{error} {error:?}").contains("line"));
}

async fn any_name_is_only_a_name<A: App>(app: &A) {
    app.run("CREATE TABLE x (one integer)").await;
    for name in NAMES.iter().filter(|name| !A::NO_NAMES.contains(name)) {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        app.run(&format!("CREATE TABLE {quoted} ({quoted} text, \"{}\" text)", name.replace('"', "\"\"") + "2")).await;
        app.run(&format!("INSERT INTO {quoted} VALUES ('8:acs:r_1', 'bob')")).await;
        let table = TableOptions::new(*name).acs_id_column(*name).customer_id_column(format!("{name}2"));
        let resolver = app.resolver(table).unwrap();
        for _ in 0..2 {
            assert_eq!(short(&resolver.resolve(&id("8:acs:r_1")).await), "bob", "{name:?}");
        }
        app.run(&format!("DROP TABLE {quoted}")).await;
    }
    app.run("SELECT one FROM x").await;
}

async fn a_bad_name_is_refused_before_any_call<A: App>(app: &A) {
    let long = "x".repeat(1001);
    for bad in ["", "a\0b", &long].iter().chain(A::NO_NAMES).copied() {
        let one_bad = [
            TableOptions::new(bad).acs_id_column("a").customer_id_column("b"),
            TableOptions::new("a").acs_id_column(bad).customer_id_column("b"),
            TableOptions::new("a").acs_id_column("a").customer_id_column(bad),
            users().schema(bad),
        ];
        for table in one_bad {
            assert_eq!(app.resolver(table).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
    }
    let unnamed = app.resolver(TableOptions::new("a").acs_id_column("a")).unwrap_err();
    assert_eq!(unnamed.message(), "the customer ID column has no name");
    for deadline in [Duration::ZERO, TableOptions::MAX_WAIT + Duration::from_secs(1)] {
        assert_eq!(app.resolver(users().call_deadline(deadline)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

async fn what_is_not_there_is_misconfigured_and_may_come_later<A: App>(app: &A) {
    assert_eq!(app.ask(&["a", "b", "a"]).await, ["Misconfigured"; 3]);
    app.make("integer").await;
    app.run("INSERT INTO \"Users\" VALUES (1, 'a')").await;
    assert_eq!(app.ask(&["a", "b", "a"]).await, ["1", "absent", "1"]);

    // Never the name itself as a text, which SQLite makes of a name that it does not know.
    for table in [users().customer_id_column("Nobody"), users().acs_id_column("a"), users().schema("nowhere")] {
        let error = app.resolver(table).unwrap().resolve(&id("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(!error.to_string().contains("store made"), "{error}");
    }

    // A statement that is prepared already goes on when the table has changed.
    let resolver = app.resolver(users()).unwrap();
    assert_eq!(short(&resolver.resolve(&id("a")).await), "1");
    app.make("text").await;
    app.run("INSERT INTO \"Users\" VALUES ('bob', 'a')").await;
    assert_eq!(short(&resolver.resolve(&id("a")).await), "bob");
}

async fn many_ids_come_back_in_their_order<A: App>(app: &A) {
    app.make("integer").await;
    let rows: Vec<String> = (0..400).map(|n| format!("({n}, '8:acs:r_{n}')")).collect();
    app.run(&format!("INSERT INTO \"Users\" VALUES {}", rows.join(", "))).await;
    let resolver = app.resolver(users()).unwrap();
    // Each of 500 again and again, in a mixed order, of which 400 are there. An array has at most 16,384.
    let numbers: Vec<usize> = (0..16_385).map(|n| n * 337 % 500).collect();
    for count in [0, 1, 2, 8, 9, 64, 65, 128, 129, 1000, 16_384, 16_385] {
        let numbers = &numbers[..count];
        let ids: Vec<AcsId> = numbers.iter().map(|n| id(&format!("8:acs:r_{n}"))).collect();
        let answers: Vec<String> = resolver.resolve_many(&ids).await.iter().map(short).collect();
        let expected: Vec<String> =
            numbers.iter().map(|n| if *n < 400 { n.to_string() } else { "absent".to_owned() }).collect();
        assert_eq!(answers, expected);
    }
}

async fn an_identity_map_takes_it_as_its_resolver<A: App>(app: &A) {
    app.make("integer").await;
    app.run("INSERT INTO \"Users\" VALUES (17, '8:acs:r_1')").await;
    let map = IdentityMap::new(app.resolver(users()).unwrap());
    let found = map.resolve(&id("8:acs:r_1")).await.unwrap().unwrap();
    assert_eq!(found.customer_id(), &CustomerId::from(17));
    assert!(found.properties().is_empty() && map.resolve(&id("8:acs:r_2")).await.unwrap().is_none());
}

async fn a_view_will_do<A: App>(app: &A) {
    app.make("integer").await;
    app.run("INSERT INTO \"Users\" VALUES (17, '8:acs:r_1')").await;
    let sql = "SELECT 'user-' || \"Id\" AS name, \"CommunicationServicesId\" AS acs FROM \"Users\"";
    app.run(&format!("CREATE VIEW people AS {sql}")).await;
    let view = TableOptions::new("people").acs_id_column("acs").customer_id_column("name");
    let view = app.resolver(view).unwrap();
    assert_eq!(short(&view.resolve(&id("8:acs:r_1")).await), "user-17");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_a_database_and_an_attached_file_are_named_by_themselves() {
    let app = Postgres::new().await;
    app.run("CREATE SCHEMA \"my app\"; CREATE TABLE \"my app\".users (id uuid, acs text)").await;
    app.run("INSERT INTO \"my app\".users VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '8:acs:r_1')").await;
    let table = TableOptions::new("users").schema("my app").acs_id_column("acs").customer_id_column("id");
    let found = app.resolver(table).unwrap().resolve(&id("8:acs:r_1")).await;
    assert_eq!(short(&found), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");

    let app = MySql::new().await;
    let other = format!("{} 2", app.database.name());
    app.run(&format!("CREATE DATABASE \"{other}\"; CREATE TABLE \"{other}\".users (id uuid, acs text)")).await;
    let row = "('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '8:acs:r_1')";
    app.run(&format!("INSERT INTO \"{other}\".users VALUES {row}")).await;
    let table = TableOptions::new("users").schema(&other).acs_id_column("acs").customer_id_column("id");
    let found = app.resolver(table).unwrap().resolve(&id("8:acs:r_1")).await;
    assert_eq!(short(&found), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    app.run(&format!("DROP DATABASE \"{other}\"")).await;

    let app = Sqlite::new().await;
    app.run("ATTACH ':memory:' AS \"my app\"; CREATE TABLE \"my app\".users (id INTEGER, acs TEXT)").await;
    app.run("INSERT INTO \"my app\".users VALUES (17, '8:acs:r_1')").await;
    let table = TableOptions::new("users").schema("my app").acs_id_column("acs").customer_id_column("id");
    assert_eq!(short(&app.resolver(table).unwrap().resolve(&id("8:acs:r_1")).await), "17");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pool_is_unavailable_and_nothing_of_it_is_shown() {
    let app = Sqlite::new().await;
    let resolver = SqliteTable::new(app.0.clone(), users()).unwrap();
    app.0.close().await;
    assert_eq!(app.ask(&["a", "b"]).await, ["Unavailable"; 2]);
    assert_eq!(format!("{resolver:?}"), "TableResolver { backend: \"sqlite\", call_deadline: 30s, .. }");
}
