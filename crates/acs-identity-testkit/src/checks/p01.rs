//! P1: found, absent and failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acs_identity_core::{ErrorKind, Resolver};
use futures::future::join_all;

use crate::support::{
    acs, at_once, create, customer_of, eventually, every_call, failure, faults, joined, namespace, within,
};
use crate::{Fixture, Verdict};

/// P1: found, absent and failed are three different answers; a failure is never reported as absent. A closed store
/// fails every call as `Unavailable`; it may be closed again, by several callers at once, and while it is in use.
pub async fn p01_a_failure_is_never_reported_as_absent(fixture: &dyn Fixture) -> Verdict {
    let store = fixture.open(namespace("p01")).await;
    store.link(create("8:acs:p01_known", "ann")).await.expect("link");
    assert_eq!(customer_of(&store, "8:acs:p01_known").await.as_deref(), Some("ann"));
    assert_eq!(customer_of(&store, "8:acs:p01_unknown").await, None);

    let closed = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (store, closed) = (store.clone(), closed.clone());
            tokio::spawn(async move {
                let known = acs("8:acs:p01_known");
                while !closed.load(Ordering::Acquire) {
                    match store.resolve(&known).await {
                        Ok(found) => assert!(found.is_some(), "a store that is being closed says that an ID is absent"),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "while it is closed: {error}"),
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let closing = at_once(8, |_| {
        let store = store.clone();
        async move { store.close().await }
    });
    within(fixture, "closing", closing).await;
    closed.store(true, Ordering::Release);
    for reader in readers {
        joined(reader.await);
    }
    within(fixture, "closing again", store.close()).await;

    for id in ["8:acs:p01_known", "8:acs:p01_unknown"] {
        let link = create(id, "ann");
        for (name, call) in every_call(&store, &link) {
            let error = failure(&format!("{name} of a closed store"), within(fixture, name, call).await);
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{name} of a closed store: {error}");
        }
        assert_eq!(store.resolve_now(&link.acs_id), None, "resolve_now of a closed store knows an answer");
    }
    Ok(())
}

/// P1: found, absent and failed are three different answers; a failure is never reported as absent. A backend that can't be
/// reached is a failure of every call, within the deadline, and no failure any more once it can be reached again.
pub async fn p01_an_unreachable_backend_is_a_failure(fixture: &dyn Fixture) -> Verdict {
    let faults = faults(fixture)?;
    let store = fixture.open(namespace("p01")).await;
    store.link(create("8:acs:p01_known", "ann")).await.expect("link");
    faults.cut().await?;

    // One that nobody has asked for: a cache may know the answer for the other.
    let link = create("8:acs:p01_stranger", "bea");
    let calls = every_call(&store, &link).into_iter().map(async |(name, call)| (name, call.await));
    for (name, result) in within(fixture, "a call of a store that is cut off", join_all(calls)).await {
        let error = failure(&format!("{name} of a store that is cut off"), result);
        let write = matches!(name, "link" | "link_many" | "import" | "unlink" | "unlink_customer" | "purge_expired");
        let expected = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
            || (write && error.kind() == ErrorKind::OutcomeUnknown);
        assert!(expected, "{name} of a store that is cut off: {error}");
    }
    let known = within(fixture, "resolve", store.resolve(&acs("8:acs:p01_known"))).await;
    assert!(!matches!(known, Ok(None)), "a store that is cut off says that a linked ID is absent");

    faults.restore().await;
    eventually(fixture, async || match store.resolve(&acs("8:acs:p01_known")).await {
        Ok(found) => {
            assert!(found.is_some(), "a linked ID is absent after the cut");
            None
        }
        Err(error) => Some(format!("the backend is back, and resolve says: {error}")),
    })
    .await;
    Ok(())
}
