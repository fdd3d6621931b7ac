//! What is MySQL's and MariaDB's own.

use std::time::Duration;

use acs_identity_core::{AcsId, ErrorKind, Resolver};
use acs_identity_sql::MySqlTable;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{Connection, Executor, MySqlConnection, MySqlPool, Row};

use crate::app::{App, MySql, id, short, users};

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_names_that_are_longer_than_any_of_its_own() {
    let app = MySql::new().await;
    assert!(app.resolver(users().schema("é".repeat(64))).is_ok());
    for long in ["x".repeat(65), "é".repeat(65)] {
        let error = app.resolver(users().schema(&long)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("64 characters") && !error.message().contains(&long), "{error}");
    }
}

/// How many entries of indexes and tables the only connection of the application's pool has read since it was asked last.
async fn rows_read(app: &MySql) -> u64 {
    let sql = "SHOW SESSION STATUS LIKE 'Handler_read%'";
    let rows = sqlx::raw_sql(sql).fetch_all(&app.pool).await.unwrap();
    let read = rows.iter().map(|row| row.get::<String, _>(1).parse::<u64>().unwrap()).sum();
    sqlx::raw_sql("FLUSH LOCAL STATUS").execute(&app.pool).await.unwrap();
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_ids_by_the_index_of_their_column_whatever_its_character_set_is() {
    let app = MySql::new().await;
    for kind in [
        "varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "varchar(200) CHARACTER SET utf8mb3",
        "varchar(200) CHARACTER SET latin1",
        "varchar(200) CHARACTER SET ascii COLLATE ascii_bin",
        "varchar(200) CHARACTER SET utf16",
        "char(200) CHARACTER SET latin1",
        "text CHARACTER SET utf8mb4",
        "varbinary(200)",
    ] {
        app.run("DROP TABLE IF EXISTS \"Users\"").await;
        app.run(&format!("CREATE TABLE \"Users\" (\"Id\" bigint, \"CommunicationServicesId\" {kind})")).await;
        app.run("CREATE UNIQUE INDEX i ON \"Users\" (\"CommunicationServicesId\"(100))").await;
        app.run("INSERT INTO \"Users\" SELECT seq, CONCAT('8:acs:r_', seq) FROM seq_1_to_9000").await;
        app.run("ANALYZE TABLE \"Users\"").await;
        let resolver = app.resolver(users()).unwrap();
        for count in [1, 8, 64] {
            // Half of them are there.
            let numbers = (0..count).map(|n| 8990 - count / 2 * 20 + n * 20 + 1);
            let numbers: Vec<usize> = numbers.collect();
            let ids: Vec<AcsId> = numbers.iter().map(|n| id(&format!("8:acs:r_{n}"))).collect();
            rows_read(&app).await;
            let answers: Vec<String> = resolver.resolve_many(&ids).await.iter().map(short).collect();
            let read = rows_read(&app).await;
            let expected = numbers.iter().map(|n| if *n <= 9000 { n.to_string() } else { "absent".to_owned() });
            assert_eq!(answers, expected.collect::<Vec<_>>(), "{kind}");
            assert!(read <= 3 * count as u64 + 1, "{kind}: {read} entries were read for {count} IDs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_columns_character_set_cannot_write_is_absent_and_spoils_no_other() {
    let app = MySql::new().await;
    let written = ["a", "bé", "名", "🧑", "e"];
    for (charset, known) in [("utf8mb4", 4), ("utf8mb3", 3), ("latin1", 2), ("ascii", 1)] {
        app.run("DROP TABLE IF EXISTS \"Users\"").await;
        let column = format!("\"CommunicationServicesId\" varchar(200) CHARACTER SET {charset}");
        app.run(&format!("CREATE TABLE \"Users\" (\"Id\" integer, {column})")).await;
        for (n, text) in written[..known].iter().chain(&written[4..]).enumerate() {
            app.run(&format!("INSERT INTO \"Users\" VALUES ({n}, '{text}')")).await;
        }
        let expected: Vec<String> = (0..5)
            .map(|n| match n {
                4 => known.to_string(),
                n if n < known => n.to_string(),
                _ => "absent".to_owned(),
            })
            .collect();
        assert_eq!(app.ask(&written).await, expected, "{charset}");
        let many: Vec<String> = (0..200).map(|n| format!("{n}名")).collect();
        let mut ids: Vec<&str> = many.iter().map(String::as_str).collect();
        ids.insert(70, "a");
        let answers = app.ask(&ids).await;
        assert_eq!((answers[70].as_str(), answers.iter().filter(|answer| *answer == "absent").count()), ("0", 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_bytes_holds_any_id() {
    let app = MySql::new().await;
    app.run("CREATE TABLE \"Users\" (\"Id\" integer, \"CommunicationServicesId\" varbinary(200))").await;
    app.run("INSERT INTO \"Users\" VALUES (1, 'a'), (2, 'A'), (3, 'bé'), (4, '🧑'), (5, X'FF')").await;
    let answers = app.ask(&["a", "A", "bé", "🧑", "?", "a "]).await;
    assert_eq!(answers, ["1", "2", "3", "4", "absent", "absent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_relies_on_no_set_up_of_the_connections() {
    for set_up in [
        "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
        "SET NAMES utf8mb3",
        "SET NAMES latin1",
        "SET NAMES binary",
        "SET character_set_results = latin1",
        "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'",
        "SET sql_mode = ''",
        "SET NAMES utf8mb4; SET TRANSACTION READ ONLY",
    ] {
        let app = MySql::with(set_up).await;
        for (kind, sql, text) in MySql::TYPES {
            app.make(kind).await;
            app.run(&format!("INSERT INTO \"Users\" VALUES ({sql}, '8:acs:r_1'), ({sql}, '8:acs:R_1')")).await;
            assert_eq!(app.ask(&["8:acs:r_1", "8:acs:r_2"]).await, [*text, "absent"], "{set_up}: {kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_no_right_but_to_select_the_two_columns() {
    let app = MySql::new().await;
    app.make("integer").await;
    app.run("ALTER TABLE \"Users\" ADD secret text; INSERT INTO \"Users\" (\"Id\", \"CommunicationServicesId\") VALUES (17, '8:acs:r_1')").await;
    // Users are the whole server's, so this one has the name of the database.
    let user = app.database.name();
    app.run(&format!("CREATE USER {user} IDENTIFIED BY 'not secret'; GRANT INSERT ON {user}.* TO {user}")).await;
    let options: MySqlConnectOptions = app.database.url().parse().unwrap();
    let pool = MySqlPool::connect_with(options.username(user).password("not secret")).await.unwrap();
    let resolver = MySqlTable::new(pool, users()).unwrap();
    let denied = resolver.resolve(&id("8:acs:r_1")).await;
    app.run(&format!("GRANT SELECT (\"Id\", \"CommunicationServicesId\") ON {user}.\"Users\" TO {user}")).await;
    let granted = resolver.resolve(&id("8:acs:r_1")).await;
    app.run(&format!("DROP USER {user}")).await;
    assert_eq!((short(&denied).as_str(), short(&granted).as_str()), ("Denied", "17"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_a_lock_ends_at_its_deadline_and_leaves_the_pool_whole() {
    let app = MySql::new().await;
    app.make("integer").await;
    app.run("INSERT INTO \"Users\" VALUES (17, '8:acs:r_1')").await;
    let mut locking = MySqlConnection::connect(app.database.url()).await.unwrap();
    locking.execute(sqlx::raw_sql("LOCK TABLES `Users` WRITE")).await.unwrap();
    let resolver = app.resolver(users().call_deadline(Duration::from_millis(200))).unwrap();
    let (one, many) = (id("8:acs:r_1"), [id("8:acs:r_1"), id("8:acs:r_2")]);
    for _ in 0..3 {
        assert_eq!(short(&resolver.resolve(&one).await), "Timeout");
        assert!(resolver.resolve_many(&many).await.iter().all(|answer| short(answer) == "Timeout"));
    }
    locking.execute(sqlx::raw_sql("UNLOCK TABLES")).await.unwrap();
    assert_eq!(app.ask(&["8:acs:r_1"]).await, ["17"]);
}
