//! P7: namespaces.

use std::sync::Arc;

use acs_identity_core::{Change, Expect, Imported, Mapping, MappingStore, Namespace, Revision, Timestamp};
use futures::StreamExt;

use crate::support::{acs, create, customer, customer_of, ids_of, namespace, scanned, within};
use crate::{Fixture, Verdict};

/// P7: namespaces never see each other, whatever characters an ID holds.
pub async fn p07_namespaces_never_see_each_other(fixture: &dyn Fixture) -> Verdict {
    let base = namespace("p07");
    // One is the beginning of another, and two differ in case only.
    let names = ["", "-", "-a", "-A", "_a", "-a_b"].map(|end| format!("{}{end}", base.as_str()));
    let spaces = names.each_ref().map(|name| Namespace::new(name).expect("a legal namespace"));
    let mut stores: Vec<Arc<dyn MappingStore>> = Vec::new();
    for space in &spaces {
        stores.push(fixture.open(space.clone()).await);
    }
    // IDs that end a key early, or look like the key of another namespace.
    let ids: Vec<String> = ["id", ":", "{", "}", "a:id", "_a:id", "\\", "'", "*", "%"]
        .map(String::from)
        .into_iter()
        .chain([0, 2, 5].iter().flat_map(|n| [format!("{}:id", names[*n]), format!("{{{}}}:id", names[*n])]))
        .collect();

    for (n, store) in stores.iter().enumerate() {
        for id in &ids {
            assert_eq!(customer_of(&**store, id).await, None, "{id:?} is seen in a namespace where nobody linked it");
            let linked = store.link(create(id, &format!("{id} in {n}"))).await.expect("link");
            assert!(linked.changed && linked.previous.is_none(), "{id:?} is taken by another namespace");
        }
        store.link(create("shared", "ann")).await.expect("link");
    }
    for (n, store) in stores.iter().enumerate() {
        let asked: Vec<_> = ids.iter().map(acs).collect();
        for (id, answer) in ids.iter().zip(store.resolve_many(&asked).await) {
            let own = format!("{id} in {n}");
            assert_eq!(customer_of(&**store, id).await.as_deref(), Some(own.as_str()), "the customer of {id:?}");
            let batch = answer.expect("resolve_many").map(|found| found.customer_id().as_str().to_owned());
            assert_eq!(batch.as_ref(), Some(&own), "the customer of {id:?} in a batch");
            let other = format!("{id} in {}", (n + 1) % stores.len());
            assert!(ids_of(&**store, &other).await.is_empty(), "a customer of another namespace is seen");
        }
        assert_eq!(ids_of(&**store, "ann").await, ["shared"], "the ACS IDs of a customer of every namespace");
        assert_eq!(scanned(&**store).await.len(), ids.len() + 1, "what a scan of one namespace lists");
    }
    removals_stay_inside(&stores).await;
    changes_stay_inside(fixture, &spaces[1], &spaces[2]).await;
    Ok(())
}

async fn removals_stay_inside(stores: &[Arc<dyn MappingStore>]) {
    let (first, others) = stores.split_first().expect("several namespaces");
    assert_eq!(first.unlink_customer(&customer("ann")).await.expect("unlink_customer"), 1, "how many it removed");
    first.unlink(&acs("id"), Expect::Any).await.expect("unlink").expect("what was there");
    let mapping = Mapping::new(acs(":"), customer("bea"), Revision::MAX, Timestamp::from_micros(1));
    let imported = first.import(&[mapping]).await.swap_remove(0).expect("import");
    assert_eq!(imported, Imported::Written);
    for (n, store) in others.iter().enumerate() {
        assert_eq!(customer_of(&**store, "shared").await.as_deref(), Some("ann"), "removed in another namespace");
        assert_eq!(customer_of(&**store, "id").await, Some(format!("id in {}", n + 1)), "removed in another namespace");
        assert_eq!(customer_of(&**store, ":").await, Some(format!(": in {}", n + 1)), "written in another namespace");
        assert!(ids_of(&**store, "bea").await.is_empty(), "written in another namespace");
    }
}

async fn changes_stay_inside(fixture: &dyn Fixture, one: &Namespace, another: &Namespace) {
    let Some(feed) = fixture.feed(one.clone()).await else { return };
    let (inside, outside) = (fixture.open(one.clone()).await, fixture.open(another.clone()).await);
    let mut changes = feed.changes();
    while within(fixture, "Live", changes.next()).await.expect("the feed goes on") != Change::Live {}
    outside.link(create("outside", "bea")).await.expect("link");
    inside.link(create("inside", "ann")).await.expect("link");
    loop {
        match within(fixture, "the change of this namespace", changes.next()).await.expect("the feed goes on") {
            Change::Acs(id, _) if id.as_str() == "inside" => break,
            Change::Acs(id, _) => assert_ne!(id.as_str(), "outside", "a change of another namespace is reported"),
            Change::Customer(id) => assert_ne!(id.as_str(), "bea", "a change of another namespace is reported"),
            Change::All => break,
            _ => {}
        }
    }
}
