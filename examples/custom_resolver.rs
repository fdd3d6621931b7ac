//! The mapping is somewhere else already? Then a resolver is all that has to be written. Three of them, each behind the
//! cache: a closure, a struct over a slow directory, and one in front of a store.
//!
//! ```sh
//! cargo run --example custom_resolver
//! ```

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acs_identity::cache::{CacheStats, ReadThrough};
use acs_identity::{
    AcsId, Answers, CustomerId, IdentityMap, Link, MappingStore, MemoryStore, Properties, Resolution, Resolver,
    ResolverExt, Result, resolver_fn,
};
use acs_identity_examples::{Failure, end};
use async_trait::async_trait;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> ExitCode {
    end(run().await)
}

async fn run() -> Result<ExitCode, Failure> {
    let mut out = io::stdout();
    closure(&mut out).await?;
    slow_directory(&mut out).await?;
    in_front_of_a_store(&mut out).await?;
    Ok(ExitCode::SUCCESS)
}

/// A closure: here the ACS ID itself ends in the number of the customer.
async fn closure(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "A closure")?;
    let cache = ReadThrough::new(resolver_fn(|id: AcsId| async move {
        let last_part = id.as_str().rsplit('_').next().unwrap_or_default();
        Ok(last_part.parse::<u64>().ok().map(CustomerId::from))
    }));
    let map = IdentityMap::new(cache.clone());
    for id in ["8:acs:contoso_42", "8:acs:contoso_42", "8:acs:contoso_guest", "8:acs:contoso_guest", "4:+14255550123"] {
        let who = map.from_acs_id(id.parse()?).identity().await?;
        writeln!(out, "  {id} is {}", who.as_ref().map_or("unknown", |who| who.as_str()))?;
    }
    // A phone number answers for itself: the resolver was not asked about it.
    effect(out, &cache.stats())
}

/// A directory that takes its time for each request, but answers many questions in one.
#[derive(Debug, Default)]
struct SlowDirectory {
    people: HashMap<AcsId, CustomerId>,
    requests: AtomicUsize,
}

impl SlowDirectory {
    fn with(ids: &[AcsId]) -> Self {
        let people = ids.iter().zip(1..).map(|(id, number)| (id.clone(), CustomerId::from(number)));
        Self { people: people.collect(), ..Self::default() }
    }

    async fn request(&self, ids: &[AcsId]) -> Vec<(AcsId, CustomerId)> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let known = ids.iter().filter_map(|id| self.people.get_key_value(id));
        known.map(|(id, customer)| (id.clone(), customer.clone())).collect()
    }
}

#[async_trait]
impl Resolver for SlowDirectory {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        // Absence is `Ok(None)`. Where the directory can't be reached, the answer is an `Err` of the kind `Unavailable`.
        Ok(self.request(std::slice::from_ref(id)).await.pop().map(|(_, who)| who.into()))
    }

    // Without this, a roster would be one request for each of its members.
    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let found = self.request(ids).await;
        Answers::by_id(ids, found.iter().map(|(id, who)| (id.as_str(), who.clone().into())))
    }
}

async fn slow_directory(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\nA slow directory")?;
    let roster: Vec<AcsId> =
        (1..=20).map(|number| format!("8:acs:contoso_{number:02}").parse()).collect::<Result<_>>()?;
    let directory = Arc::new(SlowDirectory::with(&roster));
    let cache = ReadThrough::new(directory.clone());
    let map = IdentityMap::new(cache.clone());

    let requests = || directory.requests.load(Ordering::Relaxed);
    for time in ["first", "second"] {
        let answers = map.resolve_many(&roster).await;
        let known = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
        writeln!(
            out,
            "  a roster of {} for the {time} time: {known} known, requests so far: {}",
            roster.len(),
            requests()
        )?;
    }

    let newcomer: AcsId = "8:acs:contoso_newcomer".parse()?;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (map, newcomer) = (map.clone(), newcomer.clone());
        tasks.spawn(async move { map.resolve(&newcomer).await });
    }
    while let Some(answer) = tasks.join_next().await {
        answer??;
    }
    writeln!(out, "  100 tasks that ask for one newcomer at once, requests so far: {}", requests())?;
    effect(out, &cache.stats())
}

/// A resolver in front of a store: it answers what it knows, and the store is asked about the rest.
async fn in_front_of_a_store(out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "\nIn front of a store")?;
    let store = MemoryStore::new();
    store.link(Link::create("8:acs:contoso_1".parse()?, "bob@contoso.com".parse()?)).await?;
    store.link(Link::create("8:acs:contoso_2".parse()?, "desk@contoso.com".parse()?)).await?;

    // Whoever is on duty answers for the desk, for the length of a shift.
    let on_duty = resolver_fn(|id: AcsId| async move {
        if id.as_str() != "8:acs:contoso_2" {
            return Ok(None);
        }
        let alice = Resolution::from(CustomerId::new("alice@contoso.com")?);
        Ok(Some(alice.with_properties(Properties::new([("duty", "desk")])?).lasting(Duration::from_secs(8 * 3600))))
    });
    let cache = ReadThrough::new(on_duty.or(store));
    let map = IdentityMap::new(cache.clone());
    for id in ["8:acs:contoso_1", "8:acs:contoso_2", "8:acs:contoso_2", "8:acs:contoso_3"] {
        match map.resolve(&id.parse()?).await? {
            Some(found) => {
                let duty = found.properties().get("duty").map(|duty| format!(", on duty at the {duty}"));
                writeln!(out, "  {id} is {}{}", found.customer_id().as_str(), duty.unwrap_or_default())?;
            }
            None => writeln!(out, "  {id} is unknown")?,
        }
    }
    effect(out, &cache.stats())
}

/// What the cache saved.
fn effect(out: &mut impl Write, stats: &CacheStats) -> Result<(), Failure> {
    let without_asking = stats.hits + stats.negative_hits + stats.joined;
    Ok(writeln!(
        out,
        "  cache: loaded {}; without asking again: {without_asking} (hits {}, negative hits {}, joined {})",
        stats.loaded, stats.hits, stats.negative_hits, stats.joined
    )?)
}
