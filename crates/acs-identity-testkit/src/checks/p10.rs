//! P10: what a failed write did, and what an acknowledged one is worth.

use std::time::Duration;

use acs_identity_core::{
    Capability, ErrorKind, Expect, Imported, Link, Mapping, MappingStore, Properties, Revision, Timestamp,
};

use crate::support::{
    acs, create, customer, customer_of, eventually, failure, faults, namespace, needs, replace, scanned, within,
};
use crate::{Fixture, Verdict};

/// P10: a write that failed did nothing, or is `OutcomeUnknown`; one that returned Ok is there for every client.
/// If-revision and conditional unlink may be repeated.
pub async fn p10_a_failed_write_did_nothing(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p10");
    let store = fixture.open(namespace.clone()).await;
    conflicts_change_nothing(&*store).await;
    repeats_are_harmless(&*store).await;

    write_something(&*store).await;
    assert_written(&*fixture.open(namespace.clone()).await, "a new client").await;
    large_batches_are_written_wholly(&*store, &*fixture.open(namespace).await).await;
    Ok(())
}

async fn conflicts_change_nothing(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p10_kept";
    let old = Properties::new([("tenant", "contoso")]).expect("properties");
    let new = Properties::new([("tenant", "fabrikam"), ("plan", "gold")]).expect("properties");
    let link = create(ID, "ann").with_properties(old).expiring_in(Duration::from_secs(3600));
    let linked = store.link(link).await.expect("link");
    let before = scanned(store).await;
    let unchanged = async |what: &str| assert_eq!(scanned(store).await, before, "{what} has changed the mapping");

    let stale = Revision::new(linked.revision.get() - 1);
    let by_revision = |to| Link::if_revision(acs(ID), customer(to), stale).with_properties(new.clone());
    for to in ["ann", "bea"] {
        for link in [by_revision(to), by_revision(to).expiring_in(Duration::from_secs(7200))] {
            let error = failure("if-revision of an old revision", store.link(link).await);
            assert_eq!(error.kind(), ErrorKind::Conflict, "if-revision of an old revision: {error}");
            unchanged("if-revision of an old revision").await;
        }
    }
    for expect in [Expect::Customer(customer("bea")), Expect::Revision(stale)] {
        let error = failure("an unlink of something else", store.unlink(&acs(ID), expect).await);
        assert_eq!(error.kind(), ErrorKind::Conflict, "an unlink of something else: {error}");
        unchanged("an unlink of something else").await;
    }
    for revision in [stale, linked.revision] {
        let mut mapping = Mapping::new(acs(ID), customer("bea"), revision, Timestamp::from_micros(1));
        mapping.properties = new.clone();
        let imported = store.import(&[mapping]).await.swap_remove(0).expect("import");
        assert_eq!(imported, Imported::Kept, "an import of an old revision");
        unchanged("an import of an old revision").await;
    }
    assert_eq!(store.unlink_customer(&customer("bea")).await.expect("unlink_customer"), 0);
    unchanged("unlink_customer of another customer").await;
}

async fn repeats_are_harmless(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p10_repeated";
    let first = store.link(create(ID, "ann")).await.expect("link");
    let link = Link::if_revision(acs(ID), customer("cleo"), first.revision);
    store.link(link.clone()).await.expect("if-revision");
    let error = failure("if-revision again", store.link(link).await);
    assert_eq!(error.kind(), ErrorKind::Conflict, "if-revision again: {error}");
    for expected in [true, false] {
        let removed = store.unlink(&acs(ID), Expect::Customer(customer("cleo"))).await.expect("a conditional unlink");
        assert_eq!(removed.is_some(), expected, "a conditional unlink, and again");
    }
}

/// More items than a store writes at once: what is acknowledged is there, wherever in the batch it was.
async fn large_batches_are_written_wholly(store: &dyn MappingStore, other: &dyn MappingStore) {
    const SIZE: usize = 1100;
    let id = |how: &str, n: usize| format!("8:acs:p10_{how}_{n:04}");
    let links: Vec<Link> = (0..SIZE).map(|n| create(&id("linked", n), "fay")).collect();
    let linked = store.link_many(&links).await;
    assert_eq!(linked.len(), SIZE, "answers of link_many");
    for result in linked {
        result.expect("link_many");
    }
    let mapping =
        |n| Mapping::new(acs(id("imported", n)), customer("fay"), Revision::new(7), Timestamp::from_micros(7));
    let imported = store.import(&(0..SIZE).map(mapping).collect::<Vec<_>>()).await;
    assert_eq!(imported.len(), SIZE, "answers of import");
    for result in imported {
        assert_eq!(result.expect("import"), Imported::Written);
    }
    for how in ["linked", "imported"] {
        for n in (0..SIZE).step_by(50).chain(990..SIZE) {
            let id = id(how, n);
            assert_eq!(customer_of(other, &id).await.as_deref(), Some("fay"), "{id}, of a batch of {SIZE}");
        }
    }
}

const IDS: [&str; 7] = [
    "8:acs:p10_link",
    "8:acs:p10_replaced",
    "8:acs:p10_link_many",
    "8:acs:p10_import",
    "8:acs:p10_unlink",
    "8:acs:p10_unlink_customer",
    "8:acs:p10_nothing",
];

/// One acknowledged write of each sort.
async fn write_something(store: &dyn MappingStore) {
    let link = create(IDS[0], "ann").with_properties(Properties::new([("plan", "gold")]).expect("properties"));
    store.link(link).await.expect("link");
    store.link(create(IDS[1], "ann")).await.expect("link");
    store.link(replace(IDS[1], "bea")).await.expect("replace");
    store.link_many(&[create(IDS[2], "bea")]).await.swap_remove(0).expect("link_many");
    let mapping = Mapping::new(acs(IDS[3]), customer("bea"), Revision::new(7), Timestamp::from_micros(7));
    store.import(&[mapping]).await.swap_remove(0).expect("import");
    store.link(create(IDS[4], "dora")).await.expect("link");
    store.unlink(&acs(IDS[4]), Expect::Any).await.expect("unlink").expect("what was there");
    store.link(create(IDS[5], "eve")).await.expect("link");
    assert_eq!(store.unlink_customer(&customer("eve")).await.expect("unlink_customer"), 1);
}

async fn assert_written(store: &dyn MappingStore, who: &str) {
    let expected = [Some("ann"), Some("bea"), Some("bea"), Some("bea"), None, None, None];
    for (id, expected) in IDS.into_iter().zip(expected) {
        assert_eq!(customer_of(store, id).await.as_deref(), expected, "{id} to {who}");
    }
    let found = store.resolve(&acs(IDS[0])).await.expect("resolve").expect("it is linked");
    assert_eq!(found.properties().get("plan"), Some("gold"), "the properties to {who}");
}

/// P10: a write that failed because the backend was cut off did nothing, or is `OutcomeUnknown`.
pub async fn p10_a_write_that_failed_while_cut_off_did_nothing(fixture: &dyn Fixture) -> Verdict {
    let faults = faults(fixture)?;
    let namespace = namespace("p10");
    let store = fixture.open(namespace.clone()).await;
    store.link(create(IDS[1], "ann")).await.expect("link");
    faults.cut().await?;
    let create = within(fixture, "link", store.link(create(IDS[0], "ann"))).await;
    let replace = within(fixture, "link", store.link(replace(IDS[1], "bea"))).await;
    let created = failure("create-only without a backend", create).kind();
    let replaced = failure("replace without a backend", replace).kind();
    faults.restore().await;

    let second = fixture.open(namespace).await;
    eventually(fixture, async || second.ping().await.err().map(|error| format!("the backend is back: {error}"))).await;
    for (id, kind, before, after) in [(IDS[0], created, None, "ann"), (IDS[1], replaced, Some("ann"), "bea")] {
        let there = customer_of(&*second, id).await;
        let applied = there.as_deref() == Some(after) && kind == ErrorKind::OutcomeUnknown;
        assert!(applied || there.as_deref() == before, "a write that failed as {kind:?} has left {there:?}");
    }
    Ok(())
}

/// P10: a write that returned Ok survives what the backend promises to survive: where it is durable, a crash.
pub async fn p10_an_acknowledged_write_survives_a_restart(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p10");
    let store = fixture.open(namespace.clone()).await;
    needs(&*store, Capability::Durable)?;
    write_something(&*store).await;
    faults(fixture)?.restart().await?;
    assert_written(&*fixture.open(namespace).await, "a client after a restart").await;
    Ok(())
}
