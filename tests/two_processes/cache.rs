//! A cache over a store that two processes share, and the store's own news.

use std::sync::Arc;
use std::time::Duration;

use acs_identity::cache::{ReadThrough, TableKind};
use acs_identity::redis::RedisOptions;
use acs_identity::sql::{PostgresOptions, SqliteOptions};
use acs_identity::{ChangeFeed, MappingStore, Result};

pub(crate) type Cache = ReadThrough<Arc<dyn MappingStore>>;

/// How often a process that uses SQLite looks for the changes of others.
pub(crate) const SQLITE_LOOKS: Duration = Duration::from_millis(250);

/// What is kept is kept for so long that a change of another process is seen by its news or not at all.
pub(crate) fn cached(store: impl MappingStore + ChangeFeed + Clone + 'static, table: TableKind) -> Cache {
    let feed = store.clone();
    let store: Arc<dyn MappingStore> = Arc::new(store);
    let day = Duration::from_secs(24 * 3600);
    ReadThrough::builder(store).feed(feed).lifetime(day).absent_lifetime(day).table(table).build()
}

/// Opens the store at a place: a URL of PostgreSQL, the URLs of a Redis cluster with commas between them, or
/// `sqlite:` and a path.
pub(crate) async fn open(place: &str, table: TableKind) -> Result<Cache> {
    if let Some(path) = place.strip_prefix("sqlite:") {
        return Ok(cached(SqliteOptions::file(path).poll_interval(SQLITE_LOOKS).open().await?, table));
    }
    if place.starts_with("postgres") {
        let (deadline, wait) = (Duration::from_secs(1), Duration::from_millis(500));
        return Ok(cached(
            PostgresOptions::url(place).call_deadline(deadline).acquire_timeout(wait).open().await?,
            table,
        ));
    }
    Ok(cached(RedisOptions::cluster(place.split(',')).open().await?, table))
}
