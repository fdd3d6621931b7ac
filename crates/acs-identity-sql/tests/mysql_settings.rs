//! Settings of MySQL's and MariaDB's connections that would change answers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use acs_identity_core::{AcsId, ErrorKind, Link, MappingStore, PageRequest, Resolver};
use acs_identity_servers::{Kind, Server, database};
use acs_identity_sql::MySqlOptions;
use acs_identity_sql::sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

/// What would change answers, and a word of what is said of it.
const HARMFUL: [(&str, &str); 6] = [
    ("sql_mode = 'EMPTY_STRING_IS_NULL'", "EMPTY_STRING_IS_NULL"),
    ("sql_select_limit = 1", "sql_select_limit"),
    ("completion_type = 1", "completion_type"),
    ("completion_type = 2", "completion_type"),
    ("max_join_size = 1", "sql_big_selects"),
    ("tx_read_only = 1", "read-only"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_its_own_connections_does_not_mind_the_servers_defaults() {
    let server = Server::start(Kind::MariaDb).unwrap();
    let mut hand = MySqlConnection::connect(&server.url()).await.unwrap();
    let (address, _) = server.url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for (set, _) in HARMFUL {
        hand.execute(AssertSqlSafe(format!("SET GLOBAL {set}"))).await.unwrap();
    }
    hand.execute("SET GLOBAL sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL'").await.unwrap();
    // This connection has not taken them over.
    hand.execute("CREATE DATABASE odd").await.unwrap();
    let store = MySqlOptions::url(format!("{address}/odd")).call_deadline(Duration::from_secs(30)).open();
    let store = store.await.unwrap();
    let ids: Vec<AcsId> = (0..130).map(|n| format!("id{n}").parse().unwrap()).collect();
    for customer in ["bob", "al"] {
        let links: Vec<Link> = ids.iter().map(|id| Link::replace(id.clone(), customer.parse().unwrap())).collect();
        assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    }
    assert!(store.resolve_many(&ids).await.iter().all(|answer| answer.as_ref().unwrap().is_some()));
    assert_eq!(store.scan(PageRequest::first(200).unwrap()).await.unwrap().items.len(), 130);
    assert_eq!(
        store.mappings_of(&"al".parse().unwrap(), PageRequest::first(200).unwrap()).await.unwrap().items.len(),
        130
    );
    assert_eq!(store.unlink_customer(&"al".parse().unwrap()).await.unwrap(), 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_pool_with_such_settings_is_refused_by_name() {
    let database = database(Kind::MariaDb).await;
    for (set, named) in HARMFUL {
        let sql = format!("SET SESSION {set}");
        let pool = MySqlPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            let sql = AssertSqlSafe(sql.clone());
            Box::pin(async move { connection.execute(sql).await.map(drop) })
        });
        let pool = pool.connect(database.url()).await.unwrap();
        let error = MySqlOptions::from_pool(pool).open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{set}: {error}");
        assert!(error.message().contains(named), "{set}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_without_a_database_is_refused() {
    let server = Server::start(Kind::MariaDb).unwrap();
    let (address, _) = server.url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let error = MySqlOptions::url(address).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("names no database"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_breaks_somebodys_own_unique_key_fails_at_once() {
    let database = database(Kind::MariaDb).await;
    let store = MySqlOptions::url(database.url()).call_deadline(Duration::from_secs(30)).open().await.unwrap();
    let mut hand = MySqlConnection::connect(database.url()).await.unwrap();
    hand.execute("CREATE UNIQUE INDEX one_each ON acs_identity_mappings (customer_id)").await.unwrap();
    let link = |id: &str| Link::create(id.parse().unwrap(), "bob".parse().unwrap());
    store.link(link("a")).await.unwrap();
    let error = store.link(link("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("unique key"), "{error}");
}
