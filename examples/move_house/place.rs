//! Where mappings are kept.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acs_identity::sql::{MySqlOptions, PostgresOptions, SqliteOptions};
use acs_identity::{AcsId, CustomerId, Link, MappingStore, MemoryStore, Namespace, Properties};
use acs_identity_examples::{Failure, shown};

/// How many mappings are made up.
const MADE_UP: u64 = 2500;

/// A store, as it is named on the command line.
#[derive(PartialEq)]
pub(crate) enum Place {
    Memory,
    Sqlite(PathBuf),
    Postgres(String),
    MySql(String),
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        Ok(match text.split_once(':') {
            Some(("memory", "")) => Self::Memory,
            Some(("sqlite", path)) if !path.is_empty() => Self::Sqlite(path.into()),
            Some(("postgres" | "postgresql", _)) => Self::Postgres(text.to_owned()),
            Some(("mysql" | "mariadb", _)) => Self::MySql(text.to_owned()),
            // Without the text: there may be a password in it.
            _ => return Err("a store is sqlite:PATH, postgres://…, mysql://… or memory:; see --help".into()),
        })
    }

    /// Opens it to be read: nothing is made where nothing is.
    pub(crate) async fn open_source(&self, namespace: &Namespace) -> Result<Arc<dyn MappingStore>, Failure> {
        match self {
            Self::Memory => made_up(namespace).await,
            Self::Sqlite(path) if !path.is_file() => Err(format!("{self}: there is no such file").into()),
            _ => self.open(namespace, false).await,
        }
    }

    /// Opens it to be written: an SQLite file and the tables are made where they are missing.
    pub(crate) async fn open_target(&self, namespace: &Namespace) -> Result<Arc<dyn MappingStore>, Failure> {
        self.open(namespace, true).await
    }

    async fn open(&self, namespace: &Namespace, migrate: bool) -> Result<Arc<dyn MappingStore>, Failure> {
        let namespace = namespace.clone();
        let opened: acs_identity::Result<Arc<dyn MappingStore>> = async {
            Ok(match self {
                Self::Memory => Arc::new(MemoryStore::new().in_namespace(namespace)) as Arc<dyn MappingStore>,
                Self::Sqlite(path) => Arc::new(SqliteOptions::file(path).namespace(namespace).open().await?),
                Self::Postgres(url) => {
                    Arc::new(PostgresOptions::url(url).namespace(namespace).migrate(migrate).open().await?)
                }
                Self::MySql(url) => {
                    Arc::new(MySqlOptions::url(url).namespace(namespace).migrate(migrate).open().await?)
                }
            })
        }
        .await;
        Ok(opened.map_err(|error| format!("{self}: {error}"))?)
    }
}

/// Without what may be private: of a URL the scheme, the host and the database.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", shown(path)),
            Self::Postgres(url) => write!(f, "postgres://{}", public_part(url)),
            Self::MySql(url) => write!(f, "mysql://{}", public_part(url)),
        }
    }
}

/// The host and the database, if it is beyond doubt which part of the URL that is.
fn public_part(url: &str) -> String {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (address, parameters) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    // A `?` or `#` that should have been escaped in the password looks like this.
    if parameters.contains('@') {
        return "…".to_owned();
    }
    let public = address.rsplit_once('@').map_or(address, |(_, public)| public);
    public.replace(char::is_control, "\u{fffd}")
}

/// A store with mappings that nobody has: some with properties, and some that expire.
async fn made_up(namespace: &Namespace) -> Result<Arc<dyn MappingStore>, Failure> {
    let store = MemoryStore::new().in_namespace(namespace.clone());
    for n in 0..MADE_UP {
        let mut link = Link::create(AcsId::new(format!("8:acs:example_{n:08}"))?, CustomerId::from(n / 2));
        if n % 3 == 0 {
            link = link.with_properties(Properties::new([("device", if n % 2 == 0 { "phone" } else { "laptop" })])?);
        }
        if n % 10 == 0 {
            link = link.expiring_in(Duration::from_secs(86_400));
        }
        store.link(link).await?;
    }
    Ok(Arc::new(store))
}
