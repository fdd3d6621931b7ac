//! The index by customer in a cluster has too much in it at times, and never too little, whatever writers and repairs do at once.
//!
//! Each does its steps here by hand, in the order in which a test wants them.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, Link, MappingStore, MappingStoreExt, Namespace, Resolver};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Kind, cluster_urls, url};
use by_hand::ByHand;
use redis::cmd;

const ID: &str = "8:acs:r_1";
const ENTRY: &str = "";
const INTENT: &str = "\0";
const MARK: &str = "\u{1}";
/// Later than any writer is.
const NEVER: u64 = 1 << 52;

fn namespace(test: &str) -> Namespace {
    Namespace::new(&format!("{test}-{:016x}", RandomState::new().hash_one(test))).unwrap()
}

async fn on_cluster(test: &str) -> (RedisStore, ByHand) {
    let (urls, namespace) = (cluster_urls(), namespace(test));
    let by_hand = ByHand::new(urls.clone(), &namespace);
    (RedisOptions::cluster(urls).namespace(namespace).open().await.unwrap(), by_hand)
}

fn customer(text: &str) -> CustomerId {
    CustomerId::new(text).unwrap()
}

fn acs(text: &str) -> AcsId {
    AcsId::new(text).unwrap()
}

fn create(to: &str) -> Link {
    Link::create(acs(ID), customer(to))
}

fn replace(to: &str) -> Link {
    Link::replace(acs(ID), customer(to))
}

async fn ids_of(store: &RedisStore, of: &str) -> Vec<String> {
    let mappings = store.all_mappings_of(&customer(of)).await.unwrap();
    mappings.iter().map(|mapping| mapping.acs_id.as_str().to_owned()).collect()
}

async fn who(store: &RedisStore) -> Option<String> {
    let found = store.resolve(&acs(ID)).await.unwrap();
    found.map(|found| found.customer_id().as_str().to_owned())
}

/// All steps of a link that replaces, by hand.
fn link_by_hand(by_hand: &ByHand, to: &str) {
    let (noted, _) = by_hand.step(ID, to, "n", "", "");
    let written = by_hand.write(&replace(to), NEVER).unwrap();
    by_hand.step(ID, to, "s", &noted.to_string(), &written.created.to_string());
}

#[tokio::test]
async fn a_reader_sweeps_away_an_entry_without_a_record() {
    let (store, by_hand) = on_cluster("swept").await;
    by_hand.step(ID, "ann", "a", "1", "");
    assert!(ids_of(&store, "ann").await.is_empty());
    assert_eq!(by_hand.members(ID, "ann"), [""; 0]);
    // Neither does one stay that leads to somebody else's record.
    store.link(create("bea")).await.unwrap();
    by_hand.step(ID, "ann", "a", "1", "");
    assert!(ids_of(&store, "ann").await.is_empty());
    assert_eq!(by_hand.members(ID, "ann"), [""; 0]);
    assert_eq!(ids_of(&store, "bea").await, [ID]);
}

#[tokio::test]
async fn an_intent_protects_its_entry_until_it_is_too_old() {
    let (store, by_hand) = on_cluster("protected").await;
    let (noted, _) = by_hand.step(ID, "ann", "n", "", "");
    for _ in 0..2 {
        assert!(ids_of(&store, "ann").await.is_empty(), "it is no mapping yet");
        assert_eq!(by_hand.members(ID, "ann"), [ENTRY, INTENT]);
    }
    // After ten minutes no writer counts on it any more, as none writes a record after half a minute.
    for (age, left) in [(Duration::from_secs(590), 2), (Duration::from_secs(610), 0)] {
        let at = -(noted as i64 - age.as_micros() as i64);
        let added: u64 = by_hand.run(cmd("ZADD").arg(by_hand.index(ID, "ann")).arg(at).arg(format!("{INTENT}{ID}")));
        assert_eq!(added, 0);
        assert!(ids_of(&store, "ann").await.is_empty());
        assert_eq!(by_hand.members(ID, "ann").len(), left);
    }
}

#[tokio::test]
async fn an_intent_takes_away_the_mark_of_a_reader_who_doubts_the_entry() {
    let (store, by_hand) = on_cluster("marked").await;
    by_hand.step(ID, "ann", "a", "1", "");
    let (marked, done) = by_hand.step(ID, "ann", "m", "", "");
    assert_eq!((done, by_hand.members(ID, "ann")), (1, vec![ENTRY.to_owned(), MARK.to_owned()]));
    // The reader finds no record. Then a writer comes, from begin to end.
    link_by_hand(&by_hand, "ann");
    by_hand.step(ID, "ann", "w", &marked.to_string(), "");
    assert_eq!(ids_of(&store, "ann").await, [ID]);
    assert_eq!(by_hand.members(ID, "ann"), [ENTRY]);
    // And while a writer is at it, nobody can mark the entry.
    by_hand.step(ID, "ann", "n", "", "");
    assert_eq!(by_hand.step(ID, "ann", "m", "", "").1, 0);
    assert_eq!(by_hand.members(ID, "ann"), [ENTRY, INTENT]);
}

#[tokio::test]
async fn a_sweep_goes_by_its_own_mark() {
    let (store, by_hand) = on_cluster("own-mark").await;
    by_hand.step(ID, "ann", "a", "1", "");
    // One reader finds no record; then a writer comes, and then another reader with doubts, who will find the record.
    let (marked, _) = by_hand.step(ID, "ann", "m", "", "");
    link_by_hand(&by_hand, "ann");
    assert_eq!(by_hand.step(ID, "ann", "m", "", "").1, 1);
    by_hand.step(ID, "ann", "w", &marked.to_string(), "");
    assert_eq!(ids_of(&store, "ann").await, [ID]);
}

#[tokio::test]
async fn a_writer_who_is_late_to_drop_the_former_entry_leaves_a_newer_one_alone() {
    let (store, by_hand) = on_cluster("late-drop").await;
    store.link(create("ann")).await.unwrap();
    // From ann to bea, up to the record; and before the former entry is dropped, back to ann.
    by_hand.step(ID, "bea", "n", "", "");
    let written = by_hand.write(&replace("bea"), NEVER).unwrap();
    let (former, created) = written.former.unwrap();
    assert_eq!(former, "ann");
    store.link(replace("ann")).await.unwrap();
    by_hand.step(ID, "ann", "d", &created.to_string(), "");
    assert_eq!(who(&store).await.as_deref(), Some("ann"));
    assert_eq!(ids_of(&store, "ann").await, [ID]);
    assert!(ids_of(&store, "bea").await.is_empty());
}

#[tokio::test]
async fn a_link_that_was_refused_takes_back_its_own_entry_only() {
    let (store, by_hand) = on_cluster("refused").await;
    store.link(create("cleo")).await.unwrap();
    // Alone, it leaves nothing behind.
    store.link(create("ann")).await.unwrap_err();
    assert_eq!(by_hand.members(ID, "ann"), [""; 0]);
    // Two at once: one who only creates is refused, the other one replaces.
    for creator_is_first in [true, false] {
        link_by_hand(&by_hand, "cleo");
        let note = || by_hand.step(ID, "ann", "n", "", "").0.to_string();
        let (mut creator, replacer) = (note(), note());
        if !creator_is_first {
            creator = note();
        }
        assert!(!by_hand.write(&create("ann"), NEVER).unwrap().changed);
        let created = by_hand.write(&replace("ann"), NEVER).unwrap().created.to_string();
        by_hand.step(ID, "ann", "s", &replacer, &created);
        by_hand.step(ID, "ann", "s", &creator, "");
        assert_eq!(who(&store).await.as_deref(), Some("ann"));
        assert_eq!(ids_of(&store, "ann").await, [ID], "the creator first: {creator_is_first}");
    }
}

#[tokio::test]
async fn a_link_that_was_refused_leaves_the_others_intent_in_place() {
    let (store, by_hand) = on_cluster("two-intents").await;
    store.link(create("cleo")).await.unwrap();
    by_hand.step(ID, "ann", "n", "", "");
    // Somebody else begins later and ends earlier.
    store.link(create("ann")).await.unwrap_err();
    // A reader in between must not take the first one's entry away.
    assert!(ids_of(&store, "ann").await.is_empty());
    by_hand.write(&replace("ann"), NEVER).unwrap();
    // Here the first one dies.
    assert_eq!(who(&store).await.as_deref(), Some("ann"));
    assert_eq!(ids_of(&store, "ann").await, [ID]);
}

#[tokio::test]
async fn a_record_whose_intent_is_too_old_is_not_written() {
    let (store, by_hand) = on_cluster("too-late").await;
    store.link(create("ann")).await.unwrap();
    let record = || -> Vec<u8> { by_hand.run(cmd("GET").arg(by_hand.record(ID))) };
    let before = record();
    let (noted, _) = by_hand.step(ID, "bea", "n", "", "");
    assert!(by_hand.write(&replace("bea"), noted - 1).is_none(), "it only tells the time");
    assert_eq!(record(), before);
    assert_eq!(who(&store).await.as_deref(), Some("ann"));
    assert!(by_hand.write(&replace("bea"), noted + 30_000_000).unwrap().changed);
    assert_eq!(who(&store).await.as_deref(), Some("bea"));
}

async fn an_index_that_was_lost_is_made_anew(urls: Vec<String>, options: RedisOptions) {
    const CUSTOMERS: usize = 7;
    let namespace = namespace("rebuilt");
    let by_hand = ByHand::new(urls, &namespace);
    let store = options.namespace(namespace).open().await.unwrap();
    let of = |n: usize| customer(&format!("customer-{}", n % CUSTOMERS));
    let links: Vec<Link> = (0..1200)
        .map(|n| {
            let link = Link::create(acs(&format!("8:acs:r_{n}")), of(n));
            if n % 5 == 0 { link.expiring_in(Duration::from_secs(3600)) } else { link }
        })
        .collect();
    assert!(store.link_many(&links).await.iter().all(Result::is_ok));
    let lists = async || {
        let mut lists = Vec::new();
        for n in 0..CUSTOMERS {
            lists.push(store.all_mappings_of(&of(n)).await.unwrap());
        }
        lists
    };
    let before = lists().await;
    assert_eq!(before.iter().map(Vec::len).sum::<usize>(), links.len());
    for key in by_hand.indexes() {
        let removed: u64 = by_hand.run(cmd("DEL").arg(key));
        assert_eq!(removed, 1);
    }
    assert!(lists().await.iter().all(Vec::is_empty), "there is no index to read");
    for _ in 0..2 {
        assert_eq!(store.rebuild_reverse().await.unwrap(), links.len() as u64);
        assert_eq!(lists().await, before);
    }
}

#[tokio::test]
async fn an_index_that_was_lost_is_made_anew_on_one_server() {
    let url = url(Kind::Redis);
    an_index_that_was_lost_is_made_anew(vec![url.clone()], RedisOptions::url(url)).await;
}

#[tokio::test]
async fn an_index_that_was_lost_is_made_anew_in_a_cluster() {
    let urls = cluster_urls();
    an_index_that_was_lost_is_made_anew(urls.clone(), RedisOptions::cluster(urls)).await;
}

#[tokio::test]
async fn what_has_expired_is_purged_although_its_indexes_were_lost() {
    let (one, many) = (url(Kind::Redis), cluster_urls());
    for (urls, options) in [(vec![one.clone()], RedisOptions::url(one)), (many.clone(), RedisOptions::cluster(many))] {
        let namespace = namespace("expired");
        let by_hand = ByHand::new(urls, &namespace);
        let store = options.namespace(namespace).open().await.unwrap();
        let link = |n: u64| Link::create(acs(&format!("8:acs:r_{n}")), customer("ann"));
        let links: Vec<Link> = (0..30).map(|n| link(n).expiring_in(Duration::from_millis(50))).collect();
        assert!(store.link_many(&links).await.iter().all(Result::is_ok));
        for key in by_hand.indexes().into_iter().chain(by_hand.expiring()) {
            by_hand.run::<u64>(cmd("DEL").arg(key));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(store.rebuild_reverse().await.unwrap(), 30);
        assert_eq!(store.purge_expired(100).await.unwrap(), 30);
        assert_eq!((by_hand.indexes(), by_hand.expiring()), (vec![], vec![]));
    }
}
