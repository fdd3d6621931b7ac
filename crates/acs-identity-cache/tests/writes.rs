//! Writes whose task is lost with its runtime: an unknown outcome only if the store may have been asked.

mod common;

use std::sync::Arc;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{ErrorKind, Expect, Link, MappingStore, MemoryStore};
use acs_identity_testkit::{Call, Counting, Gated, Point};
use common::{customer, id};
use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn outside_of_a_runtime_a_write_is_not_sent_and_says_so() {
    let cached = ReadThrough::new(Counting::new(MemoryStore::new()));
    let create = Link::create(id("id1"), customer("bob"));
    let linked = cached.link(create.clone()).now_or_never().expect("there is nobody to wait for");
    assert_eq!(linked.unwrap_err().kind(), ErrorKind::Unavailable);
    let unlinked = cached.unlink(&id("id1"), Expect::Any).now_or_never().expect("there is nobody to wait for");
    assert_eq!(unlinked.unwrap_err().kind(), ErrorKind::Unavailable);
    let all = cached.link_many(&[create]).now_or_never().expect("there is nobody to wait for");
    assert_eq!(all.into_iter().map(|one| one.unwrap_err().kind()).collect::<Vec<_>>(), [ErrorKind::Unavailable]);
    assert_eq!(cached.inner().total(), 0);
}

#[test]
fn a_write_that_was_sent_when_its_runtime_shut_down_is_of_unknown_outcome() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = ReadThrough::new(store.clone());
    for (point, sent) in [(None, false), (Some(Point::Before), true), (Some(Point::After), true)] {
        let first = runtime();
        let hold = point.map(|point| store.hold(Call::Link, point));
        let mut write = cached.link(Link::replace(id("id1"), customer("bob")));
        {
            // Its task is there, and has not run yet.
            let _inside = first.enter();
            assert!((&mut write).now_or_never().is_none());
        }
        if let Some(hold) = &hold {
            first.block_on(hold.reached());
        }
        drop(first);
        let kind = runtime().block_on(write).unwrap_err().kind();
        assert_eq!(kind, if sent { ErrorKind::OutcomeUnknown } else { ErrorKind::Unavailable }, "{point:?}");
    }
}
