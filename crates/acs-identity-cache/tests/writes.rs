//! What is answered where there is no runtime, and of writes whose task is lost with theirs: an unknown outcome only if the store may have been
//! asked.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{ErrorKind, Expect, Link, MappingStore, MemoryStore, PageRequest, Resolver};
use acs_identity_testkit::{Call, Counting, Gated, Point};
use common::{Source, asking, builder_for, customer, id, ids};
use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn outside_of_a_runtime_a_write_is_not_sent_and_says_so() {
    let cached = builder_for(Counting::new(MemoryStore::new())).build();
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
fn a_store_is_closed_also_where_there_is_no_runtime_or_no_timer() {
    for without in [None, Some(Builder::new_current_thread().build().expect("a runtime"))] {
        let store = MemoryStore::new();
        let cached = builder_for(store.second_client()).build();
        assert!(runtime().block_on(cached.resolve(&id("id1"))).is_ok());
        match &without {
            None => cached.close().now_or_never().expect("there is nobody to wait for"),
            Some(runtime) => runtime.block_on(cached.close()),
        }
        let closed = runtime().block_on(cached.inner().ping());
        assert_eq!(closed.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    }
}

#[test]
fn on_a_runtime_without_a_timer_nothing_is_asked_of_the_store_and_nothing_panics() {
    let feed = acs_identity_testkit::ManualFeed::new();
    let store = Arc::new(Counting::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).feed(feed.clone()).build();
    let without = Builder::new_current_thread().build().expect("a runtime");
    for _ in 0..2 {
        without.block_on(async {
            let one = id("id1");
            let unavailable = |error: acs_identity_core::Error| assert_eq!(error.kind(), ErrorKind::Unavailable);
            unavailable(cached.resolve(&one).await.unwrap_err());
            unavailable(cached.resolve_many(std::slice::from_ref(&one)).await[0].clone().unwrap_err());
            unavailable(cached.mappings_of(&customer("bob"), PageRequest::default()).await.unwrap_err());
            unavailable(cached.link(Link::create(one, customer("bob"))).await.unwrap_err());
            unavailable(cached.ping().await.unwrap_err());
        });
    }
    assert_eq!((store.total(), feed.subscribers()), (0, 0));
    assert!(runtime().block_on(cached.resolve(&id("id1"))).is_ok());
}

#[test]
fn a_write_that_was_sent_when_its_runtime_shut_down_is_of_unknown_outcome() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).build();
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

/// Awaits what has nobody to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("there is nobody to wait for")
}

#[test]
fn outside_of_a_runtime_what_is_known_is_answered_and_the_rest_is_unavailable_and_harms_nobody() {
    let source = Arc::new(Source::held());
    let builder = builder_for(source.clone()).refresh_ahead(1.0);
    let cached = builder.build();
    let runtime = runtime();
    source.let_through(1);
    runtime.block_on(cached.resolve(&id("known"))).unwrap();
    let waiting = {
        let _inside = runtime.enter();
        asking(&cached, "waiting")
    };
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });

    // A hit that is due renews nothing here.
    assert!(at_once(cached.resolve(&id("known"))).unwrap().is_some());
    for other in ["other", "waiting"] {
        assert_eq!(at_once(cached.resolve(&id(other))).unwrap_err().kind(), ErrorKind::Unavailable, "{other}");
    }
    let roster = at_once(cached.resolve_many(&ids(&["known", "other", "waiting"])));
    assert_eq!(roster.iter().map(|answer| answer.is_ok()).collect::<Vec<_>>(), [true, false, false]);

    source.let_through(1);
    assert!(runtime.block_on(waiting).unwrap().is_ok(), "it was asked for where there is a runtime");
    let store = builder_for(MemoryStore::new()).build();
    assert_eq!(at_once(store.ping()).unwrap_err().kind(), ErrorKind::Unavailable);
    at_once(store.close());
}

#[tokio::test]
async fn a_write_that_is_under_way_is_finished_before_the_store_is_closed() {
    let cached = builder_for(MemoryStore::new()).build();
    let mut writing = Box::pin(cached.link(Link::create(id("8:acs:r_1"), customer("bob"))));
    assert!(futures::poll!(&mut writing).is_pending());
    cached.close().await;
    assert!(writing.await.is_ok());
}
