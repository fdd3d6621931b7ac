//! P4: both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acs_identity_core::{
    AcsId, Expect, Imported, Link, Mapping, MappingStore, MappingStoreExt, Namespace, PageRequest, Revision, Timestamp,
};

use crate::support::{
    acs, at_once, create, customer, customer_of, disagreement, faults, ids_of, namespace, replace, scanned,
};
use crate::{Fixture, Verdict};

const CUSTOMERS: [&str; 3] = ["ann", "bea", "cleo"];

/// P4: forward and reverse agree: after a write returns, `resolve` and `mappings_of` tell the same story, also after a
/// re-link from A to B.
pub async fn p04_forward_and_reverse_agree(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p04");
    let clients = [&*fixture.open(namespace.clone()).await, &*fixture.open(namespace).await];
    after_each_write(clients).await;
    after_removals(clients[0], clients[1]).await;
    the_same_records(clients[0]).await;
    oldest_first(clients[0]).await;
    after_a_large_removal(clients).await;
    after_a_removal_among_links(fixture).await;
    after_concurrent_writes(fixture).await;
    Ok(())
}

/// What every client says of an ID in both directions.
async fn story(clients: [&dyn MappingStore; 2], what: &str, id: &str, expected: Option<&str>) {
    for (client, which) in clients.into_iter().zip(["the writer", "a second client"]) {
        assert_eq!(customer_of(client, id).await.as_deref(), expected, "{which} resolves {id} after {what}");
        if let Some(wrong) = disagreement(client, &[id], &CUSTOMERS).await {
            panic!("to {which}, after {what}: {wrong}");
        }
    }
}

async fn after_each_write(clients: [&dyn MappingStore; 2]) {
    const ID: &str = "8:acs:p04_1";
    let [store, second] = clients;
    story(clients, "nothing", ID, None).await;
    store.link(create(ID, "ann")).await.expect("link");
    story(clients, "a link", ID, Some("ann")).await;
    store.link(create("8:acs:p04_2", "ann")).await.expect("link");
    story(clients, "another link", ID, Some("ann")).await;
    story(clients, "another link", "8:acs:p04_2", Some("ann")).await;
    let replaced = second.link(replace(ID, "bea")).await.expect("replace");
    story(clients, "a re-link", ID, Some("bea")).await;
    let moved = store.link(Link::if_revision(acs(ID), customer("cleo"), replaced.revision)).await.expect("if-revision");
    story(clients, "a re-link by revision", ID, Some("cleo")).await;
    let newer = Revision::new(moved.revision.get() + 1);
    let mapping = Mapping::new(acs(ID), customer("ann"), newer, Timestamp::from_micros(1));
    assert_eq!(*second.import(&[mapping]).await[0].as_ref().expect("import"), Imported::Written);
    story(clients, "a re-link by import", ID, Some("ann")).await;
    for result in store.link_many(&[replace(ID, "bea"), replace("8:acs:p04_2", "cleo")]).await {
        result.expect("link_many");
    }
    story(clients, "a re-link by link_many", ID, Some("bea")).await;
    story(clients, "a re-link by link_many", "8:acs:p04_2", Some("cleo")).await;
}

async fn after_removals(store: &dyn MappingStore, second: &dyn MappingStore) {
    const ID: &str = "8:acs:p04_3";
    let clients = [store, second];
    store.link(create(ID, "ann")).await.expect("link");
    store.unlink(&acs(ID), Expect::Customer(customer("bea"))).await.expect_err("an unlink of another customer");
    story(clients, "an unlink of another customer", ID, Some("ann")).await;
    let removed = second.unlink(&acs(ID), Expect::Any).await.expect("unlink").expect("what was there");
    assert_eq!((removed.acs_id.as_str(), removed.customer_id.as_str()), (ID, "ann"), "what unlink removed");
    story(clients, "an unlink", ID, None).await;
    assert_eq!(store.unlink(&acs(ID), Expect::Any).await.expect("unlink again"), None, "an unlink of nothing");
    store.link(create(ID, "bea")).await.expect("link");
    story(clients, "a new link", ID, Some("bea")).await;
    let present = store.mappings_of(&customer("bea"), PageRequest::default()).await.expect("mappings_of");
    let present = present.items.iter().find(|mapping| mapping.acs_id.as_str() == ID).expect("the new link is listed");
    store.unlink(&acs(ID), Expect::Revision(present.revision)).await.expect("unlink").expect("what was there");
    story(clients, "an unlink by revision", ID, None).await;

    let ids = ["8:acs:p04_4", "8:acs:p04_5", "8:acs:p04_6"];
    for id in ids {
        store.link(create(id, "ann")).await.expect("link");
    }
    store.link(replace(ids[2], "bea")).await.expect("replace");
    assert_eq!(second.unlink_customer(&customer("ann")).await.expect("unlink_customer"), 2, "how many it removed");
    story(clients, "unlink_customer", ids[0], None).await;
    story(clients, "unlink_customer", ids[1], None).await;
    story(clients, "unlink_customer of another customer", ids[2], Some("bea")).await;
    assert_eq!(store.unlink_customer(&customer("ann")).await.expect("unlink_customer"), 0, "how many it removed again");
}

/// Both directions and the scan hand out the same record, not just the same pair.
async fn the_same_records(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p04_7";
    let properties = acs_identity_core::Properties::new([("tenant", "contoso"), ("plan", "")]).expect("properties");
    let linked = store.link(create(ID, "dora").with_properties(properties.clone())).await.expect("link");
    let forward = store.resolve(&acs(ID)).await.expect("resolve").expect("the ID is linked");
    assert_eq!((forward.properties(), forward.remaining()), (&properties, None), "what resolve says of it");
    assert!(forward.revision().is_none_or(|revision| revision == linked.revision), "the revision that resolve says");
    let reverse = store.all_mappings_of(&customer("dora")).await.expect("mappings_of");
    assert_eq!(reverse.len(), 1, "the mappings of a customer");
    assert_eq!(
        (&reverse[0].properties, reverse[0].revision),
        (&properties, linked.revision),
        "what mappings_of says of it"
    );
    let listed = scanned(store).await.into_iter().find(|mapping| mapping.acs_id.as_str() == ID);
    assert_eq!(listed.as_ref(), reverse.first(), "scan and mappings_of");
}

async fn oldest_first(store: &dyn MappingStore) {
    // Their creation times are given, so that they do not depend on the clock; two are of one moment.
    let created = [("8:acs:p04_b", 7), ("8:acs:p04_z", 3), ("8:acs:p04_a", 7), ("8:acs:p04_m", 9), ("8:acs:p04_c", 1)];
    let mapping = |(id, at)| Mapping::new(acs(id), customer("eve"), Revision::new(5), Timestamp::from_micros(at));
    for result in store.import(&created.map(mapping)).await {
        assert_eq!(result.expect("import"), Imported::Written);
    }
    let expected = ["8:acs:p04_c", "8:acs:p04_z", "8:acs:p04_a", "8:acs:p04_b", "8:acs:p04_m"];
    assert_eq!(ids_of(store, "eve").await, expected, "the mappings of a customer, oldest first");
    let mut request = PageRequest::first(2).expect("a page of two");
    let mut listed = Vec::new();
    loop {
        let page = store.mappings_of(&customer("eve"), request.clone()).await.expect("mappings_of");
        assert!(page.items.len() <= 2, "a page of two has {} mappings", page.items.len());
        listed.extend(page.items.iter().map(|mapping| mapping.acs_id.as_str().to_owned()));
        let Some(cursor) = page.next else { break };
        request = request.after(cursor);
    }
    assert_eq!(listed, expected, "the same in pages of two");
}

/// More mappings of one customer than a page holds, and more than a store removes at once.
async fn after_a_large_removal(clients: [&dyn MappingStore; 2]) {
    const IDS: usize = 1100;
    let id = |n: usize| format!("8:acs:p04_large_{n:04}");
    let links: Vec<Link> = (0..IDS).map(|n| create(&id(n), "fay")).collect();
    for batch in links.chunks(500) {
        for result in clients[0].link_many(batch).await {
            result.expect("link_many");
        }
    }
    let removed = clients[0].unlink_customer(&customer("fay")).await.expect("unlink_customer");
    assert_eq!(removed, IDS as u64, "how many unlink_customer removed");
    for client in clients {
        assert_eq!(ids_of(client, "fay").await.len(), 0, "how many unlink_customer has left");
        for n in (0..IDS).step_by(50).chain(990..IDS) {
            assert_eq!(customer_of(client, &id(n)).await, None, "{} after unlink_customer", id(n));
        }
    }
}

/// What another customer gets while `unlink_customer` runs stays with that customer, and all else goes.
async fn after_a_removal_among_links(fixture: &dyn Fixture) {
    const IDS: usize = 64;
    const LINKERS: usize = 4;
    fn id(n: usize) -> String {
        format!("8:acs:p04_taken_{n:02}")
    }
    let namespace = namespace("p04");
    let clients = [fixture.open(namespace.clone()).await, fixture.open(namespace).await];
    for round in 0..8 {
        let links: Vec<Link> = (0..IDS).map(|n| replace(&id(n), "gina")).collect();
        for result in clients[0].link_many(&links).await {
            result.expect("link_many");
        }
        at_once(1 + LINKERS, |task| {
            let client = clients[task % 2].clone();
            async move {
                if task == LINKERS {
                    let removed = client.unlink_customer(&customer("gina")).await.expect("unlink_customer");
                    assert!((IDS / 2..=IDS).contains(&(removed as usize)), "unlink_customer has removed {removed}");
                    return;
                }
                // Those that are removed last come first: they are to change hands between being found and being removed.
                for n in (0..IDS / 2).rev().filter(|n| n % LINKERS == task) {
                    client.link(replace(&id(2 * n), "hal")).await.expect("replace");
                }
            }
        })
        .await;
        for client in &clients {
            let found = ids_of(client, "hal").await.len();
            assert_eq!(found, IDS / 2, "what was re-linked during unlink_customer, in round {round}");
            assert!(ids_of(client, "gina").await.is_empty(), "unlink_customer has left what was there throughout");
            for n in 0..IDS {
                let expected = n.is_multiple_of(2).then_some("hal");
                assert_eq!(customer_of(client, &id(n)).await.as_deref(), expected, "{} in round {round}", id(n));
            }
        }
    }
}

/// P4: after an erasure has returned, no mapping of the customer is left that was there when it began and was not linked again
/// since, also if others move to another customer and back meanwhile, and so to the end of the customer's list.
pub async fn p04_an_erasure_leaves_nothing_that_was_there(fixture: &dyn Fixture) -> Verdict {
    /// More than a store removes at once.
    const IDS: usize = 1100;
    const LINKERS: usize = 4;
    fn id(n: usize) -> String {
        format!("8:acs:p04_erased_{n:04}")
    }
    fn moves(n: usize) -> bool {
        n.is_multiple_of(64)
    }
    let namespace = namespace("p04");
    let clients = [fixture.open(namespace.clone()).await, fixture.open(namespace).await];
    let links: Vec<Link> = (0..IDS).map(|n| replace(&id(n), "ida")).collect();
    let still: Vec<AcsId> = (0..IDS).filter(|n| !moves(*n)).map(|n| acs(id(n))).collect();
    for round in 0..4 {
        for batch in links.chunks(500) {
            for result in clients[0].link_many(batch).await {
                result.expect("link_many");
            }
        }
        let erased = Arc::new(AtomicBool::new(false));
        at_once(1 + LINKERS, |task| {
            let (client, erased, still) = (clients[task % 2].clone(), erased.clone(), still.len() as u64);
            async move {
                if task == LINKERS {
                    let removed = client.unlink_customer(&customer("ida")).await;
                    erased.store(true, Ordering::Release);
                    let removed = removed.expect("unlink_customer");
                    assert!(
                        removed >= still,
                        "unlink_customer has removed {removed}, and {still} were there throughout"
                    );
                }
                while !erased.load(Ordering::Acquire) {
                    let moving = (0..IDS).filter(|n| moves(*n)).skip(task).step_by(LINKERS).map(id);
                    let moving: Vec<String> = moving.collect();
                    for to in ["jon", "ida"] {
                        let links: Vec<Link> = moving.iter().map(|id| replace(id, to)).collect();
                        for result in client.link_many(&links).await {
                            result.expect("a re-link during an erasure");
                        }
                    }
                    // A store in memory never waits: without this the linkers would keep all threads to themselves.
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        for client in &clients {
            let mut left = ids_of(client, "ida").await;
            left.retain(|left| still.iter().any(|id| id.as_str() == left));
            assert!(left.is_empty(), "{} mappings are left in round {round}, though they did not move", left.len());
            for (id, answer) in still.iter().zip(client.resolve_many(&still).await) {
                assert!(answer.expect("resolve_many").is_none(), "{} is left in round {round}", id.as_str());
            }
        }
    }
    Ok(())
}

async fn after_concurrent_writes(fixture: &dyn Fixture) {
    const IDS: [&str; 4] = ["8:acs:p04_w", "8:acs:p04_x", "8:acs:p04_y", "8:acs:p04_z"];
    let namespace = namespace("p04");
    let clients = [fixture.open(namespace.clone()).await, fixture.open(namespace).await];
    let writes = at_once(64, |n| {
        let (client, id, to) = (clients[n % 2].clone(), IDS[n % 4], CUSTOMERS[n % 3]);
        async move {
            match n % 5 {
                0 => client.unlink(&acs(id), Expect::Any).await.map(drop),
                1 => client.unlink_customer(&customer(to)).await.map(drop),
                _ => client.link(replace(id, to)).await.map(drop),
            }
        }
    });
    for result in writes.await {
        result.expect("a write among others");
    }
    for client in &clients {
        if let Some(wrong) = disagreement(client, &IDS, &CUSTOMERS).await {
            panic!("after concurrent writes: {wrong}");
        }
    }
}

/// P4: forward and reverse agree, also after a crash between two internal steps: a reverse entry that outlived its
/// forward record is never shown; a repair never removes what a writer is about to use.
pub async fn p04_a_half_done_write_is_never_shown(fixture: &dyn Fixture) -> Verdict {
    let faults = faults(fixture)?;
    let namespace = namespace("p04");
    for steps in 1.. {
        let (moved, fresh) = (format!("8:acs:p04_moved_{steps}"), format!("8:acs:p04_fresh_{steps}"));
        let store = fixture.open(namespace.clone()).await;
        store.link(create(&moved, "ann")).await.expect("link");
        let stopped = async {
            faults.stop_after(steps, &namespace, &replace(&moved, "bea")).await?;
            faults.stop_after(steps, &namespace, &create(&fresh, "cleo")).await
        };
        match stopped.await {
            Ok(()) => half_done(fixture, &namespace, &moved, &fresh).await,
            Err(reason) if steps == 1 => return Err(reason),
            Err(_) => break,
        }
    }
    Ok(())
}

/// After a re-link of one ID and a first link of another have been done in part.
async fn half_done(fixture: &dyn Fixture, namespace: &Namespace, moved: &str, fresh: &str) {
    let (store, second) = (fixture.open(namespace.clone()).await, fixture.open(namespace.clone()).await);
    for client in [&store, &second] {
        assert!(customer_of(client, moved).await.is_some(), "a half-done re-link has removed the mapping");
        if let Some(wrong) = disagreement(client, &[moved, fresh], &CUSTOMERS).await {
            panic!("after half-done writes: {wrong}");
        }
    }
    // Readers may repair what they find, while writers make it whole.
    let both = at_once(16, |n| {
        let client = if n % 2 == 0 { store.clone() } else { second.clone() };
        let fresh = fresh.to_owned();
        async move {
            if n % 4 < 2 {
                client.link(create(&fresh, "cleo")).await.expect("a link over a half-done one");
            } else {
                ids_of(&client, "cleo").await;
                client.purge_expired(100).await.expect("purge_expired");
            }
        }
    });
    both.await;
    store.link(replace(moved, "bea")).await.expect("a re-link over a half-done one");
    let clients = [&*store, &*second];
    story(clients, "a link over a half-done one", fresh, Some("cleo")).await;
    story(clients, "a re-link over a half-done one", moved, Some("bea")).await;
}
