//! P3: the conditions of a link.

use std::collections::HashSet;
use std::sync::Arc;

use acs_identity_core::{ErrorKind, Expect, Link, Linked, MappingStore, Result, Revision};

use crate::support::{acs, at_once, create, customer, customer_of, failure, namespace, pass, replace, short_lifetime};
use crate::{Fixture, Verdict};

const WRITERS: usize = 64;

/// P3: `link` says what happens when the ACS ID is taken: create-only (typed conflict with the present revision; the
/// same pair again succeeds; an expired record counts as absent), replace (returns what was there), or if-revision.
/// Each is one atomic step under concurrent writers.
pub async fn p03_each_condition_of_a_link_is_one_atomic_step(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p03");
    let store = fixture.open(namespace.clone()).await;
    create_only(&*store).await;
    expired_counts_as_absent(fixture, &*store).await;
    replacing(&*store).await;
    if_revision(&*store).await;

    let clients = [store, fixture.open(namespace).await];
    one_create_wins(&clients).await;
    one_revision_wins(&clients).await;
    replacements_follow_each_other(&clients).await;
    Ok(())
}

/// P3 in a batch: each of its links is decided by what is there of its own ID, however many there are and whatever is there of
/// the others; and of two batches at once with the same new IDs one link of each ID wins.
pub async fn p03_each_link_of_a_batch_has_its_own_condition(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p03");
    let store = fixture.open(namespace.clone()).await;
    let clients = [store, fixture.open(namespace).await];
    for size in [7, 700] {
        a_mixed_batch(&*clients[0], size).await;
        batches_at_once(&clients, size).await;
    }
    Ok(())
}

fn if_revision_link(id: &str, to: &str, revision: Revision) -> Link {
    Link::if_revision(acs(id), customer(to), revision)
}

fn conflict(what: &str, result: Result<Linked>, present: Option<Revision>) {
    let error = failure(what, result);
    assert_eq!(error.kind(), ErrorKind::Conflict, "{what}: {error}");
    assert_eq!(error.present_revision(), present, "the present revision in the conflict of {what}");
}

fn displaced(linked: &Linked) -> Option<&str> {
    linked.displaced.as_ref().map(|customer| customer.as_str())
}

fn previous(linked: &Linked) -> Option<&str> {
    linked.previous.as_ref().map(|mapping| mapping.customer_id.as_str())
}

async fn create_only(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p03_create";
    let first = store.link(create(ID, "ann")).await.expect("create-only of a free ID");
    assert!(first.changed && first.previous.is_none(), "create-only of a free ID: {first:?}");
    let again = store.link(create(ID, "ann")).await.expect("create-only of the same pair again");
    assert!(!again.changed, "create-only of the same pair again has written");
    assert_eq!(again.revision, first.revision, "the revision of the same pair");
    assert_eq!(previous(&again), Some("ann"), "what the same pair found");
    conflict("create-only of a taken ID", store.link(create(ID, "bea")).await, Some(first.revision));
    assert_eq!(customer_of(store, ID).await.as_deref(), Some("ann"), "the customer after a conflict");
}

async fn expired_counts_as_absent(fixture: &dyn Fixture, store: &dyn MappingStore) {
    let lifetime = short_lifetime(fixture);
    let mut revisions = Vec::new();
    for id in ["8:acs:p03_expired_1", "8:acs:p03_expired_2", "8:acs:p03_expired_3"] {
        let linked = store.link(create(id, "ann").expiring_in(lifetime)).await.expect("link");
        revisions.push(linked.revision);
    }
    pass(fixture, lifetime).await;
    let created = store.link(create("8:acs:p03_expired_1", "bea")).await.expect("create-only over an expired mapping");
    assert!(created.changed && created.previous.is_none(), "create-only over an expired mapping: {created:?}");
    assert_eq!(displaced(&created), Some("ann"), "whose expired mapping create-only replaced");
    let replaced = store.link(replace("8:acs:p03_expired_2", "bea")).await.expect("replace of an expired mapping");
    assert!(replaced.changed && replaced.previous.is_none(), "replace of an expired mapping: {replaced:?}");
    let expired = store.link(if_revision_link("8:acs:p03_expired_3", "bea", revisions[2])).await;
    conflict("if-revision of an expired mapping", expired, None);
}

async fn replacing(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p03_replace";
    let first = store.link(replace(ID, "ann")).await.expect("replace of a free ID");
    assert!(first.changed && first.previous.is_none(), "replace of a free ID: {first:?}");
    let second = store.link(replace(ID, "bea")).await.expect("replace");
    assert_eq!((second.changed, previous(&second)), (true, Some("ann")), "what replace found");
    assert_eq!((displaced(&first), displaced(&second)), (None, Some("ann")), "whom replace displaced");
    assert_eq!(second.previous.map(|mapping| mapping.revision), Some(first.revision), "the revision of what it found");
    let third = store.link(replace(ID, "bea")).await.expect("replace by the same");
    assert_eq!((third.changed, previous(&third)), (true, Some("bea")), "what replace by the same found");
    assert_eq!(displaced(&third), None, "whom replace by the same displaced");
    assert_eq!(customer_of(store, ID).await.as_deref(), Some("bea"));
}

async fn if_revision(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p03_revision";
    let nothing = store.link(if_revision_link("8:acs:p03_nothing", "ann", Revision::new(1))).await;
    conflict("if-revision of a free ID", nothing, None);
    let first = store.link(create(ID, "ann")).await.expect("link");
    let second = store.link(if_revision_link(ID, "bea", first.revision)).await.expect("if-revision");
    assert_eq!((second.changed, previous(&second)), (true, Some("ann")), "what if-revision found");
    let stale = store.link(if_revision_link(ID, "cleo", first.revision)).await;
    conflict("if-revision of an old revision", stale, Some(second.revision));
    assert_eq!(customer_of(store, ID).await.as_deref(), Some("bea"), "the customer after a conflict");
}

/// Many links at one moment, to a customer each, by two clients in turn.
async fn contend(clients: &[Arc<dyn MappingStore>; 2], link: impl Fn(&str) -> Link) -> Vec<Result<Linked>> {
    at_once(WRITERS, |n| {
        let (client, link) = (clients[n % 2].clone(), link(&format!("customer-{n}")));
        async move { client.link(link).await }
    })
    .await
}

/// The one link that succeeded; all others are conflicts with its revision.
async fn only_winner(what: &str, store: &dyn MappingStore, id: &str, results: Vec<Result<Linked>>) {
    let won: Vec<usize> = (0..results.len()).filter(|n| results[*n].is_ok()).collect();
    let [winner] = won[..] else { panic!("{} writers at once succeeded with {what}", won.len()) };
    let revision = results[winner].as_ref().map(|linked| linked.revision).ok();
    for (_, lost) in results.into_iter().enumerate().filter(|(n, _)| *n != winner) {
        conflict(what, lost, revision);
    }
    let expected = format!("customer-{winner}");
    assert_eq!(customer_of(store, id).await, Some(expected), "the customer after {what} by many");
}

async fn one_create_wins(clients: &[Arc<dyn MappingStore>; 2]) {
    // Several rounds: a race that is lost once in a while is still a race.
    for round in 0..4 {
        let id = format!("8:acs:p03_race_{round}");
        let results = contend(clients, |to| create(&id, to)).await;
        only_winner("create-only", &clients[0], &id, results).await;
    }
}

async fn one_revision_wins(clients: &[Arc<dyn MappingStore>; 2]) {
    const ID: &str = "8:acs:p03_same_revision";
    let mut revision = clients[0].link(create(ID, "ann")).await.expect("link").revision;
    for _ in 0..4 {
        let results = contend(clients, |to| if_revision_link(ID, to, revision)).await;
        let next = results.iter().flatten().map(|linked| linked.revision).next();
        only_winner("if-revision", &clients[0], ID, results).await;
        revision = next.expect("somebody has won");
    }
}

async fn replacements_follow_each_other(clients: &[Arc<dyn MappingStore>; 2]) {
    const ID: &str = "8:acs:p03_replacements";
    clients[0].link(create(ID, "ann")).await.expect("link");
    let results = contend(clients, |to| replace(ID, to)).await;
    let mut replaced = HashSet::new();
    for linked in results {
        let before = linked.expect("replace").previous.expect("there was a mapping all the time").customer_id;
        assert!(replaced.insert(before.clone()), "two writers have replaced {} both", before.as_str());
    }
    // Each was replaced once, but for the one that is there now.
    let last = customer_of(&clients[1], ID).await.expect("the ID is linked");
    assert!(!replaced.contains(last.as_str()), "{last} was replaced, and is still there");
    assert!(replaced.contains("ann"), "nobody has replaced the first");
}

async fn a_mixed_batch(store: &dyn MappingStore, size: usize) {
    let id = |n: usize| format!("8:acs:p03_batch_{size}_{n}");
    // Every seventh is taken, and so is every seventh one after it; and every seventh one after that was taken once.
    let there = (0..size).filter(|n| n % 7 < 3).map(|n| create(&id(n), "ann")).collect::<Vec<_>>();
    let mut revisions = Vec::new();
    for linked in store.link_many(&there).await {
        revisions.push(linked.expect("link_many of new IDs").revision);
    }
    for n in (0..size).filter(|n| n % 7 == 2) {
        let unlinked = store.unlink(&acs(id(n)), Expect::Any).await.expect("unlink");
        assert!(unlinked.is_some(), "unlink of what was linked");
    }
    let revision_of = |n: usize| revisions[n / 7 * 3 + n % 7];
    let batch = (0..size).map(|n| match n % 7 {
        0 => create(&id(n), "ann"),
        1 => create(&id(n), "bea"),
        3 => replace(&id(n), "bea"),
        4 => if_revision_link(&id(n), "bea", Revision::new(1)),
        _ => create(&id(n), "bea"),
    });
    let batch = batch.collect::<Vec<_>>();
    let answers = store.link_many(&batch).await;
    assert_eq!(answers.len(), size, "answers of link_many");
    for (n, answer) in answers.into_iter().enumerate() {
        let what = format!("link {n} of a batch of {size}");
        match (n % 7, answer) {
            (0, answer) => {
                let kept = answer.expect(&what);
                assert!(!kept.changed && kept.revision == revision_of(n), "{what}: {kept:?}");
            }
            (1, answer) => conflict(&what, answer, Some(revision_of(n))),
            (4, answer) => conflict(&what, answer, None),
            (_, answer) => {
                let written = answer.expect(&what);
                assert!(written.changed && written.previous.is_none(), "{what}: {written:?}");
                assert!(
                    n % 7 != 2 || written.revision > revision_of(n),
                    "the revision of {what}, which was linked once"
                );
            }
        }
        let customer = [Some("ann"), Some("ann"), Some("bea"), Some("bea"), None, Some("bea"), Some("bea")][n % 7];
        assert_eq!(customer_of(store, &id(n)).await.as_deref(), customer, "the customer after {what}");
    }
}

async fn batches_at_once(clients: &[Arc<dyn MappingStore>; 2], size: usize) {
    let batches = at_once(4, |writer| {
        let client = clients[writer % 2].clone();
        let link = |n| create(&format!("8:acs:p03_together_{size}_{n}"), &format!("customer-{writer}"));
        let links: Vec<Link> = (0..size).map(link).collect();
        async move { client.link_many(&links).await }
    });
    let batches = batches.await;
    for n in 0..size {
        let won = batches.iter().filter(|answers| answers[n].is_ok()).count();
        assert_eq!(won, 1, "batches of {size} that have won ID {n}");
        for lost in batches.iter().filter_map(|answers| answers[n].as_ref().err()) {
            assert_eq!(lost.kind(), ErrorKind::Conflict, "ID {n} of batches of {size} at once: {lost}");
        }
    }
}
