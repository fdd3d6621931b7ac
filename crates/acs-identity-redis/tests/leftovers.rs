//! What is left on the servers of mappings that are gone: nothing of what had expired, once it is purged, and nothing of a customer who
//! was unlinked.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, ErrorKind, Expect, Imported, Link, Mapping, MappingStore, MappingStoreExt, Namespace,
    PageRequest, Resolver, Revision, Timestamp,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Server, cluster_urls, url};
use by_hand::ByHand;
use redis::cmd;

const ID: &str = "8:acs:r_1";
const SHORT: Duration = Duration::from_millis(50);

fn acs(text: impl AsRef<str>) -> AcsId {
    AcsId::new(text.as_ref()).unwrap()
}

fn ann() -> CustomerId {
    "ann".parse().unwrap()
}

/// On a server and on a cluster, in a namespace of its own.
async fn deployments(test: &str) -> [(RedisStore, ByHand); 2] {
    let of = std::process::id();
    let namespace = Namespace::new(&format!("{test}-{of}")).unwrap();
    let (one, many) = (url(Kind::Redis), cluster_urls());
    let open = async |options: RedisOptions, urls| {
        (options.namespace(namespace.clone()).open().await.unwrap(), ByHand::new(urls, &namespace))
    };
    [open(RedisOptions::url(&one), vec![one.clone()]).await, open(RedisOptions::cluster(&many), many.clone()).await]
}

#[tokio::test]
async fn what_has_expired_is_there_until_it_is_purged_and_then_gone_from_every_index() {
    for (store, by_hand) in deployments("expired").await {
        let links: Vec<Link> =
            (0..40).map(|n| Link::create(acs(format!("8:acs:r_{n}")), ann()).expiring_in(SHORT)).collect();
        store.link_many(&links).await.into_iter().for_each(|linked| drop(linked.unwrap()));
        tokio::time::sleep(2 * SHORT).await;
        // Redis itself drops no record: who purges late would not learn any more whose it was.
        for link in &links {
            assert_eq!(by_hand.run::<i64>(cmd("PTTL").arg(by_hand.record(link.acs_id.as_str()))), -1);
        }
        assert!(!by_hand.indexes().is_empty() && !by_hand.expiring().is_empty());
        assert_eq!(store.purge_expired(1000).await.unwrap(), 40);
        assert_eq!((by_hand.indexes(), by_hand.expiring()), (vec![], vec![]));
        for link in &links {
            assert!(by_hand.run::<i64>(cmd("PTTL").arg(by_hand.record(link.acs_id.as_str()))) > 0, "a tombstone");
        }
    }
}

#[tokio::test]
async fn what_is_unlinked_before_it_expires_is_gone_from_every_index() {
    for (store, by_hand) in deployments("unlinked").await {
        let lasting = |n: u32| Link::create(acs(format!("8:acs:r_{n}")), ann()).expiring_in(Duration::from_secs(3600));
        store.link_many(&(0..10).map(lasting).collect::<Vec<_>>()).await.into_iter().for_each(|it| drop(it.unwrap()));
        // One is no longer to expire, one later, one is unlinked; and then all are.
        store.link(Link::replace(acs("8:acs:r_0"), ann())).await.unwrap();
        store.link(lasting(1).expiring_in(Duration::from_secs(7200))).await.unwrap();
        store.unlink(&acs("8:acs:r_2"), Expect::Any).await.unwrap().unwrap();
        assert_eq!(by_hand.expiring_ids(), 8);
        assert_eq!(store.unlink_customer(&ann()).await.unwrap(), 9);
        assert_eq!((by_hand.indexes(), by_hand.expiring()), (vec![], vec![]));
    }
}

#[tokio::test]
async fn however_many_entries_are_left_over_they_go_with_the_customer() {
    for (store, by_hand) in deployments("many").await {
        for n in 0..1100 {
            let id = format!("8:acs:r_{n}");
            by_hand.run::<u64>(cmd("ZADD").arg(by_hand.index(&id, "ann")).arg(1000 + n).arg(&id));
        }
        store.link(Link::create(acs("8:acs:r_new"), ann())).await.unwrap();
        assert_eq!(store.unlink_customer(&ann()).await.unwrap(), 1);
        assert_eq!(by_hand.indexes(), [""; 0]);
    }
}

#[tokio::test]
async fn two_writers_of_one_pair_leave_no_intent() {
    let [_, (store, by_hand)] = deployments("two-writers").await;
    let note = || by_hand.step(ID, "ann", "n", "", "").0.to_string();
    let notes = [note(), note(), note()];
    let written = by_hand.write(&Link::create(acs(ID), ann()), 1 << 52).unwrap();
    let created = written.created.to_string();
    for (n, noted) in notes.iter().enumerate() {
        assert!(by_hand.members(ID, "ann").contains(&"\0".to_owned()), "somebody is at it still");
        // One of them has failed.
        by_hand.step(ID, "ann", "s", noted, if n == 1 { "" } else { &created });
    }
    assert_eq!(by_hand.members(ID, "ann"), [""]);
    assert_eq!(store.all_mappings_of(&ann()).await.unwrap().len(), 1);
    // So nothing keeps his entry from being removed.
    assert_eq!(store.unlink_customer(&ann()).await.unwrap(), 1);
    assert_eq!(by_hand.indexes(), [""; 0]);
}

#[tokio::test]
async fn of_two_writers_of_one_pair_the_later_keeps_his_entry() {
    let [_, (store, by_hand)] = deployments("later").await;
    let replace = |to: &str| Link::replace(acs(ID), to.parse().unwrap());
    let note = || by_hand.step(ID, "ann", "n", "", "").0.to_string();
    let write = |to: &str| by_hand.write(&replace(to), 1 << 52).unwrap();
    // To ann; to bea; to ann again. The first of them settles last, and after that bea's writer drops what he has replaced.
    let (first_note, later_note) = (note(), note());
    let first = write("ann");
    let former = write("bea").former.unwrap();
    assert_eq!(former, ("ann".to_owned(), first.created));
    let later = write("ann");
    by_hand.step(ID, "ann", "s", &later_note, &later.created.to_string());
    by_hand.step(ID, "ann", "s", &first_note, &first.created.to_string());
    assert_eq!(by_hand.members(ID, "ann"), [""], "nobody intends any more");
    by_hand.step(ID, "ann", "d", &first.created.to_string(), "");
    assert_eq!(store.all_mappings_of(&ann()).await.unwrap().len(), 1);

    // The same of the expiry.
    let key = by_hand.expiring_part(ID);
    let step = |what: &str, first: &str, second: &str| by_hand.step_at(&key, ID, what, first, second).0.to_string();
    let intend = |at: &str| {
        let noted = step("i", "", "");
        step("e", at, "");
        noted
    };
    let (first_note, later_note) = (intend("5000"), intend("9000"));
    step("t", &later_note, "9000");
    step("t", &first_note, "5000");
    step("k", "5000", "");
    let at: f64 = by_hand.run(cmd("ZSCORE").arg(&key).arg(ID));
    assert!(at <= 5000.0, "{at}");
    assert_eq!(store.purge_expired(10).await.unwrap(), 0);
    assert_eq!(by_hand.expiring_ids(), 0, "and who looks at the record takes it out");
}

#[tokio::test]
async fn an_entry_that_a_writer_may_still_need_is_told_until_it_is_gone() {
    let [_, (store, by_hand)] = deployments("orphan").await;
    // A writer that dies, or does not learn what became of its record.
    let (noted, _) = by_hand.step(ID, "ann", "n", "", "");
    by_hand.write(&Link::create(acs(ID), ann()), 1 << 52).unwrap();
    for _ in 0..2 {
        let error = store.unlink_customer(&ann()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_transient() && error.to_string().contains("ten minutes"), "{error}");
        assert_eq!(store.resolve(&acs(ID)).await.unwrap(), None, "the mapping itself is gone");
    }
    let past = -(noted as i64 - 610_000_000);
    by_hand.run::<u64>(cmd("ZADD").arg(by_hand.index(ID, "ann")).arg(past).arg(format!("\0{ID}")));
    assert_eq!(store.unlink_customer(&ann()).await.unwrap(), 0);
    assert_eq!(by_hand.indexes(), [""; 0]);
}

#[tokio::test]
async fn a_purge_leaves_alone_what_a_writer_is_about_to_need() {
    let [_, (store, by_hand)] = deployments("purge-race").await;
    // Something has expired, whose entry is due; and a writer has taken the first of his steps.
    store.link(Link::create(acs(ID), ann()).expiring_in(SHORT)).await.unwrap();
    tokio::time::sleep(2 * SHORT).await;
    let key = by_hand.expiring_part(ID);
    by_hand.step_at(&key, ID, "i", "", "");
    by_hand.step_at(&key, ID, "e", "", "3600000000");
    // Another one is due behind it, in the same part.
    let other = (0..).map(|n| format!("8:acs:o_{n}")).find(|id| by_hand.expiring_part(id) == key).unwrap();
    store.link(Link::create(acs(&other), ann()).expiring_in(Duration::ZERO)).await.unwrap();
    for expected in [1, 1, 0] {
        assert_eq!(store.purge_expired(1).await.unwrap(), expected);
    }
    assert_eq!(by_hand.expiring_ids(), 1, "the writer's entry");
}

#[tokio::test]
async fn of_mappings_of_one_moment_none_is_passed_over_whoever_wrote_them_at_once() {
    for paged in [true, false] {
        let [_, (store, by_hand)] = deployments(&format!("moment-{paged}")).await;
        // Three in one part of the index.
        let ids = (0..).map(|n| format!("8:acs:r_{n:05}"));
        let ids: Vec<AcsId> = ids.filter(|id| by_hand.index(id, "ann").contains(":c:{}0:")).take(3).map(acs).collect();
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let mapping = |id: &AcsId| Mapping::new(id.clone(), ann(), Revision::new(5), at);
        let imported = store.import(&ids.iter().map(mapping).collect::<Vec<_>>()).await;
        assert!(imported.iter().all(|one| *one.as_ref().unwrap() == Imported::Written));
        // The first of them by two writers at once: its entry is half a microsecond later then, and so behind the others.
        let note = || by_hand.step(ids[0].as_str(), "ann", "n", "", "").0.to_string();
        for noted in [note(), note()] {
            by_hand.step(ids[0].as_str(), "ann", "s", &noted, &at.as_micros().to_string());
        }
        if paged {
            let (mut listed, mut request) = (Vec::new(), PageRequest::first(1).unwrap());
            loop {
                let page = store.mappings_of(&ann(), request).await.unwrap();
                listed.extend(page.items.into_iter().map(|mapping| mapping.acs_id));
                let Some(next) = page.next else { break };
                request = PageRequest::first(1).unwrap().after(next);
            }
            listed.sort();
            assert_eq!(listed, ids);
        }
        assert_eq!(store.unlink_customer(&ann()).await.unwrap(), 3);
        assert_eq!(by_hand.indexes(), [""; 0]);
    }
}

#[tokio::test]
async fn a_mark_is_cleared_by_who_made_it() {
    let [_, (store, by_hand)] = deployments("marks").await;
    store.link(Link::create(acs(ID), ann())).await.unwrap();
    let (first, _) = by_hand.step(ID, "ann", "m", "", "");
    let (second, _) = by_hand.step(ID, "ann", "m", "", "");
    by_hand.step(ID, "ann", "c", &first.to_string(), "");
    assert_eq!(by_hand.members(ID, "ann"), ["", "\u{1}"]);
    by_hand.step(ID, "ann", "c", &second.to_string(), "");
    assert_eq!(by_hand.members(ID, "ann"), [""]);
}

#[tokio::test]
async fn a_former_index_that_is_something_else_does_not_undo_a_write() {
    let server = Server::start(Kind::Redis).unwrap();
    let cluster = Cluster::start().unwrap();
    let by_hands = [vec![server.url()], cluster.urls()].map(|urls| ByHand::new(urls, &Namespace::default()));
    let stores = [RedisOptions::url(server.url()), RedisOptions::cluster(cluster.urls())];
    for (options, by_hand) in stores.into_iter().zip(by_hands) {
        let store = options.open().await.unwrap();
        for then in [Some("bea"), None] {
            store.link(Link::replace(acs(ID), ann())).await.unwrap();
            by_hand.run::<()>(cmd("SET").arg(by_hand.index(ID, "ann")).arg("somebody else's"));
            match then {
                Some(to) => drop(store.link(Link::replace(acs(ID), to.parse().unwrap())).await.unwrap()),
                None => drop(store.unlink(&acs(ID), Expect::Any).await.unwrap().unwrap()),
            }
            let found = store.resolve(&acs(ID)).await.unwrap();
            assert_eq!(found.map(|found| found.customer_id().as_str().to_owned()), then.map(str::to_owned));
            by_hand.run::<u64>(cmd("DEL").arg(by_hand.index(ID, "ann")));
        }
    }
}

#[tokio::test]
async fn who_doubts_an_entry_that_is_gone_leaves_nothing_behind() {
    let [_, (_store, by_hand)] = deployments("two-readers").await;
    // Two readers have met it. One of them takes it out, and then the other one comes, and dies.
    by_hand.step(ID, "ann", "a", "1", "");
    let (marked, _) = by_hand.step(ID, "ann", "m", "", "");
    by_hand.step(ID, "ann", "w", &marked.to_string(), "");
    by_hand.step(ID, "ann", "m", "", "");
    assert_eq!(by_hand.indexes(), [""; 0]);
}

#[tokio::test]
async fn a_link_over_a_record_that_cannot_be_read_leaves_the_index_as_it_was() {
    for (store, by_hand) in deployments("unreadable").await {
        by_hand.run::<()>(cmd("SET").arg(by_hand.record(ID)).arg("what is this?"));
        let link = || Link::replace(acs(ID), ann());
        assert_eq!(store.link(link()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(by_hand.indexes(), [""; 0]);
        // It may be a later version's, and its entry, too.
        by_hand.run::<u64>(cmd("ZADD").arg(by_hand.index(ID, "ann")).arg(1).arg(ID));
        assert_eq!(store.link(link()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(by_hand.members(ID, "ann"), [""]);
    }
}

#[tokio::test]
async fn what_cannot_be_read_keeps_nothing_else_of_the_customer() {
    for (store, by_hand) in deployments("bad-one").await {
        store.link(Link::create(acs(ID), ann())).await.unwrap();
        let links: Vec<Link> = (0..1100).map(|n| Link::create(acs(format!("8:acs:o_{n}")), ann())).collect();
        store.link_many(&links).await.into_iter().for_each(|linked| drop(linked.unwrap()));
        by_hand.run::<()>(cmd("SET").arg(by_hand.record(ID)).arg("what is this?"));
        // And an entry that is no ACS ID's.
        by_hand.run::<u64>(cmd("ZADD").arg(by_hand.index(ID, "ann")).arg(1).arg(b"\x02short"));
        for _ in 0..2 {
            assert_eq!(store.unlink_customer(&ann()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let ids: Vec<AcsId> = links.into_iter().map(|link| link.acs_id).collect();
        assert!(store.resolve_many(&ids).await.iter().all(|answer| matches!(answer, Ok(None))));
        assert_eq!(by_hand.indexes(), [by_hand.index(ID, "ann")]);
    }
}
