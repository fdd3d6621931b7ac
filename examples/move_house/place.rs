//! Where mappings are kept.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acs_identity::redis::RedisOptions;
use acs_identity::sql::{MySqlOptions, PostgresOptions, SqliteOptions};
use acs_identity::{AcsId, CustomerId, Link, MappingStore, MemoryStore, Namespace, Properties};
use acs_identity_examples::{Failure, shown};
use ring::digest::{SHA256, digest};

/// How many mappings are made up.
const MADE_UP: u64 = 2500;

/// A store, as it is named on the command line.
#[derive(PartialEq)]
pub(crate) enum Place {
    Memory,
    Sqlite(PathBuf),
    Postgres(String),
    MySql(String),
    Redis(String),
    RedisCluster(String),
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        Ok(match text.split_once(':') {
            Some(("memory", "")) => Self::Memory,
            Some(("sqlite", path)) if !path.is_empty() => Self::Sqlite(path.into()),
            Some(("postgres" | "postgresql", _)) => Self::Postgres(text.to_owned()),
            Some(("mysql" | "mariadb", _)) => Self::MySql(text.to_owned()),
            Some(("redis" | "rediss", _)) => Self::Redis(text.to_owned()),
            Some(("redis-cluster" | "rediss-cluster", _)) => Self::RedisCluster(text.to_owned()),
            // Without the text: there may be a password in it.
            _ => {
                let stores = "sqlite:PATH, postgres://…, mysql://…, redis://…, redis-cluster://… or memory:";
                return Err(format!("a store is {stores}; see --help").into());
            }
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

    /// Stands for the store in what is kept, from whatever folder it is named, and for no other one; without a password.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Memory => self.to_string(),
            Self::Sqlite(path) => Self::Sqlite(std::path::absolute(path).unwrap_or_else(|_| path.clone())).to_string(),
            Self::Postgres(url) | Self::MySql(url) | Self::Redis(url) | Self::RedisCluster(url) => {
                let (scheme, rest) = url.split_once(':').unwrap_or_default();
                let public = rest.rsplit_once('@').map_or(rest, |(_, public)| public);
                let sum = digest(&SHA256, format!("{scheme}:{public}").as_bytes());
                let sum: String = sum.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                format!("{self} {sum}")
            }
        }
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
                Self::Redis(url) => Arc::new(RedisOptions::url(url).namespace(namespace).open().await?),
                Self::RedisCluster(url) => {
                    Arc::new(RedisOptions::cluster(node_urls(url)).namespace(namespace).open().await?)
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
            Self::Redis(url) => write!(f, "redis://{}", public_part(url)),
            Self::RedisCluster(url) => write!(f, "redis-cluster://{}", public_part(url)),
        }
    }
}

/// The URLs of nodes whose addresses are in one URL, with commas between them. All have what stands before and
/// behind the addresses.
fn node_urls(url: &str) -> Vec<String> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let scheme = scheme.trim_end_matches("-cluster");
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    let (login, rest) = rest.split_at(rest.rfind('@').map_or(slashes, |at| at + 1));
    let (nodes, end) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    nodes.split(',').map(|node| format!("{scheme}:{login}{node}{end}")).collect()
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
