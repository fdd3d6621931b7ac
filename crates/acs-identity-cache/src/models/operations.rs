//! What callers do with the cache, each telling the oracle of it.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Expect, Link, Linked, MappingStore, PageRequest, Resolver, Result};

use super::ReadThrough;
use super::oracle::{Asked, Oracle, Since, Step, What};

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Read(AcsId),
    ReadNow(AcsId),
    Roster(Vec<AcsId>),
    Page(CustomerId),
    Create(AcsId, CustomerId),
    Replace(AcsId, CustomerId, Option<Duration>),
    ReplaceMany(Vec<(AcsId, CustomerId)>),
    Unlink(AcsId),
    Erase(CustomerId),
    Purge(AcsId),
    PurgeCustomer(CustomerId),
    PurgeAll,
}

/// Awaits a future, or leaves it after so many looks at it.
pub(crate) async fn or_leave(future: impl Future<Output = ()>, looks: Option<usize>) {
    let (mut future, mut looks) = (pin!(future), looks);
    std::future::poll_fn(|context| match (future.as_mut().poll(context), &mut looks) {
        (Poll::Ready(()), _) | (_, Some(0)) => Poll::Ready(()),
        (Poll::Pending, None) => Poll::Pending,
        (Poll::Pending, Some(left)) => {
            *left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Does it.
pub(crate) async fn run<S: MappingStore + 'static>(op: &Op, cached: &ReadThrough<S>, oracle: &Oracle) {
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
        Op::Create(..) | Op::Replace(..) | Op::ReplaceMany(_) | Op::Unlink(_) | Op::Erase(_) => {
            write(op, cached, oracle, true).await
        }
    }
}

/// Writes, through the cache or elsewhere.
pub(crate) async fn write(op: &Op, store: &impl MappingStore, oracle: &Oracle, by_cache: bool) {
    match op {
        Op::Create(id, customer) => {
            link(Link::create(id.clone(), customer.clone()), store, oracle, by_cache).await;
        }
        Op::Replace(id, customer, lifetime) => {
            let mut replace = Link::replace(id.clone(), customer.clone());
            replace.expires = *lifetime;
            link(replace, store, oracle, by_cache).await;
        }
        Op::ReplaceMany(pairs) => {
            let links: Vec<Link> =
                pairs.iter().map(|(id, customer)| Link::replace(id.clone(), customer.clone())).collect();
            let begun = oracle.step(format!("linking of {} begins", links.len()));
            if by_cache {
                links.iter().for_each(|link| oracle.write_begun(&link.acs_id, begun));
            }
            let linked = store.link_many(&links).await;
            assert_eq!(linked.len(), links.len());
            links.iter().zip(&linked).for_each(|(link, linked)| told(link, begun, linked, oracle, by_cache));
        }
        Op::Unlink(id) => {
            let begun = oracle.step(format!("unlinking of {:?} begins", id.as_str()));
            if by_cache {
                oracle.write_begun(id, begun);
            }
            let unlinked = store.unlink(id, Expect::Any).await;
            let end = oracle.step(format!(
                "unlinking from {begun} ends: {:?}",
                unlinked.as_ref().map(|gone| gone.as_ref().map(|gone| gone.revision)).map_err(|e| e.kind())
            ));
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
    let begun = oracle.step(format!("linking of {:?} to {:?} begins", link.acs_id.as_str(), link.customer_id.as_str()));
    if by_cache {
        oracle.write_begun(&link.acs_id, begun);
    }
    let linked = store.link(link.clone()).await;
    told(&link, begun, &linked, oracle, by_cache);
}

/// Tells the oracle how a link ended.
fn told(link: &Link, begun: Step, linked: &Result<Linked>, oracle: &Oracle, by_cache: bool) {
    let (id, customer) = (&link.acs_id, &link.customer_id);
    let outcome = linked.as_ref().map(|linked| linked.revision.get()).map_err(|error| error.kind());
    let end = oracle.step(format!("linking of {:?} from {begun} ends: {outcome:?}", id.as_str()));
    let Ok(linked) = linked else { return };
    let order = (linked.revision.get(), false);
    // Unless it had been so before.
    if linked.changed {
        oracle.written(id, order, Some(customer), (begun, end), false);
    }
    if linked.previous.is_none() {
        oracle.followed_absence(id, order);
    }
    if by_cache {
        for what in [What::Id(id.clone()), What::Shown(id.clone()), What::Page(customer.clone())] {
            oracle.know(what, Since::Version(id.clone(), order));
        }
    }
}
