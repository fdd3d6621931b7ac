//! What callers do with the cache, each telling the oracle of it.

use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Expect, Link, MappingStore, PageRequest, Resolver};

use super::ReadThrough;
use super::oracle::{Asked, Oracle, Since, What};

#[derive(Debug, Clone)]
pub enum Op {
    Read(AcsId),
    ReadNow(AcsId),
    Roster(Vec<AcsId>),
    Page(CustomerId),
    Create(AcsId, CustomerId),
    Replace(AcsId, CustomerId, Option<Duration>),
    Unlink(AcsId),
    Erase(CustomerId),
    Purge(AcsId),
    PurgeCustomer(CustomerId),
    PurgeAll,
}

/// Does it.
pub async fn run<S: MappingStore + 'static>(op: &Op, cached: &ReadThrough<S>, oracle: &Oracle) {
    match op {
        Op::Read(id) => {
            let begun = oracle.begin(&Asked::Id(id.clone()));
            oracle.resolved(begun, id, &cached.resolve(id).await);
        }
        Op::ReadNow(id) => {
            let begun = oracle.begin(&Asked::Id(id.clone()));
            if let Some(answer) = cached.resolve_now(id) {
                oracle.resolved(begun, id, &Ok(answer));
            }
        }
        Op::Roster(ids) => {
            let begun: Vec<_> = ids.iter().map(|id| oracle.begin(&Asked::Id(id.clone()))).collect();
            let answers = cached.resolve_many(ids).await;
            assert_eq!(answers.len(), ids.len());
            for ((id, begun), answer) in ids.iter().zip(begun).zip(answers.iter()) {
                oracle.resolved(begun, id, answer);
            }
        }
        Op::Page(customer) => {
            let begun = oracle.begin(&Asked::Page(customer.clone()));
            let page = cached.mappings_of(customer, PageRequest::default()).await;
            oracle.listed(begun, customer, &page.map(|page| page.items));
        }
        Op::Purge(id) => {
            let begun = oracle.step(format!("purge of {:?}", id.as_str()));
            cached.purge(id);
            oracle.step("purged");
            oracle.know(What::Id(id.clone()), Since::Moment(begun));
            oracle.know(What::Shown(id.clone()), Since::Moment(begun));
        }
        Op::PurgeCustomer(customer) => {
            let begun = oracle.step(format!("purge of {:?}", customer.as_str()));
            cached.purge_customer(customer);
            oracle.step("purged");
            oracle.know(What::Page(customer.clone()), Since::Moment(begun));
            oracle.know(What::Named(customer.clone()), Since::Moment(begun));
        }
        Op::PurgeAll => {
            let begun = oracle.step("purge of all");
            cached.purge_all();
            oracle.step("purged");
            oracle.know(What::All, Since::Moment(begun));
        }
        Op::Create(..) | Op::Replace(..) | Op::Unlink(_) | Op::Erase(_) => write(op, cached, oracle, true).await,
    }
}

/// Writes, through the cache or elsewhere.
pub async fn write(op: &Op, store: &impl MappingStore, oracle: &Oracle, by_cache: bool) {
    match op {
        Op::Create(id, customer) => {
            link(Link::create(id.clone(), customer.clone()), store, oracle, by_cache).await;
        }
        Op::Replace(id, customer, lifetime) => {
            let mut replace = Link::replace(id.clone(), customer.clone());
            replace.expires = *lifetime;
            link(replace, store, oracle, by_cache).await;
        }
        Op::Unlink(id) => {
            let begun = oracle.step(format!("unlinking of {:?} begins", id.as_str()));
            let unlinked = store.unlink(id, Expect::Any).await;
            let end =
                oracle.step(format!("unlinking from {begun} ends: {:?}", unlinked.as_ref().map_err(|e| e.kind())));
            if let Ok(Some(gone)) = unlinked {
                let order = (gone.revision.get(), true);
                oracle.written(id, order, None, (begun, end), false);
                if by_cache {
                    oracle.know(What::Id(id.clone()), Since::Version(id.clone(), order));
                    oracle.know(What::Shown(id.clone()), Since::Version(id.clone(), order));
                }
            }
        }
        Op::Erase(customer) => {
            let begun = oracle.step(format!("erasure of {:?} begins", customer.as_str()));
            let erased = store.unlink_customer(customer).await;
            oracle.step(format!("erasure from {begun} ends: {:?}", erased.as_ref().map_err(|e| e.kind())));
            oracle.erased(customer, begun, by_cache && erased.is_ok());
        }
        _ => {}
    }
}

async fn link(link: Link, store: &impl MappingStore, oracle: &Oracle, by_cache: bool) {
    let (id, customer) = (link.acs_id.clone(), link.customer_id.clone());
    let begun = oracle.step(format!("linking of {:?} to {:?} begins", id.as_str(), customer.as_str()));
    let linked = store.link(link).await;
    let told = linked.as_ref().map(|linked| linked.revision.get()).map_err(|e| e.kind());
    let end = oracle.step(format!("linking of {:?} from {begun} ends: {told:?}", id.as_str()));
    if let Ok(linked) = linked {
        let order = (linked.revision.get(), false);
        oracle.written(&id, order, Some(&customer), (begun, end), false);
        if linked.previous.is_none() {
            oracle.followed_absence(&id, order);
        }
        if by_cache {
            for what in [What::Id(id.clone()), What::Shown(id.clone()), What::Page(customer)] {
                oracle.know(what, Since::Version(id.clone(), order));
            }
        }
    }
}
