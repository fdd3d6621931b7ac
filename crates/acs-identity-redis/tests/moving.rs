//! Moving house into Redis, from there into a cluster, and home: nothing of a mapping is lost on the way.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acs_identity_core::moving::{Checkpoint, Counts, Finding, Move, Stage};
use acs_identity_core::{
    AcsId, CustomerId, ErrorKind, Expect, Link, Mapping, MappingStore, MappingStoreExt, MemoryStore, Namespace,
    Properties,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Server, cluster_urls, url};
use futures::TryStreamExt;

const CUSTOMERS: [&str; 4] = ["bob", "Bob", "bób", "bo\u{301}b"];

/// Nobody else's, on servers that others may use.
fn namespace() -> Namespace {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Namespace::new(&format!("moving-{}-{}", std::process::id(), now.as_nanos())).unwrap()
}

/// With a deadline that is long, for a machine that has other things to do.
async fn open(options: RedisOptions, namespace: &Namespace) -> RedisStore {
    options.namespace(namespace.clone()).call_deadline(Duration::from_secs(30)).open().await.unwrap()
}

/// IDs that a careless comparison would take for one another, some that look like a part of a key, one of the greatest
/// length, and plain ones.
fn ids(plain: usize) -> Vec<AcsId> {
    let odd = ["8:acs:r_a", "8:acs:r_A", "8:acs:r_a ", "8:acs:r_á", "8:acs:r_a\u{301}", "8:acs:r_{a}", "8:acs:r_*?[a]"];
    let longest = "x".repeat(acs_identity_core::MAX_ID_BYTES);
    let uuids =
        (0..plain).map(|n| format!("8:acs:5f3e9a1c-7d2b-4c86-9e41-0a8b6d2f7c13_{n:08x}-3456-789a-bcde-f0123456789a"));
    let texts = odd.into_iter().map(str::to_owned).chain([longest]).chain(uuids);
    texts.map(|text| AcsId::new(text).unwrap()).collect()
}

/// Fills a store so that its mappings have all that a mapping can have.
async fn fill(store: &dyn MappingStore, plain: usize) {
    let ids = ids(plain);
    let links = |when: fn(AcsId, CustomerId) -> Link, step: usize| -> Vec<Link> {
        let numbered = ids.iter().enumerate().step_by(step);
        let link = |(n, id): (usize, &AcsId)| {
            let mut link = when(id.clone(), CUSTOMERS[n % 4].parse().unwrap());
            if n % 3 == 0 {
                let properties = [("name", "Bøb \"'\\ \u{1f600}".to_owned()), ("n", n.to_string())];
                link = link.with_properties(Properties::new(properties).unwrap());
            }
            if n % 5 == 0 {
                link = link.expiring_in(Duration::from_secs(86_400) + Duration::from_micros(n as u64));
            }
            link
        };
        numbered.map(link).collect()
    };
    assert!(store.link_many(&links(Link::create, 1)).await.iter().all(Result::is_ok));
    // Revisions and creation times move apart.
    assert!(store.link_many(&links(Link::replace, 7)).await.iter().all(Result::is_ok));
    for id in ids.iter().step_by(100) {
        assert!(store.unlink(id, Expect::Any).await.unwrap().is_some());
    }
}

/// Everything in a store; once, also what a server lists twice.
async fn all(store: &dyn MappingStore) -> BTreeMap<AcsId, Mapping> {
    store.scan_all().map_ok(|mapping| (mapping.acs_id.clone(), mapping)).try_collect().await.unwrap()
}

/// Moves to the end from a checkpoint, in a new stream after each page, as after a break.
async fn finish(moving: Move<'_>, mut checkpoint: Checkpoint) -> (Counts, Vec<Finding>) {
    let mut findings = Vec::new();
    while let Some(page) = moving.run(checkpoint.clone()).try_next().await.unwrap() {
        findings.extend(page.findings);
        checkpoint = serde_json::from_str(&serde_json::to_string(&page.checkpoint).unwrap()).unwrap();
    }
    assert_eq!(checkpoint.stage(), None);
    (*checkpoint.counts(), findings)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_home_after_a_journey_through_a_server_and_a_cluster() {
    let (namespace, another_namespace) = (namespace(), namespace());
    let memory = || MemoryStore::new().in_namespace(namespace.clone());
    let journey: [Arc<dyn MappingStore>; 5] = [
        Arc::new(memory()),
        Arc::new(open(RedisOptions::url(url(Kind::Redis)), &namespace).await),
        Arc::new(open(RedisOptions::cluster(cluster_urls()), &namespace).await),
        // A namespace in which there is nothing yet.
        Arc::new(open(RedisOptions::url(url(Kind::Redis)), &another_namespace).await),
        Arc::new(memory()),
    ];
    fill(&*journey[0], 2000).await;
    let there = all(&*journey[0]).await;
    assert!(there.len() > 1900);
    assert!(there.values().any(|mapping| mapping.expires_at.is_some() && !mapping.properties.is_empty()));
    assert!(there.values().any(|mapping| mapping.created_at.as_micros() != mapping.revision.get()));

    for leg in journey.windows(2) {
        let moving = Move::new(&*leg[0], &*leg[1]).page_size(300).unwrap();
        let (counts, findings) = finish(moving, Checkpoint::default()).await;
        assert!(findings.is_empty(), "{findings:?}");
        let number = there.len() as u64;
        assert_eq!((counts.copy.written, counts.copy.failed, counts.differences()), (number, 0, 0));
        // More, if Redis lists one twice.
        assert!(counts.verify.same >= number && counts.reverse.present >= number, "{counts:?}");
        assert_eq!(all(&*leg[1]).await, there);
        for customer in CUSTOMERS {
            let customer = customer.parse().unwrap();
            let [mine, theirs] = [&leg[0], &leg[1]].map(|store| store.all_mappings_of(&customer));
            assert_eq!(mine.await.unwrap(), theirs.await.unwrap());
        }
    }
}

/// Begins to move, in small pages, and is interrupted in the copy; then begins the copy anew.
async fn interrupted(from: &dyn MappingStore, interrupt: impl AsyncFnOnce()) {
    let to = MemoryStore::new();
    let moving = Move::new(from, &to).page_size(20).unwrap();
    let mut pages = moving.run(Checkpoint::default());
    // A page may be empty.
    let first = loop {
        let page = pages.try_next().await.unwrap().unwrap();
        if page.checkpoint.counts().copy.written > 0 {
            break page;
        }
    };
    drop(pages);
    assert_eq!(first.checkpoint.stage(), Some(Stage::Copy));
    let copied = first.checkpoint.counts().copy.written;
    interrupt().await;

    // Not by itself, and not after a while.
    for _ in 0..2 {
        let error = moving.run(first.checkpoint.clone()).try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("which has to begin anew"), "{error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (counts, findings) = finish(moving, Checkpoint::at(Stage::Copy)).await;
    assert!(findings.is_empty(), "{findings:?}");
    assert!(counts.copy.kept >= copied, "{counts:?}");
    assert_eq!(counts.differences(), 0);
    assert_eq!(all(&to).await, all(from).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_server_the_stage_is_begun_anew() {
    let mut server = Server::start_with(Kind::Redis, &[("appendonly", "yes"), ("appendfsync", "always")]).unwrap();
    let store = open(RedisOptions::url(server.url()), &Namespace::default()).await;
    fill(&store, 200).await;
    interrupted(&store, async || server.restart().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_of_the_cluster_the_stage_is_begun_anew() {
    let cluster = Cluster::start().unwrap();
    let store = open(RedisOptions::cluster(cluster.urls()), &Namespace::default()).await;
    fill(&store, 200).await;
    let slot = cluster.slot_of("acsid:default:m:{}8:acs:r_a");
    let from = cluster.master_of(slot).unwrap();
    interrupted(&store, async || {
        cluster.migrate_slot(slot, (from + 1) % 3).unwrap().finish().unwrap();
        cluster.wait_until_ready().unwrap();
        // Somebody asks for what has moved, and the store learns of it.
        store.unlink(&"8:acs:r_a".parse().unwrap(), Expect::Any).await.unwrap();
    })
    .await;
}
