//! The made-up store as the cache sees it.

use std::task::Poll;

use acs_identity_core::{
    AcsId, Answers, Capabilities, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, MappingStore, Page,
    PageRequest, Resolution, Resolver, Result, Timestamp,
};
use async_trait::async_trait;

use super::super::oracle::Asked;
use super::{State, World};

#[async_trait]
impl Resolver for World {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        let stale = self.0.faults.stale;
        self.load(vec![Asked::Id(id.clone())], |state| state.resolution(id, stale)).await
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let asked = ids.iter().cloned().map(Asked::Id).collect();
        let stale = self.0.faults.stale;
        let read = |state: &State| ids.iter().map(|id| (id.as_str(), state.resolution(id, stale))).collect::<Vec<_>>();
        match self.load(asked, read).await {
            Ok(found) => Answers::each_by_id(ids, found.into_iter().map(|(id, one)| (id, Ok(one))), &Ok(None)),
            Err(error) => Answers::failed(ids, &error),
        }
    }
}

#[async_trait]
impl MappingStore for World {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        self.oracle().write_reached(&link.acs_id);
        let apply = move |world: &World, state: &mut State, written: &mut Vec<_>| {
            Poll::Ready(world.apply_link(state, &link).map(|(linked, order)| {
                written.push((link.acs_id.clone(), order));
                linked
            }))
        };
        self.write(apply).await
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        let mut outcomes = Vec::new();
        for link in links {
            outcomes.push(self.link(link.clone()).await);
        }
        outcomes
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        mappings.iter().map(|_| Err(Error::unsupported("not in this world"))).collect()
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        self.oracle().write_reached(id);
        let id = id.clone();
        let apply = move |world: &World, state: &mut State, written: &mut Vec<_>| {
            Poll::Ready(world.apply_unlink(state, &id, &expect, false).map(|gone| {
                gone.map(|(mapping, order)| {
                    written.push((id.clone(), order));
                    mapping
                })
            }))
        };
        self.write(apply).await
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        let (customer, mut left, mut count) = (customer.clone(), None, 0);
        let apply = move |world: &World, state: &mut State, written: &mut Vec<_>| {
            let there = || {
                let his = state.mappings.values().filter(|mapping| mapping.customer_id == customer);
                his.map(|mapping| mapping.acs_id.clone()).collect::<Vec<_>>()
            };
            let left = left.get_or_insert_with(there);
            let Some(id) = left.pop() else { return Poll::Ready(Ok(count)) };
            if let Ok(Some((_, order))) = world.apply_unlink(state, &id, &Expect::Customer(customer.clone()), true) {
                written.push((id, order));
                count += 1;
            }
            Poll::Pending
        };
        self.write(apply).await
    }

    async fn mappings_of(&self, customer: &CustomerId, _: PageRequest) -> Result<Page<Mapping>> {
        let read = |state: &State| {
            let his = state.mappings.values().filter(|mapping| mapping.customer_id == *customer);
            Page::new(his.cloned().collect(), None, Timestamp::from_micros(state.clock))
        };
        self.load(vec![Asked::Page(customer.clone())], read).await
    }

    async fn scan(&self, _: PageRequest) -> Result<Page<Mapping>> {
        Err(Error::unsupported("not in this world"))
    }

    async fn purge_expired(&self, _: u32) -> Result<u64> {
        Ok(0)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) {}
}
