//! The Redis store does what the in-memory store does, whatever is done to both.
//!
//! Each goes by a clock of its own, so times are compared only where the caller gave them, and revisions by what they are to the
//! store itself. Nothing waits: a lifetime is over at once, or not within the test.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, MappingStore, MappingStoreExt, MemoryStore,
    Namespace, PageRequest, Properties, Resolution, Result, Revision, Timestamp,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Kind, cluster_urls, url};
use futures::TryStreamExt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

/// Revisions from here on are not of the time of any clock.
const FAR: u64 = Revision::MAX.get() - 1000;
/// When what is imported was created, and when it expires if that is not long ago.
const CREATED: u64 = 1_000_000;
const LATER: u64 = Timestamp::MAX.as_micros() - 1;

#[derive(Debug, Clone)]
enum Step {
    Link { id: u8, customer: u8, when: u8, lasting: Option<bool>, property: Option<String> },
    Many(Vec<(u8, u8, bool)>),
    Import { id: u8, customer: u8, revision: u8, lasting: Option<bool> },
    Unlink { id: u8, expect: u8, customer: u8 },
    UnlinkCustomer(u8),
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let (id, customer) = (0..6_u8, 0..4_u8);
    let lasting = prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let property = prop::option::of(any::<String>());
    let pairs = prop::sample::subsequence((0..6_u8).collect::<Vec<_>>(), 0..6).prop_flat_map(|ids| {
        let count = ids.len();
        let others = prop::collection::vec((0..4_u8, any::<bool>()), count);
        others.prop_map(move |others| ids.iter().zip(others).map(|(id, (to, create))| (*id, to, create)).collect())
    });
    prop_oneof![
        8 => (id.clone(), customer.clone(), 0..4_u8, lasting.clone(), property)
            .prop_map(|(id, customer, when, lasting, property)| Step::Link { id, customer, when, lasting, property }),
        3 => pairs.prop_map(Step::Many),
        3 => (id.clone(), customer.clone(), 0..8_u8, lasting)
            .prop_map(|(id, customer, revision, lasting)| Step::Import { id, customer, revision, lasting }),
        4 => (id, 0..4_u8, customer.clone()).prop_map(|(id, expect, customer)| Step::Unlink { id, expect, customer }),
        1 => customer.prop_map(Step::UnlinkCustomer),
        1 => Just(Step::Purge),
    ]
}

/// IDs that a careless comparison would take for one another, or for the parts of a key.
fn id(n: u8) -> AcsId {
    let text =
        ["8:acs:r_a", "8:acs:r_A", "8:acs:r_a ", "8:acs:r_a\u{301}", "}{8:acs:r_á}", "8:acs:r_*"][usize::from(n)];
    AcsId::new(text).unwrap()
}

fn customer(n: u8) -> CustomerId {
    CustomerId::new(["bob", "Bob", "bob{1}:", "b'o\"b"][usize::from(n)]).unwrap()
}

/// A store with what it last said of each revision.
struct Side<'a>(&'a dyn MappingStore);

impl Side<'_> {
    async fn present(&self, id: &AcsId) -> Option<Revision> {
        self.0.resolve(id).await.unwrap().and_then(|found| found.revision())
    }

    /// What a step answers, in a form that can be compared.
    async fn take(&self, step: &Step) -> String {
        let store = self.0;
        match step {
            Step::Link { id: n, customer: c, when, lasting, property } => {
                let (id, present) = (id(*n), self.present(&id(*n)).await);
                let revision = present.unwrap_or(Revision::new(7));
                let mut link = match when {
                    0 => Link::create(id, customer(*c)),
                    1 => Link::replace(id, customer(*c)),
                    2 => Link::if_revision(id, customer(*c), revision),
                    _ => Link::if_revision(id, customer(*c), Revision::new(revision.get() - 1)),
                };
                link.expires = lasting.map(lifetime);
                link.properties = Properties::new(property.iter().map(|value| ("name", value.as_str()))).unwrap();
                linked(store.link(link).await, present)
            }
            Step::Many(items) => {
                let links: Vec<Link> = items
                    .iter()
                    .map(|(n, c, create)| match create {
                        true => Link::create(id(*n), customer(*c)),
                        false => Link::replace(id(*n), customer(*c)),
                    })
                    .collect();
                let mut present = Vec::new();
                for link in &links {
                    present.push(self.present(&link.acs_id).await);
                }
                let answers = store.link_many(&links).await.into_iter().zip(present);
                answers.map(|(answer, present)| linked(answer, present)).collect()
            }
            Step::Import { id: n, customer: c, revision, lasting } => {
                let id = id(*n);
                let present = self.present(&id).await.map_or(7, Revision::get);
                let revision = match revision {
                    0 => present - 1,
                    1 => present,
                    2 => present + 1,
                    3 => 3,
                    far => FAR + u64::from(*far),
                };
                let mut mapping =
                    Mapping::new(id, customer(*c), Revision::new(revision), Timestamp::from_micros(CREATED));
                mapping.expires_at = lasting.map(|lasting| Timestamp::from_micros(if lasting { LATER } else { 5 }));
                let answers: Vec<Result<Imported>> = store.import(&[mapping]).await;
                format!("{:?}", answers.into_iter().map(|answer| answer.map_err(|e| e.kind())).collect::<Vec<_>>())
            }
            Step::Unlink { id: n, expect, customer: c } => {
                let (id, present) = (id(*n), self.present(&id(*n)).await);
                let revision = present.unwrap_or(Revision::new(7));
                let expect = match expect {
                    0 => Expect::Any,
                    1 => Expect::Customer(customer(*c)),
                    2 => Expect::Revision(revision),
                    _ => Expect::Revision(Revision::new(revision.get() + 1)),
                };
                match store.unlink(&id, expect).await {
                    Ok(removed) => format!("{:?}", removed.as_ref().map(plain)),
                    Err(error) => refused(&error, present),
                }
            }
            Step::UnlinkCustomer(c) => {
                let removed = store.unlink_customer(&customer(*c)).await.unwrap();
                // Whether it also frees the space of what had expired is a store's own affair.
                store.purge_expired(1000).await.unwrap();
                removed.to_string()
            }
            Step::Purge => store.purge_expired(1000).await.unwrap().to_string(),
        }
    }

    /// All that can be read, in a form that can be compared.
    async fn state(&self) -> String {
        let store = self.0;
        let ids: Vec<AcsId> = (0..6).chain(0..2).map(id).collect();
        let mut state = String::new();
        for (id, answer) in ids.iter().zip(&store.resolve_many(&ids).await) {
            let (one, many) = (store.resolve(id).await.unwrap(), answer.as_ref().unwrap());
            let resolved = |found: &Option<Resolution>| {
                found.as_ref().map(|it| {
                    let lasts = it.remaining().is_some();
                    (it.customer_id().as_str().to_owned(), it.properties().clone(), it.revision(), lasts)
                })
            };
            assert_eq!(resolved(&one), resolved(many), "resolve and resolve_many");
            write!(state, "{:?} ", resolved(&one).map(|it| (it.0, it.1, class(it.2.unwrap()), it.3))).unwrap();
        }
        for c in 0..4 {
            let whole = store.all_mappings_of(&customer(c)).await.unwrap();
            assert!(whole.is_sorted_by_key(|it| (it.created_at, it.acs_id.clone())), "oldest first");
            let mut paged = Vec::new();
            let mut request = PageRequest::first(1).unwrap();
            loop {
                let page = store.mappings_of(&customer(c), request.clone()).await.unwrap();
                paged.extend(page.items);
                let Some(next) = page.next else { break };
                request = request.after(next);
            }
            assert_eq!(paged, whole, "in pages of one");
            write!(state, "{:?} ", sorted(whole)).unwrap();
        }
        let all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
        write!(state, "{:?}", sorted(all)).unwrap();
        state
    }
}

fn lifetime(lasting: bool) -> Duration {
    if lasting { Duration::from_secs(100_000) } else { Duration::ZERO }
}

/// A revision, if it does not come from a clock.
fn class(revision: Revision) -> Option<u64> {
    Some(revision.get()).filter(|revision| (FAR..).contains(revision) || (..1000).contains(revision))
}

fn linked(answer: Result<Linked>, present: Option<Revision>) -> String {
    match answer {
        Ok(linked) => {
            let rises = present.is_none_or(|present| linked.revision > present || !linked.changed);
            format!(
                "{} {rises} {:?} {:?} ",
                linked.changed,
                class(linked.revision),
                linked.previous.as_ref().map(plain)
            )
        }
        Err(error) => refused(&error, present),
    }
}

/// The kind of an error, and whether it names the revision that is there.
fn refused(error: &Error, present: Option<Revision>) -> String {
    format!("{:?} {} ", error.kind(), error.present_revision() == present)
}

/// A mapping without what a clock has put into it.
fn plain(mapping: &Mapping) -> String {
    let created = Some(mapping.created_at.as_micros()).filter(|created| *created == CREATED);
    let expires = mapping.expires_at.map(|at| Some(at.as_micros()).filter(|at| *at == LATER));
    let Mapping { acs_id, customer_id, properties, revision, .. } = mapping;
    let (acs_id, customer_id) = (acs_id.as_str(), customer_id.as_str());
    format!("{acs_id:?} {customer_id:?} {properties:?} {:?} {created:?} {expires:?}", class(*revision))
}

fn sorted(mappings: Vec<Mapping>) -> Vec<String> {
    let mut plain: Vec<String> = mappings.iter().map(plain).collect();
    plain.sort();
    plain
}

fn it_answers_as_the_memory_store_does(cases: u32, options: RedisOptions) {
    let runtime = Runtime::new().unwrap();
    let redis: RedisStore = runtime.block_on(options.open()).unwrap();
    let (run, case) = (RandomState::new().hash_one("a run"), AtomicU32::new(0));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let property = |steps: Vec<Step>| {
        runtime.block_on(async {
            // One that no case had before it.
            let namespace = format!("model-{run:x}-{}", case.fetch_add(1, Ordering::Relaxed));
            let store = redis.in_namespace(Namespace::new(&namespace).unwrap());
            let memory = MemoryStore::new();
            let (store, memory) = (Side(&store), Side(&memory));
            for step in &steps {
                assert_eq!(store.take(step).await, memory.take(step).await, "{step:?}");
                assert_eq!(store.state().await, memory.state().await, "{step:?}");
            }
        });
        Ok(())
    };
    TestRunner::new(config).run(&prop::collection::vec(step(), 0..25), property).unwrap();
}

#[test]
fn on_one_server_it_answers_as_the_memory_store_does() {
    it_answers_as_the_memory_store_does(32, RedisOptions::url(url(Kind::Redis)));
}

#[test]
fn in_a_cluster_it_answers_as_the_memory_store_does() {
    it_answers_as_the_memory_store_does(16, RedisOptions::cluster(cluster_urls()));
}
