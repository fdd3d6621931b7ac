//! Applications with a table of users, each in a database of its own.

use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Resolver, Result};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{MySqlTable, PostgresTable, SqliteTable, TableOptions};
use async_trait::async_trait;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Executor, MySqlPool, PgPool, SqlitePool};

pub(crate) fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

pub(crate) fn users() -> TableOptions {
    let table = TableOptions::new("Users").acs_id_column("CommunicationServicesId").customer_id_column("Id");
    table.call_deadline(Duration::from_secs(30))
}

/// An answer in short: the customer, "absent", or the kind of the error.
pub(crate) fn short(answer: &Answer) -> String {
    match answer {
        Ok(Some(found)) => found.customer_id().as_str().to_owned(),
        Ok(None) => "absent".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// An application's database.
#[async_trait]
pub(crate) trait App: Sync {
    /// The type of the users' own IDs, with one as SQL and as a text.
    const TYPES: &[(&str, &str, &str)];
    /// Types of numbers that have no exact text.
    const FLOATS: &[&str];
    /// What makes a column take `A` and `a` for the same.
    const ANY_CASE: &str;
    /// Names of [`NAMES`] that nothing can have in this database.
    const NO_NAMES: &[&str];

    /// Runs statements of standard SQL, whose names stand in double quotes.
    async fn run(&self, sql: &str);

    fn resolver(&self, table: TableOptions) -> Result<Box<dyn Resolver>>;

    /// Asks for each alone and for all at once, which have to agree.
    async fn ask(&self, ids: &[&str]) -> Vec<String> {
        let resolver = self.resolver(users()).unwrap();
        let ids: Vec<AcsId> = ids.iter().map(|text| id(text)).collect();
        let mut alone = Vec::new();
        for id in &ids {
            alone.push(short(&resolver.resolve(id).await));
        }
        let together: Vec<String> = resolver.resolve_many(&ids).await.iter().map(short).collect();
        assert_eq!(alone, together);
        together
    }

    /// Makes the table, for users whose IDs are of this type.
    async fn make(&self, customer_type: &str) {
        let any_case = Self::ANY_CASE;
        self.run("DROP TABLE IF EXISTS \"Users\"").await;
        let sql = format!(
            "CREATE TABLE \"Users\" (\"Id\" {customer_type}, \"CommunicationServicesId\" VARCHAR(200) {any_case})"
        );
        self.run(&sql).await;
    }
}

/// Names that a careless quoting would trip over.
pub(crate) const NAMES: &[&str] = &[
    "a\"; DROP TABLE x; --",
    "a`; DROP TABLE x; --",
    "select",
    "from",
    "two words",
    " ",
    "\"",
    "\"\"",
    "'",
    "`",
    "``",
    "[a]",
    "a.b",
    "u",
    "$1",
    "?",
    ":a",
    "%s",
    "\\",
    "naïve 名前",
    "🧑",
    "line\nbreak",
    "/*",
    "--",
];

pub(crate) struct Postgres {
    pub(crate) pool: PgPool,
    pub(crate) database: Database,
}

/// Makes a collation that takes letters for the same that differ only in their case.
pub(crate) const ANY_CASE_OF_POSTGRES: &str =
    "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";

impl Postgres {
    pub(crate) async fn new() -> Self {
        let database = database(Kind::Postgres).await;
        let pool = PgPoolOptions::new().max_connections(2).connect(database.url()).await.unwrap();
        let app = Self { pool, database };
        app.run(ANY_CASE_OF_POSTGRES).await;
        app.run("CREATE DOMAIN measure AS double precision; CREATE DOMAIN email AS text").await;
        app
    }
}

#[async_trait]
impl App for Postgres {
    const TYPES: &[(&str, &str, &str)] = &[
        ("text", "'bob@contoso.com'", "bob@contoso.com"),
        ("varchar(40)", "'Zoë'", "Zoë"),
        ("char(8)", "'bob'", "bob"),
        ("smallint", "-7", "-7"),
        ("integer", "17", "17"),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("numeric(20)", "18446744073709551615", "18446744073709551615"),
        ("email", "'bob@contoso.com'", "bob@contoso.com"),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("bytea", "'bob'", "\\x626f62"),
    ];
    const FLOATS: &[&str] = &["real", "double precision", "float", "measure"];
    const ANY_CASE: &str = "COLLATE any_case";
    const NO_NAMES: &[&str] = &[];

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    fn resolver(&self, table: TableOptions) -> Result<Box<dyn Resolver>> {
        Ok(Box::new(PostgresTable::new(self.pool.clone(), table)?))
    }
}

pub(crate) struct MySql {
    /// Whose double quotes are not standard SQL's, as by default.
    pub(crate) pool: MySqlPool,
    /// For what the test itself does.
    standard: MySqlPool,
    pub(crate) database: Database,
}

impl MySql {
    pub(crate) async fn new() -> Self {
        Self::with("SET NAMES utf8mb4").await
    }

    /// With a set-up for the connections of the application's pool, of which it has one.
    pub(crate) async fn with(set_up: &'static str) -> Self {
        let database = database(Kind::MariaDb).await;
        let set_up_by = |sql: &'static str| {
            MySqlPoolOptions::new()
                .max_connections(1)
                .after_connect(move |connection, _| Box::pin(async move { connection.execute(sql).await.map(drop) }))
        };
        let pool = set_up_by(set_up).connect(database.url()).await.unwrap();
        let standard = set_up_by("SET sql_mode = 'ANSI,STRICT_ALL_TABLES'").connect(database.url()).await.unwrap();
        Self { pool, standard, database }
    }
}

#[async_trait]
impl App for MySql {
    const TYPES: &[(&str, &str, &str)] = &[
        ("text", "'bob@contoso.com'", "bob@contoso.com"),
        ("varchar(40) CHARACTER SET utf8mb4", "'Zoë 🧑'", "Zoë 🧑"),
        ("varchar(40) CHARACTER SET latin1", "'Zoë'", "Zoë"),
        ("varchar(40) CHARACTER SET utf16", "'Zoë'", "Zoë"),
        ("char(8)", "'bob'", "bob"),
        ("char(36)", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("enum('eve', 'bob')", "'bob'", "bob"),
        ("json", "'17'", "17"),
        ("smallint", "-7", "-7"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
        ("decimal(20)", "18446744073709551615", "18446744073709551615"),
        // Bytes of a UUID, some of which are no text; and such that could be read as one.
        ("binary(16)", "X'A0EEBC999C0B4EF8BB6D6BB9BD380A11'", "Corrupt"),
        ("binary(16)", "'0123456789012345'", "Corrupt"),
        ("varbinary(40)", "'bob'", "Corrupt"),
        ("blob", "'bob'", "Corrupt"),
        ("blob", "NULL", "absent"),
    ];
    const FLOATS: &[&str] = &["float", "float(12, 2)", "double", "double unsigned", "real"];
    const ANY_CASE: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    const NO_NAMES: &[&str] = &[" ", "🧑"];

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.standard).await.unwrap();
    }

    fn resolver(&self, table: TableOptions) -> Result<Box<dyn Resolver>> {
        Ok(Box::new(MySqlTable::new(self.pool.clone(), table)?))
    }
}

pub(crate) struct Sqlite(pub(crate) SqlitePool);

impl Sqlite {
    pub(crate) async fn new() -> Self {
        // One connection, as each has a memory of its own.
        Self(SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap())
    }
}

#[async_trait]
impl App for Sqlite {
    const TYPES: &[(&str, &str, &str)] = &[
        ("TEXT", "'bob@contoso.com'", "bob@contoso.com"),
        ("TEXT", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("INTEGER", "17", "17"),
        ("INTEGER", "-9223372036854775808", "-9223372036854775808"),
        ("", "'0017'", "0017"),
        // The bytes of a UUID that could be read as a text.
        ("BLOB", "X'30313233343536373839303132333435'", "Corrupt"),
    ];
    const FLOATS: &[&str] = &["REAL", "DOUBLE", "FLOAT"];
    const ANY_CASE: &str = "COLLATE NOCASE";
    const NO_NAMES: &[&str] = &[];

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.0).await.unwrap();
    }

    fn resolver(&self, table: TableOptions) -> Result<Box<dyn Resolver>> {
        Ok(Box::new(SqliteTable::new(self.0.clone(), table)?))
    }
}
