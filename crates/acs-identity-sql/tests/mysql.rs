//! What is MySQL's and MariaDB's own.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{Change, ChangeFeed, ErrorKind, Link, LostReason, MappingStore, Revision};
use acs_identity_servers::{Kind, database};
use acs_identity_sql::{MySqlOptions, MySqlStore};
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{Connection, Executor, MySqlConnection};

/// The next change; a feed that says nothing for a minute is broken.
async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_applications_pool_is_used_as_it_is() {
    let database = database(Kind::MariaDb).await;
    let pool = sqlx::MySqlPool::connect(database.url()).await.unwrap();
    let store = MySqlOptions::from_pool(pool.clone()).open().await.unwrap();
    store.link(Link::create("a".parse().unwrap(), "bob".parse().unwrap())).await.unwrap();
    let found = sqlx::query_as::<_, (Vec<u8>,)>("SELECT customer_id FROM acs_identity_mappings").fetch_one(&pool).await;
    assert_eq!(found.unwrap().0, b"bob");
}

#[tokio::test]
async fn a_pool_whose_connections_do_not_commit_by_themselves_is_refused() {
    let database = database(Kind::MariaDb).await;
    let pool = MySqlPoolOptions::new().after_connect(|connection, _| {
        Box::pin(async move { connection.execute("SET autocommit = 0").await.map(drop) })
    });
    let pool = pool.connect(database.url()).await.unwrap();
    let error = MySqlOptions::from_pool(pool.clone()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.message().contains("autocommit"), "{error}");
    assert!(!pool.is_closed(), "it is the application's");
}

#[tokio::test]
async fn a_schema_of_which_only_the_first_statements_were_run_is_finished() {
    let schema = MySqlStore::schema_sql();
    // As MySQL's client reads them. A comment goes to the end of its line.
    let mut statements = vec![String::new()];
    let mut delimiter = ";";
    for line in schema.lines().filter(|line| !line.starts_with("--")) {
        if let Some(next) = line.strip_prefix("DELIMITER ") {
            delimiter = next;
            continue;
        }
        let (line, ends) = line.strip_suffix(delimiter).map_or((line, false), |line| (line, true));
        *statements.last_mut().unwrap() += &format!("{line}\n");
        if ends {
            statements.push(String::new());
        }
    }
    statements.retain(|sql| !sql.trim().is_empty());
    assert!(statements.len() > 10);
    for made in 0..=statements.len() {
        let database = database(Kind::MariaDb).await;
        let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
        for sql in &statements[..made] {
            hand.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str()))).await.unwrap();
        }
        drop(hand);
        let store = MySqlOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap();
        let mut changes = store.changes();
        assert_eq!(next(&mut changes).await, Change::Live);
        let link = async |customer: &str| {
            let revision =
                store.link(Link::replace("a".parse().unwrap(), customer.parse().unwrap())).await.unwrap().revision;
            Change::Acs("a".parse().unwrap(), Some(revision))
        };
        // Each trigger is there, once.
        let told = [link("bob").await, Change::Customer("bob".parse().unwrap()), link("al").await];
        for change in told {
            assert_eq!(next(&mut changes).await, change, "after {made} statements");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_replaced_by_hand_is_told() {
    let database = database(Kind::MariaDb).await;
    let store = MySqlOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    for customer in ["bob", "al"] {
        let sql = format!(
            "REPLACE INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
            VALUES ('default', 'c', '{customer}', 1, 1)"
        );
        hand.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    let mut told = Vec::new();
    while told.last() != Some(&Change::Customer("al".parse().unwrap())) {
        told.push(next(&mut changes).await);
    }
    let changed = Change::Acs("c".parse().unwrap(), Some(Revision::new(1)));
    assert_eq!(told[..2], [changed.clone(), Change::Customer("bob".parse().unwrap())]);
    assert!(told[2..].contains(&Change::Customer("bob".parse().unwrap())), "{told:?}");
    assert!(told[2..].contains(&changed), "{told:?}");
}

#[tokio::test]
async fn a_transaction_that_holds_a_number_of_the_log_is_waited_for_and_one_that_gave_it_up_is_not() {
    /// How long a number may be missing before the store looks who has it.
    const GRACE: Duration = Duration::from_secs(10);
    let database = database(Kind::MariaDb).await;
    let store = MySqlOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap();
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);

    // Three transactions that take a number each, before those of the links that follow.
    let mut held = Vec::new();
    for name in ["waits", "commits", "gives_up"] {
        let mut connection = MySqlConnection::connect(database.url()).await.unwrap();
        connection.execute("BEGIN").await.unwrap();
        let sql = format!(
            "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
            VALUES ('default', '{name}', '{name}', 1, 1)"
        );
        connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        held.push(connection);
    }
    let [waits, commits, gives_up] = &mut held[..] else { unreachable!() };
    let told = async |changes: &mut BoxStream<'static, Change>, name: &str, revision: Revision| {
        assert_eq!(next(changes).await, Change::Acs(name.parse().unwrap(), Some(revision)));
        assert_eq!(next(changes).await, Change::Customer(name.parse().unwrap()));
    };
    let link = async |name: &str| {
        store.link(Link::create(name.parse().unwrap(), name.parse().unwrap())).await.unwrap().revision
    };
    // Later ones are told meanwhile.
    let revision = link("first").await;
    told(&mut changes, "first", revision).await;
    gives_up.execute("ROLLBACK").await.unwrap();
    commits.execute("COMMIT").await.unwrap();
    told(&mut changes, "commits", Revision::new(1)).await;

    // One that stays open for longer than the grace is still in the log, uncommitted. The subscriber looks all the while.
    let start = tokio::time::Instant::now();
    while start.elapsed() < GRACE + Duration::from_secs(2) {
        assert!(tokio::time::timeout(Duration::from_millis(500), changes.next()).await.is_err(), "there is no news");
    }
    let revision = link("second").await;
    told(&mut changes, "second", revision).await;
    waits.execute("COMMIT").await.unwrap();
    told(&mut changes, "waits", Revision::new(1)).await;

    // The number that was given up is watched no more. If it is deleted, as far as anybody can tell, nothing is missed.
    let sql =
        "UPDATE acs_identity_trimmed SET seq = (SELECT min(seq) FROM acs_identity_changes WHERE acs_id = 'first')";
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    hand.execute(sql).await.unwrap();
    let revision = link("third").await;
    told(&mut changes, "third", revision).await;

    // One that is deleted while it is watched may have been missed.
    gives_up.execute("BEGIN").await.unwrap();
    let sql = "INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, created_at, revision) \
        VALUES ('default', 'again', 'again', 1, 1)";
    gives_up.execute(sql).await.unwrap();
    let revision = link("fourth").await;
    told(&mut changes, "fourth", revision).await;
    gives_up.execute("ROLLBACK").await.unwrap();
    hand.execute("DELETE FROM acs_identity_changes").await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Lost(LostReason::Lagged));
    assert_eq!(next(&mut changes).await, Change::Live);
    let revision = link("fifth").await;
    told(&mut changes, "fifth", revision).await;
}
