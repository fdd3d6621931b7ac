//! Entries of customers' indexes that are too many are taken out, and those that are missing are made.

use acs_identity_core::{AcsId, CustomerId, MappingStoreExt};
use futures::TryStreamExt;
use redis::Value;
use tokio::time::Instant;

use crate::error::Failure;
use crate::step::{Step, steps};
use crate::store::RedisStore;
use crate::write::{Told, records};
use crate::{answer, read, record};

/// How many entries one reader repairs at most.
const MOST: usize = 100;

/// How many mappings are looked at together.
const CHUNK: usize = 500;

/// Takes out entries which their records did not bear out when they were read. What can't be done now is done the next time
/// that somebody meets them, so it takes no longer than the call has left.
pub(crate) async fn doubtful(store: &RedisStore, customer: &CustomerId, mut ids: Vec<AcsId>, end: Instant) {
    ids.truncate(MOST);
    if ids.is_empty() {
        return;
    }
    let customer = customer.clone();
    let work = |store: RedisStore| async move { entries(&store, &customer, &ids, end).await };
    // Nobody has to know whether it failed.
    let _ = store.run(end, work).await;
}

/// Takes out those entries which their records do not bear out, and answers with how many were left alone as a writer may be about to
/// need them.
///
/// In a cluster a record may become the customer's after it was read. So an entry is marked first, unless a writer has
/// noted the intent to need it. Then its record is read, and if that does not bear it out, the entry is swept away
/// if it still has this mark: a writer who has come in between has taken it away, and one who had come before is still noted.
pub(crate) async fn entries(
    store: &RedisStore,
    customer: &CustomerId,
    ids: &[AcsId],
    end: Instant,
) -> Result<usize, Failure> {
    if store.nodes().is_whole() {
        let told = Told { what: "x", customer: Some(customer.clone()), ..Told::default() };
        let done = records(store, ids.iter().map(|id| Ok((id.clone(), told.clone()))).collect(), end).await;
        return done.into_iter().try_for_each(|done| done.map(drop)).map(|()| 0);
    }
    let key = |id: &AcsId| store.keys().index(id, customer);
    let marks: Vec<Step> = ids.iter().map(|id| Step::mark(key(id), id)).collect();
    let (mut marked, mut kept, mut failed) = (Vec::with_capacity(ids.len()), 0, None);
    for (id, done) in ids.iter().zip(steps(store, &marks, end).await) {
        match done {
            Ok((at, 1)) => marked.push((id, at)),
            Ok(_) => kept += 1,
            Err(failure) => failed = Some(failure),
        }
    }
    let found = read::records(store, &marked.iter().map(|(id, _)| *id).collect::<Vec<_>>(), end).await;
    let mut done = Vec::with_capacity(marked.len());
    for ((id, at), found) in marked.into_iter().zip(found) {
        let bears_out = |value: &Value| match answer::bytes(value)? {
            Some(bytes) => Ok(record::mapping(id, bytes)?.is_some_and(|found| found.customer_id == *customer)),
            None => Ok(false),
        };
        match found.and_then(|(value, _)| bears_out(&value)) {
            Ok(true) => done.push(Step::clear(key(id), id, at)),
            Ok(false) => done.push(Step::sweep(key(id), id, at)),
            Err(failure) => failed = Some(failure),
        }
    }
    let done = steps(store, &done, end).await.into_iter().try_for_each(|done| done.map(drop));
    failed.map_or(done, Err).map(|()| kept)
}

/// Makes the entry of each mapping. Answers with how many there are.
pub(crate) async fn rebuild(store: &RedisStore) -> acs_identity_core::Result<u64> {
    let mut chunks = store.scan_all().try_chunks(CHUNK);
    let mut count = 0;
    while let Some(mappings) = chunks.try_next().await.map_err(|error| error.1)? {
        count += mappings.len() as u64;
        let end = store.end();
        let work = |store: RedisStore| async move {
            let place = |mapping: &acs_identity_core::Mapping| {
                let key = store.keys().index(&mapping.acs_id, &mapping.customer_id);
                Step::make(key, &mapping.acs_id, mapping.created_at)
            };
            let all: Vec<Step> = mappings.iter().map(place).collect();
            let expiring = mappings.iter().filter_map(|mapping| {
                let at = mapping.expires_at?.as_micros().to_string();
                Some(Step::expiring_at(store.keys().expiring(&mapping.acs_id), &mapping.acs_id, &at))
            });
            let all: Vec<Step> = all.into_iter().chain(expiring).collect();
            steps(&store, &all, end).await.into_iter().try_for_each(|done| done.map(drop))
        };
        store.run(end, work).await??;
    }
    Ok(count)
}
