//! Applications with a table of users, each in a database of its own.

use std::time::Duration;

use acs_identity_core::{AcsId, Answer, Resolver, Result};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{PostgresTable, SqliteTable, TableOptions};
use async_trait::async_trait;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

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
    /// What makes a column take `A` and `a` for the same.
    const ANY_CASE: &str;

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
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ];
    const ANY_CASE: &str = "COLLATE any_case";

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    fn resolver(&self, table: TableOptions) -> Result<Box<dyn Resolver>> {
        Ok(Box::new(PostgresTable::new(self.pool.clone(), table)?))
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
    const ANY_CASE: &str = "COLLATE NOCASE";

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.0).await.unwrap();
    }

    fn resolver(&self, table: TableOptions) -> Result<Box<dyn Resolver>> {
        Ok(Box::new(SqliteTable::new(self.0.clone(), table)?))
    }
}
