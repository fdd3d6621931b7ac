//! The SQL stores do what the in-memory store does, whatever is done to both.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
#[path = "common/still.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod still;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use acs_identity_core::{
    AcsId, Clock, CustomerId, Error, Expect, Link, Mapping, MappingStore, MappingStoreExt, MemoryStore, Namespace,
    PageRequest, Properties, Resolver, Result, Revision, Timestamp,
};
use by_hand::ByHand;
use futures::TryStreamExt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use still::{InMySql, InPostgres, InSqlite, Still};
use tokio::runtime::Runtime;

/// When it all begins.
const START: Timestamp = Timestamp::from_micros(1_000_000);

#[derive(Debug, Clone)]
enum Step {
    Link { id: u8, customer: u8, when: u8, seconds: Option<u8>, property: Option<String> },
    Many(Vec<(u8, u8)>),
    Import { id: u8, customer: u8, revision: u32, seconds: Option<u8> },
    Unlink { id: u8, expect: u8, customer: u8 },
    UnlinkCustomer(u8),
    Purge,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let (id, customer) = (0..6_u8, 0..4_u8);
    let seconds = prop::option::of(0..100_u8);
    prop_oneof![
        8 => (id.clone(), customer.clone(), 0..3_u8, seconds.clone(), prop::option::of(any::<String>()))
            .prop_map(|(id, customer, when, seconds, property)| Step::Link { id, customer, when, seconds, property }),
        2 => prop::collection::vec((id.clone(), customer.clone()), 0..6).prop_map(Step::Many),
        2 => (id.clone(), customer.clone(), any::<u32>(), seconds)
            .prop_map(|(id, customer, revision, seconds)| Step::Import { id, customer, revision, seconds }),
        4 => (id, 0..3_u8, customer.clone())
            .prop_map(|(id, expect, customer)| Step::Unlink { id, expect, customer }),
        1 => customer.prop_map(Step::UnlinkCustomer),
        1 => Just(Step::Purge),
        4 => (0..200_u16).prop_map(Step::Wait),
    ]
}

/// IDs that a careless comparison would take for one another.
fn id(n: u8) -> AcsId {
    let text = ["8:acs:r_a", "8:acs:r_A", "8:acs:r_a ", "8:acs:r_á", "8:acs:r_a\u{301}", "8:acs:r_%"][usize::from(n)];
    AcsId::new(text).unwrap()
}

fn customer(n: u8) -> CustomerId {
    CustomerId::new(["bob", "Bob", "bob ", "b'o\"b"][usize::from(n)]).unwrap()
}

fn plain<T>(result: Result<T>) -> Result<T, (acs_identity_core::ErrorKind, Option<Revision>)> {
    result.map_err(|error: Error| (error.kind(), error.present_revision()))
}

/// What a step answers, in a form that can be compared.
async fn take(store: &dyn MappingStore, step: &Step, now: Timestamp) -> String {
    let revision = async |id: &AcsId| store.resolve(id).await.unwrap().and_then(|found| found.revision());
    match step {
        Step::Link { id: n, customer: c, when, seconds, property } => {
            let id = id(*n);
            let present = revision(&id).await.unwrap_or(Revision::new(7));
            let mut link = match when {
                0 => Link::create(id, customer(*c)),
                1 => Link::replace(id, customer(*c)),
                _ => Link::if_revision(id, customer(*c), present),
            };
            link.expires = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            link.properties = Properties::new(property.iter().map(|value| ("name", value.as_str()))).unwrap();
            format!("{:?}", plain(store.link(link).await))
        }
        Step::Many(pairs) => {
            let links: Vec<_> = pairs.iter().map(|(n, c)| Link::create(id(*n), customer(*c))).collect();
            let answers = store.link_many(&links).await;
            format!("{:?}", answers.into_iter().map(plain).collect::<Vec<_>>())
        }
        Step::Import { id: n, customer: c, revision, seconds } => {
            let mut mapping = Mapping::new(id(*n), customer(*c), Revision::new((*revision).into()), now);
            mapping.expires_at = seconds.map(|seconds| now.saturating_add(Duration::from_secs(seconds.into())));
            let answers = store.import(&[mapping]).await;
            format!("{:?}", answers.into_iter().map(plain).collect::<Vec<_>>())
        }
        Step::Unlink { id: n, expect, customer: c } => {
            let id = id(*n);
            let expect = match expect {
                0 => Expect::Any,
                1 => Expect::Customer(customer(*c)),
                _ => Expect::Revision(revision(&id).await.unwrap_or(Revision::new(7))),
            };
            format!("{:?}", plain(store.unlink(&id, expect).await))
        }
        Step::UnlinkCustomer(c) => {
            let removed = store.unlink_customer(&customer(*c)).await;
            // Whether it also frees the space of what had expired is a store's own affair.
            store.purge_expired(1000).await.unwrap();
            format!("{:?}", plain(removed))
        }
        Step::Purge => format!("{:?}", plain(store.purge_expired(1000).await)),
        Step::Wait(_) => String::new(),
    }
}

/// All that can be read, in a form that can be compared.
async fn state(store: &dyn MappingStore) -> String {
    let ids: Vec<AcsId> = (0..6).chain(0..2).map(id).collect();
    let answers = store.resolve_many(&ids).await;
    for (id, answer) in ids.iter().zip(&answers) {
        assert_eq!(plain(answer.clone()), plain(store.resolve(id).await));
    }
    let mut lists = Vec::new();
    for c in 0..4 {
        let mut request = PageRequest::first(1).unwrap();
        loop {
            let page = store.mappings_of(&customer(c), request.clone()).await.unwrap();
            lists.extend(page.items);
            let Some(next) = page.next else { break };
            request = request.after(next);
        }
    }
    let mut all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    all.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
    format!("{answers:?} {lists:?} {all:?}")
}

fn it_answers_as_the_memory_store_does<S: Still>() {
    let runtime = Runtime::new().unwrap();
    let still = runtime.block_on(S::new());
    let cases = AtomicU32::new(0);
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let property = |steps: Vec<Step>| {
        runtime.block_on(async {
            still.set(START).await;
            let model = MemoryStore::with_clock(Arc::new(still.clock().clone()));
            // One that no case had before it.
            let case = cases.fetch_add(1, Ordering::Relaxed);
            let store = still.in_namespace(Namespace::new(&format!("case-{case}")).unwrap());
            for step in &steps {
                if let Step::Wait(minutes) = step {
                    still.advance(Duration::from_secs(u64::from(*minutes) * 60)).await;
                }
                let now = still.clock().now();
                assert_eq!(take(&store, step, now).await, take(&model, step, now).await, "{step:?}");
                assert_eq!(state(&store).await, state(&model).await, "{step:?}");
            }
        });
        Ok(())
    };
    TestRunner::new(config).run(&prop::collection::vec(step(), 0..30), property).unwrap();
}

async fn large_batches_and_large_values_are_kept_whole<S: Still>() {
    let still = S::new().await;
    let store = still.store();
    let long = |n: usize| AcsId::new(format!("{n:0>512}")).unwrap();
    let properties = Properties::new([("name", "\"".repeat(4092))]).unwrap();
    let link = |n| Link::create(long(n), CustomerId::from(n as u64 % 3)).with_properties(properties.clone());
    let links: Vec<Link> = (0..1300).map(link).collect();
    assert!(store.link_many(&links).await.iter().all(|answer| answer.as_ref().is_ok_and(|linked| linked.changed)));
    let ids: Vec<AcsId> = (0..1400).rev().map(long).collect();
    let answers = store.resolve_many(&ids).await;
    for (place, answer) in answers.iter().enumerate() {
        let n = 1399 - place;
        let found = answer.as_ref().unwrap().as_ref();
        assert_eq!(found.map(|it| it.customer_id().clone()), (n < 1300).then(|| CustomerId::from(n as u64 % 3)));
        assert!(found.is_none_or(|it| *it.properties() == properties));
    }
    assert_eq!(store.unlink_customer(&CustomerId::from(1)).await.unwrap(), 433);
    assert_eq!(store.scan_all().try_collect::<Vec<_>>().await.unwrap().len(), 867);
    assert!(store.all_mappings_of(&CustomerId::from(1)).await.unwrap().is_empty());
}

async fn a_purge_stops_at_its_limit_and_leaves_nothing_behind<S: Still>() {
    let still = S::new().await;
    still.set(START).await;
    let store = still.store();
    let link = |n: u64| {
        Link::create(AcsId::new(n.to_string()).unwrap(), CustomerId::from(n)).expiring_in(Duration::from_secs(1))
    };
    assert!(store.link_many(&(0..1300).map(link).collect::<Vec<_>>()).await.iter().all(Result::is_ok));
    still.advance(Duration::from_secs(1)).await;
    for expected in [0, 600, 600, 100, 0] {
        let limit = if expected == 0 { 0 } else { 600 };
        assert_eq!(store.purge_expired(limit).await.unwrap(), expected);
    }
    still.advance(Duration::from_secs(3600)).await;
    assert_eq!(store.purge_expired(5000).await.unwrap(), 0);
    assert_eq!(still.by_hand().await.number("SELECT count(*) FROM acs_identity_mappings").await, 0);
    let again = store.link(Link::create(AcsId::new("7").unwrap(), CustomerId::from(7))).await.unwrap();
    assert_eq!(again.revision, Revision::new(3_602_000_000));
}

macro_rules! models {
    ($module:ident, $still:ty) => {
        mod $module {
            use super::*;

            #[test]
            fn it_answers_as_the_memory_store_does() {
                super::it_answers_as_the_memory_store_does::<$still>();
            }

            #[tokio::test]
            async fn large_batches_and_large_values_are_kept_whole() {
                super::large_batches_and_large_values_are_kept_whole::<$still>().await;
            }

            #[tokio::test]
            async fn a_purge_stops_at_its_limit_and_leaves_nothing_behind() {
                super::a_purge_stops_at_its_limit_and_leaves_nothing_behind::<$still>().await;
            }
        }
    };
}

models!(mysql, InMySql);
models!(postgres, InPostgres);
models!(sqlite, InSqlite);
