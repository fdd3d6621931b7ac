//! Who is in these events? They come in with opaque ACS IDs; the application's own users come out, from a store and
//! through a cache.
//!
//! ```sh
//! cargo run --example quickstart -- --help
//! ```

mod events;
mod mappings;
mod options;
mod table;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use acs_identity::cache::ReadThrough;
use acs_identity::sql::SqliteStore;
use acs_identity::{
    AcsId, CustomerId, Event, Identity, IdentityMap, IdentityType, MappingStore, MappingStoreExt, MemoryStore,
};
use acs_identity_examples::{Failure, complain, end, shown};
use futures::StreamExt;
use serde::Serialize;

use events::EventFile;
use mappings::MappingFile;
use options::{Options, Store};
use table::Table;

#[tokio::main]
async fn main() -> ExitCode {
    end(run().await)
}

async fn run() -> Result<ExitCode, Failure> {
    let Some(options) = Options::parse(env::args_os().skip(1))? else {
        io::stdout().write_all(options::HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };

    // All input is read and checked before a store is touched.
    let files = events::read(&options.events)?;
    let given = options.mappings.as_deref().map(MappingFile::read).transpose()?;

    let folder = tempfile::tempdir()?;
    let store: Arc<dyn MappingStore> = match &options.store {
        Store::Memory => Arc::new(MemoryStore::new()),
        Store::Sqlite(path) => Arc::new(open(path).await?),
        Store::Temporary => Arc::new(open(&folder.path().join("mappings.db")).await?),
    };
    let outcome = show(store.clone(), given, &files, options.json).await;
    store.close().await;
    folder.close()?;
    outcome
}

async fn open(path: &Path) -> Result<SqliteStore, Failure> {
    Ok(SqliteStore::open(path).await.map_err(|error| format!("{}: {error}", shown(path)))?)
}

/// The main job: mappings into the store, the cache over the store, a map over the cache, and each event resolved.
async fn show(
    store: Arc<dyn MappingStore>,
    given: Option<MappingFile>,
    files: &[EventFile],
    json: bool,
) -> Result<ExitCode, Failure> {
    let cache = ReadThrough::new(store);
    if let Some(mappings) = mappings_for(&cache, given).await? {
        mappings.store_in(&cache).await?;
    }
    let map = IdentityMap::with_store(Arc::new(cache.clone()));

    let mut out = io::BufWriter::new(io::stdout());
    let mut table = Table::new(["event", "role", "ACS ID", "type", "customer"]);
    let mut code = ExitCode::SUCCESS;
    for file in files {
        for (at, event) in file.events.iter().enumerate() {
            let people = people_in(event, &map).await?;
            if json {
                let line = Line { event_type: event.event_type(), participants: &people };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            } else {
                for person in people {
                    let event_type = event.event_type();
                    table.push([
                        event_type.strip_prefix("Microsoft.Communication.").unwrap_or(event_type),
                        person.role,
                        &table::shortened(person.acs_id.as_str(), 14, 12),
                        person.identity_type.as_str(),
                        &person.shown().await?,
                    ]);
                }
            }
            for rejected in event.rejected() {
                complain(&format!("{}: event [{at}]: {rejected}", file.name));
                code = ExitCode::FAILURE;
            }
        }
    }
    if !json {
        table.print(&mut out)?;
        writeln!(out)?;
        table::print_counters(&mut out, &cache.stats())?;
    }
    out.flush()?;
    Ok(code)
}

/// The given mappings, or the bundled ones for a store that has none.
async fn mappings_for(store: &dyn MappingStore, given: Option<MappingFile>) -> Result<Option<MappingFile>, Failure> {
    if given.is_none() && store.scan_all().next().await.transpose()?.is_none() {
        return MappingFile::read(&options::bundled("mappings.csv")).map(Some);
    }
    Ok(given)
}

/// One line of the JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    event_type: &'a str,
    participants: &'a [Person<'a>],
}

/// Somebody in an event, and which customer that is; `None` if there is no mapping.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Person<'a> {
    role: &'a str,
    acs_id: &'a AcsId,
    identity_type: IdentityType,
    customer_id: Option<CustomerId>,
}

/// Asks for all participants of an event at once.
async fn people_in<'a>(event: &'a Event, map: &IdentityMap) -> Result<Vec<Person<'a>>, Failure> {
    let ids: Vec<AcsId> = event.participants().iter().map(|participant| participant.acs_id().clone()).collect();
    let answers = map.resolve_many(&ids).await;
    let people = event.participants().iter().zip(answers).map(|(participant, answer)| {
        Ok(Person {
            role: participant.role().as_str(),
            acs_id: participant.acs_id(),
            identity_type: participant.acs_id().identity_type(),
            // A failure ends the example: it does not say that there is no mapping.
            customer_id: answer?.map(|found| found.customer_id().clone()),
        })
    });
    people.collect()
}

impl Person<'_> {
    /// The customer; or the number of a phone or the application ID of a bot, which nobody has to be asked for.
    async fn shown(&self) -> Result<String, Failure> {
        match (&self.customer_id, self.identity_type) {
            (Some(customer), _) => Ok(customer.as_str().to_owned()),
            (None, IdentityType::Pstn | IdentityType::Bot) => {
                let own = Identity::from_acs_id(self.acs_id.clone()).identity().await?;
                Ok(own.map_or_else(|| "(number withheld)".to_owned(), |own| own.as_str().to_owned()))
            }
            (None, _) => Ok("(unknown)".to_owned()),
        }
    }
}
