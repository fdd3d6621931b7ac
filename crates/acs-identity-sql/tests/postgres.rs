//! What is PostgreSQL's own: its settings, its isolation levels, and who else writes to its tables.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, CustomerId, ErrorKind, Expect, Link, LostReason, Mapping, MappingStore, MappingStoreExt,
    Resolver, Revision,
};
use acs_identity_servers::{Database, Kind, database, database_with};
use acs_identity_sql::{PostgresOptions, PostgresStore};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::{Connection, Executor, PgConnection};

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

async fn empty() -> Database {
    database(Kind::Postgres).await
}

async fn open(database: &Database) -> PostgresStore {
    PostgresOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap()
}

async fn by_hand(database: &Database, sql: &'static str) {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// The next change; a feed that says nothing for a minute is broken.
async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.next()).await.unwrap().unwrap()
}

async fn live(store: &PostgresStore) -> BoxStream<'static, Change> {
    let mut changes = store.changes();
    assert_eq!(next(&mut changes).await, Change::Live);
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_id_take_turns_at_each_default_isolation_level() {
    for level in ["read committed", "repeatable read", "serializable"] {
        let database = empty().await;
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let name = database.name();
        let sql = format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'");
        connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        let store = open(&database).await;

        // One of many creates an ID, and the others are told of it.
        let creates = (0..64).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.link(Link::create(id("a"), CustomerId::from(n))).await })
        });
        let mut made = 0;
        for answer in futures::future::join_all(creates).await {
            match answer.unwrap() {
                Ok(linked) => made += usize::from(linked.changed),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        assert_eq!(made, 1, "{level}");

        // All replace it, each once, and each sees what the one before it has written.
        let replaces = (100..164).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.link(Link::replace(id("a"), CustomerId::from(n))).await })
        });
        let mut written = Vec::new();
        for answer in futures::future::join_all(replaces).await {
            let linked = answer.unwrap().unwrap();
            written.push((linked.revision, linked.previous.unwrap().revision));
        }
        written.sort_unstable();
        assert!(written.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[1].1 == pair[0].0), "{level}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_the_same_ids_in_any_order_all_succeed() {
    let database = empty().await;
    let store = open(&database).await;
    let batches = (0..8_u64).map(|n| {
        let store = store.clone();
        let mut links: Vec<_> = (0..600).map(|i| Link::replace(id(&format!("{i}")), CustomerId::from(n))).collect();
        links.rotate_left(n as usize * 70);
        if n % 2 == 0 {
            links.reverse();
        }
        tokio::spawn(async move { store.link_many(&links).await })
    });
    for answers in futures::future::join_all(batches).await {
        assert!(answers.unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(store.scan_all().try_collect::<Vec<Mapping>>().await.unwrap().len(), 600);
}

#[tokio::test]
async fn a_database_that_cannot_keep_ids_is_refused() {
    let latin = " ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    let database = database_with(Kind::Postgres, latin).await;
    let error = PostgresOptions::url(database.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("encoding"), "{error}");
}

#[tokio::test]
async fn ids_are_bytes_whatever_the_collation_of_the_database_is() {
    let icu = " TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'und-u-ks-level1' LOCALE 'C'";
    let database = database_with(Kind::Postgres, icu).await;
    let store = open(&database).await;
    let ids = ["Bob", "bob", "bob ", "b\u{f3}b", "bo\u{301}b", "B\u{f3}b"].map(id);
    for (n, id) in ids.iter().enumerate() {
        assert!(store.link(Link::create(id.clone(), CustomerId::from(n as u64))).await.unwrap().changed);
    }
    for (n, answer) in store.resolve_many(&ids).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap().customer_id(), &CustomerId::from(n as u64));
    }
    let mut listed: Vec<AcsId> =
        store.scan_all().map_ok(|mapping: Mapping| mapping.acs_id).try_collect().await.unwrap();
    listed.sort();
    let mut sorted = ids.to_vec();
    sorted.sort();
    assert_eq!(listed, sorted);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_an_empty_database_at_once() {
    let database = empty().await;
    let opened = (0..10).map(|_| {
        let url = database.url().to_owned();
        tokio::spawn(async move { PostgresOptions::url(url).call_deadline(Duration::from_secs(30)).open().await })
    });
    for store in futures::future::join_all(opened).await {
        store.unwrap().unwrap().ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_a_missing_one_is_not_made_unasked() {
    let database = empty().await;
    let cautious = PostgresOptions::url(database.url()).migrate(false);
    assert_eq!(cautious.clone().open().await.unwrap_err().kind(), ErrorKind::Misconfigured);
    // As an administrator would make it.
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(PostgresStore::schema_sql()))).await.unwrap();
    let store = cautious.open().await.unwrap();
    assert!(store.link(Link::create(id("a"), customer("bob"))).await.unwrap().changed);
    connection.execute("INSERT INTO acs_identity_schema (version) VALUES (1000)").await.unwrap();
    let error = PostgresOptions::url(database.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("1000"), "{error}");
}

#[tokio::test]
async fn wrong_options_are_refused_before_any_io_and_wrong_credentials_by_the_server() {
    for wrong in [
        PostgresOptions::url("mysql://localhost/x"),
        PostgresOptions::url("localhost"),
        PostgresOptions::url("postgres://localhost:port/x"),
        PostgresOptions::url("postgres://localhost/x").max_connections(0),
        PostgresOptions::url("postgres://localhost/x").call_deadline(Duration::ZERO),
    ] {
        assert!(!format!("{wrong:?}").contains("localhost"));
        assert_eq!(wrong.open().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let database = empty().await;
    let (start, rest) = database.url().split_once('@').unwrap();
    let (user, _) = start.rsplit_once(':').unwrap();
    let error = PostgresOptions::url(format!("{user}:wrong-secret@{rest}")).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(!format!("{error:?}").contains("wrong-secret"));
    let elsewhere = database.url().replace(database.name(), "no_such_database");
    assert_eq!(PostgresOptions::url(elsewhere).open().await.unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn an_applications_pool_is_used_as_it_is() {
    let database = empty().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let store = PostgresOptions::from_pool(pool.clone()).open().await.unwrap();
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    let found = sqlx::query_as::<_, (String,)>("SELECT customer_id FROM acs_identity_mappings").fetch_one(&pool).await;
    assert_eq!(found.unwrap().0, "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_cancelled_by_the_thousand_leave_the_pool_whole() {
    let database = empty().await;
    let store = open(&database).await;
    for round in 0..3000_usize {
        let (id, ids) = (id(&(round % 50).to_string()), [id("1"), id("2")]);
        let wait = Duration::from_micros((round % 40) as u64 * 25);
        let links = [Link::replace(id.clone(), customer("bob"))];
        tokio::select! {
            biased;
            _ = async { store.link(links[0].clone()).await.unwrap() }, if round % 5 == 0 => {}
            _ = async { store.resolve(&id).await.unwrap() }, if round % 5 == 1 => {}
            _ = async { store.resolve_many(&ids).await }, if round % 5 == 2 => {}
            _ = async { store.link_many(&links).await }, if round % 5 == 3 => {}
            _ = async { store.unlink(&id, Expect::Any).await.unwrap() }, if round % 5 == 4 => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    let start = tokio::time::Instant::now();
    while store.connections_in_use() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "connections are missing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As many at once as there are connections.
    let one = id("1");
    let all = futures::future::join_all((0..10).map(|_| store.resolve(&one))).await;
    assert!(all.into_iter().all(|answer| answer.is_ok()));
}

#[tokio::test]
async fn what_is_written_by_hand_is_told() {
    let database = empty().await;
    let store = open(&database).await;
    let mut changes = live(&store).await;
    by_hand(
        &database,
        "INSERT INTO acs_identity_mappings VALUES ('default', 'a', 'bob', NULL, 1, NULL, 1), ('other', 'a', 'x', NULL, 1, NULL, 1)",
    )
    .await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("a"), Some(Revision::new(1))));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    by_hand(&database, "UPDATE acs_identity_mappings SET customer_id = 'al' WHERE namespace = 'default'").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("a"), Some(Revision::new(1))));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("bob")));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    // A change of the key is one of both.
    by_hand(&database, "UPDATE acs_identity_mappings SET acs_id = 'b' WHERE namespace = 'default'").await;
    let told = [next(&mut changes).await, next(&mut changes).await, next(&mut changes).await, next(&mut changes).await];
    assert!(told.contains(&Change::Acs(id("a"), None)) && told.contains(&Change::Acs(id("b"), Some(Revision::new(1)))));
    by_hand(&database, "DELETE FROM acs_identity_mappings").await;
    assert_eq!(next(&mut changes).await, Change::Acs(id("b"), None));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    by_hand(&database, "TRUNCATE acs_identity_mappings").await;
    assert_eq!(next(&mut changes).await, Change::All);
}

#[tokio::test]
async fn a_change_that_is_committed_late_is_told() {
    let database = empty().await;
    let store = open(&database).await;
    let mut changes = live(&store).await;
    // Somebody's transaction has its number in the log, and takes its time.
    let mut slow = PgConnection::connect(database.url()).await.unwrap();
    slow.execute("BEGIN").await.unwrap();
    let sql = "INSERT INTO acs_identity_mappings VALUES ('default', 'slow', 'bob', NULL, 1, NULL, 1)";
    slow.execute(sql).await.unwrap();
    let linked = store.link(Link::create(id("fast"), customer("al"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("fast"), Some(linked.revision)));
    assert_eq!(next(&mut changes).await, Change::Customer(customer("al")));
    slow.execute("COMMIT").await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("slow"), Some(Revision::new(1))));
}

#[tokio::test]
async fn a_subscriber_is_told_of_what_was_deleted_from_the_log_unread() {
    let database = empty().await;
    let store = PostgresOptions::url(database.url()).notifications(false);
    let store = store.poll_interval(Duration::from_millis(1500)).open().await.unwrap();
    let mut changes = live(&store).await;
    store.link(Link::create(id("a"), customer("bob"))).await.unwrap();
    by_hand(&database, "DELETE FROM acs_identity_changes").await;
    // One that was read before it was deleted is not missed.
    let first = next(&mut changes).await;
    assert!(matches!(first, Change::Lost(LostReason::Lagged) | Change::Acs(..)), "{first:?}");
    if first == Change::Lost(LostReason::Lagged) {
        assert_eq!(next(&mut changes).await, Change::Live);
    }
    by_hand(&database, "TRUNCATE acs_identity_changes").await;
    loop {
        match next(&mut changes).await {
            Change::Lost(LostReason::Lagged) => break,
            Change::Customer(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn notifications_can_be_switched_off_for_a_whole_database() {
    let database = empty().await;
    let store = open(&database).await;
    let mut listener = sqlx::postgres::PgListener::connect(database.url()).await.unwrap();
    listener.listen("acs_identity").await.unwrap();
    store.link(Link::create(id("8:acs:secret_one"), customer("bob"))).await.unwrap();
    let heard = listener.recv().await.unwrap();
    assert!(heard.payload().parse::<u64>().is_ok(), "the payload is a place in the log and no ID");

    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let sql = format!("ALTER DATABASE {} SET acs_identity.notify = off", database.name());
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let quiet = open(&database).await;
    let mut changes = live(&quiet).await;
    let linked = quiet.link(Link::create(id("b"), customer("bob"))).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Acs(id("b"), Some(linked.revision)), "found by looking");
    assert!(tokio::time::timeout(Duration::from_millis(300), listener.recv()).await.is_err());
}
