//! P2: one customer at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{at_once, create, customer_of, ids_of, joined, namespace, replace, scanned};
use crate::{Fixture, Verdict};

const WRITERS: usize = 64;

/// P2: one ACS ID has at most one customer at any moment; one customer may have many ACS IDs.
pub async fn p02_an_acs_id_has_one_customer_at_most(fixture: &dyn Fixture) -> Verdict {
    many_ids_of_one_customer(fixture).await;
    one_customer_of_a_contended_id(fixture).await;
    Ok(())
}

async fn many_ids_of_one_customer(fixture: &dyn Fixture) {
    let store = fixture.open(namespace("p02")).await;
    let linked = at_once(WRITERS, |n| {
        let store = store.clone();
        async move { store.link(create(&format!("8:acs:p02_{n:02}"), "ann")).await }
    });
    for result in linked.await {
        result.expect("one more ACS ID of the same customer");
    }
    let mut held = ids_of(&store, "ann").await;
    held.sort();
    let expected: Vec<_> = (0..WRITERS).map(|n| format!("8:acs:p02_{n:02}")).collect();
    assert_eq!(held, expected, "the ACS IDs of one customer");
    for id in &expected {
        assert_eq!(customer_of(&store, id).await.as_deref(), Some("ann"), "{id}");
    }
}

async fn one_customer_of_a_contended_id(fixture: &dyn Fixture) {
    const ID: &str = "8:acs:p02_contended";
    let namespace = namespace("p02");
    let (store, other) = (fixture.open(namespace.clone()).await, fixture.open(namespace).await);
    store.link(replace(ID, "customer-0")).await.expect("link");
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (other, done) = (other.clone(), done.clone());
        async move {
            while !done.load(Ordering::Acquire) {
                assert!(customer_of(&other, ID).await.is_some(), "nobody has the ID between two of its customers");
                tokio::task::yield_now().await;
            }
        }
    });
    let linked = at_once(WRITERS, |n| {
        let client = if n % 2 == 0 { store.clone() } else { other.clone() };
        async move { client.link(replace(ID, &format!("customer-{n}"))).await }
    });
    for result in linked.await {
        result.expect("replace");
    }
    done.store(true, Ordering::Release);
    joined(reader.await);

    let winner = customer_of(&store, ID).await.expect("the ID is linked");
    assert_eq!(customer_of(&other, ID).await.as_ref(), Some(&winner), "two clients see two customers");
    let stored = scanned(&store).await;
    assert_eq!(stored.len(), 1, "one ID is stored so many times");
    assert_eq!(stored[0].customer_id.as_str(), winner, "the stored customer");
    for n in 0..WRITERS {
        let customer = format!("customer-{n}");
        let held = ids_of(&store, &customer).await.len();
        assert_eq!(held, usize::from(customer == winner), "{customer} lists the ID of {winner} so many times");
    }
}
