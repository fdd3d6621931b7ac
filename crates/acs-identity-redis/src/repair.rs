//! Entries of customers' indexes that are too many are taken out, and those that are missing are made.

use acs_identity_core::{AcsId, CustomerId, MappingStoreExt, Result, Timestamp};
use futures::TryStreamExt;
use tokio::time::Instant;

use crate::error::Failure;
use crate::step::{Step, steps};
use crate::store::RedisStore;
use crate::write::{Told, records};
use crate::{answer, read, record};

/// How many entries one call repairs at most.
const MOST: usize = 100;

/// How many mappings are looked at together.
const CHUNK: usize = 500;

/// Takes out entries which their records did not bear out when they were read. What can't be done now is done the next time
/// that somebody meets them, so it takes no longer than the call has left.
///
/// In a cluster a record may become the customer's after it was read. So an entry is marked first, unless a writer has
/// noted the intent to need it. Then its record is read once more, and if that does not bear it out either, the entry is swept away
/// if it still has this mark: a writer who has come in between has taken it away, and one who had come before is still noted.
pub(crate) async fn entries(store: &RedisStore, customer: &CustomerId, mut ids: Vec<AcsId>, end: Instant) {
    ids.truncate(MOST);
    if ids.is_empty() {
        return;
    }
    let customer = customer.clone();
    let work = |store: RedisStore| async move {
        let told = Told { what: "x", customer: Some(customer.clone()), ..Told::default() };
        if store.nodes().is_whole() {
            records(&store, ids.into_iter().map(|id| Ok((id, told.clone()))).collect(), end).await;
            return;
        }
        let key = |id: &AcsId| store.keys().index(id, &customer);
        let marks: Vec<Step> = ids.iter().map(|id| Step::mark(key(id), id)).collect();
        let marked = steps(&store, &marks, end).await;
        let (ids, marked): (Vec<&AcsId>, Vec<Timestamp>) = ids
            .iter()
            .zip(marked)
            .filter_map(|(id, marked)| marked.ok().filter(|(_, done)| *done == 1).map(|(at, _)| (id, at)))
            .unzip();
        let found = read::records(&store, &ids, end).await;
        let wrong = ids.into_iter().zip(marked).zip(found).filter(|((id, _), found)| match found {
            Ok((value, _)) => match answer::bytes(value) {
                Ok(Some(bytes)) => record::mapping(id, bytes)
                    .is_ok_and(|found| found.is_none_or(|found| found.customer_id != customer)),
                Ok(None) => true,
                Err(_) => false,
            },
            Err(_) => false,
        });
        let sweeps: Vec<Step> = wrong.map(|((id, marked), _)| Step::sweep(key(id), id, marked)).collect();
        steps(&store, &sweeps, end).await;
    };
    let _: Result<(), Failure> = store.run(end, work).await;
}

/// Makes the entry of each mapping. Answers with how many there are.
pub(crate) async fn rebuild(store: &RedisStore) -> Result<u64> {
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
