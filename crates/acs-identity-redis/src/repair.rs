//! Entries of customers' indexes that are too many are taken out, and those that are missing are made.

use acs_identity_core::{AcsId, CustomerId, Mapping, PageRequest, Result};
use redis::Value;
use tokio::time::Instant;

use crate::error::Failure;
use crate::nodes::Sort;
use crate::scan::Listed;
use crate::step::{Step, steps};
use crate::store::RedisStore;
use crate::write::{Instruction, What, records};
use crate::{answer, read, record, scan};

/// How many entries one reader repairs at most.
const MOST: usize = 100;

/// How many mappings are looked at together.
const CHUNK: u32 = 500;

/// Takes out entries which their records did not bear out when they were read. What can't be done now is done the next
/// time that somebody meets them, so it takes no longer than the call has left.
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

/// Takes out those entries which their records do not bear out, and answers with how many were left alone as a writer
/// may be about to need them.
pub(crate) async fn entries(
    store: &RedisStore,
    customer: &CustomerId,
    ids: &[AcsId],
    end: Instant,
) -> Result<usize, Failure> {
    if !store.nodes().is_whole() {
        return sweep(store, customer, ids, end).await;
    }
    let check = Instruction::of(What::Check, customer.clone());
    let done = records(store, ids.iter().map(|id| Ok((id.clone(), check.clone()))).collect(), end).await;
    done.into_iter().try_for_each(|done| done.map(drop)).map(|()| 0)
}

/// The same in a cluster.
///
/// A record may become the customer's after it was read. So an entry is marked first, unless a writer has noted the
/// intent to need it. Then its record is read, and if that does not bear it out, the entry is swept away if it still
/// has this mark: a writer who has come in between has taken it away, and one who had come before is still noted.
pub(crate) async fn sweep(
    store: &RedisStore,
    customer: &CustomerId,
    ids: &[AcsId],
    end: Instant,
) -> Result<usize, Failure> {
    let key = |id: &AcsId| store.keys().index(id, customer);
    let marks: Vec<Step> = ids.iter().map(|id| Step::mark(key(id), id)).collect();
    let (mut marked, mut kept, mut failed) = (Vec::with_capacity(ids.len()), 0, None);
    for (id, done) in ids.iter().zip(steps(store, &marks, Sort::Tidy, end).await) {
        match done {
            Ok((at, 1)) => marked.push((id, at)),
            Ok(_) => kept += 1,
            Err(failure) => failed = Some(failure),
        }
    }
    let found = read::records(store, &marked.iter().map(|(id, _)| *id).collect::<Vec<_>>(), end).await;
    let mut done = Vec::with_capacity(marked.len());
    for ((id, at), found) in marked.into_iter().zip(found) {
        match found.and_then(|(value, _)| bears_out(id, customer, &value)) {
            Ok(true) => done.push(Step::clear(key(id), id, at)),
            Ok(false) => done.push(Step::sweep(key(id), id, at)),
            Err(failure) => failed = Some(failure),
        }
    }
    let done = steps(store, &done, Sort::Tidy, end).await.into_iter().try_for_each(|done| done.map(drop));
    failed.map_or(done, Err).map(|()| kept)
}

/// Makes the entries of each mapping, also of what has expired and waits for its purge. Answers with how many there
/// are.
pub(crate) async fn rebuild(store: &RedisStore) -> Result<u64> {
    let (mut request, mut count) = (PageRequest::first(CHUNK)?, 0);
    loop {
        let page = scan::page(store, &request, Listed::AlsoExpired).await?;
        count += page.items.len() as u64;
        let (mappings, end) = (page.items, store.end());
        store.run(end, move |store| async move { make(&store, &mappings, end).await }).await??;
        match page.next {
            Some(next) => request = request.after(next),
            None => return Ok(count),
        }
    }
}

/// Makes the entries of mappings. What was unlinked since they were read is looked at again, so that no entry of it
/// stays.
async fn make(store: &RedisStore, mappings: &[Mapping], end: Instant) -> Result<(), Failure> {
    let entry = |mapping: &Mapping| {
        let key = store.keys().index(&mapping.acs_id, &mapping.customer_id);
        Step::make(key, &mapping.acs_id, mapping.created_at)
    };
    let expiring = mappings.iter().filter_map(|mapping| {
        let at = mapping.expires_at?.as_micros().to_string();
        Some(Step::expiring_at(store.keys().expiring(&mapping.acs_id), &mapping.acs_id, &at))
    });
    let all: Vec<Step> = mappings.iter().map(entry).chain(expiring).collect();
    steps(store, &all, Sort::Write, end).await.into_iter().try_for_each(|done| done.map(drop))?;
    let ids: Vec<&AcsId> = mappings.iter().map(|mapping| &mapping.acs_id).collect();
    for (mapping, found) in mappings.iter().zip(read::records(store, &ids, end).await) {
        if !bears_out(&mapping.acs_id, &mapping.customer_id, &found?.0)? {
            entries(store, &mapping.customer_id, std::slice::from_ref(&mapping.acs_id), end).await?;
        }
    }
    Ok(())
}

/// Whether a record maps the ACS ID to the customer.
fn bears_out(id: &AcsId, customer: &CustomerId, record: &Value) -> Result<bool, Failure> {
    match answer::bytes(record)? {
        Some(bytes) => Ok(record::mapping(id, bytes)?.is_some_and(|found| found.customer_id == *customer)),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::{Link, MappingStore, Namespace};
    use acs_identity_servers::{Kind, cluster_urls, url};

    use super::*;
    use crate::RedisOptions;
    use crate::keys::slot;
    use crate::nodes::Ask;

    #[tokio::test]
    async fn an_index_that_is_made_anew_does_not_bring_back_who_is_forgotten_meanwhile() {
        for options in [RedisOptions::url(url(Kind::Redis)), RedisOptions::cluster(cluster_urls())] {
            let namespace = Namespace::new(&format!("forgotten-{}", std::process::id())).unwrap();
            let store = options.namespace(namespace).open().await.unwrap();
            let (id, ann): (AcsId, CustomerId) = ("8:acs:r_1".parse().unwrap(), "ann".parse().unwrap());
            store.link(Link::create(id.clone(), ann.clone())).await.unwrap();
            let read = store.mappings_of(&ann, PageRequest::default()).await.unwrap().items;
            assert_eq!(store.unlink_customer(&ann).await.unwrap(), 1);
            make(&store, &read, store.end()).await.unwrap();
            let key = store.keys().index(&id, &ann);
            let exists = Ask { slot: slot(&key), command: redis::cmd("EXISTS").arg(&key).take(), script: None };
            assert_eq!(answer::number(&store.ask_one(exists, store.end()).await.unwrap()).unwrap(), 0);
        }
    }
}
