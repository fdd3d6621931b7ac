//! P14: calls that are dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use acs_identity_core::{Expect, Mapping, MappingStore, PageRequest, Revision, Timestamp};
use futures::future::{BoxFuture, join_all};

use crate::support::{
    acs, at_once, create, customer, customer_of, disagreement, eventually, every_call, faults, joined, namespace,
    replace, within,
};
use crate::{Fixture, Verdict};

/// Always linked: only ever re-linked.
const STEADY: [&str; 2] = ["8:acs:p14_steady_1", "8:acs:p14_steady_2"];
/// Linked and unlinked.
const WAVERING: [&str; 4] = ["8:acs:p14_wavering_1", "8:acs:p14_wavering_2", "8:acs:p14_batch_1", "8:acs:p14_batch_2"];
const CUSTOMERS: [&str; 4] = ["ann", "bea", "cleo", "dora"];

/// A call is dropped before it is polled, or after one poll, or after two, and so on up to this.
const POLLS: usize = 10;
const CALLS: usize = 12;

/// P14: cancelling a future (drop) leaks no connection and corrupts nothing.
pub async fn p14_a_dropped_call_leaks_and_corrupts_nothing(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p14");
    let store = fixture.open(namespace.clone()).await;
    for id in STEADY {
        store.link(create(id, "ann")).await.expect("link");
    }
    let before = fixture.connections();

    // Alone, where a call comes furthest, and then in a crowd, where it waits for a connection or a lock.
    for n in 0..POLLS * CALLS {
        dropped_after(n / CALLS, call(store.clone(), n)).await;
    }
    for round in 0..4 {
        at_once(64, |n| dropped_after((n + round) % POLLS, call(store.clone(), n * 5 + round))).await;
    }

    // A write that was dropped may still be under way, but whatever it does it does wholly.
    eventually(fixture, async || {
        let (before, now) = (before?, fixture.connections()?);
        (now > before).then(|| format!("{now} connections are in use, and {before} were before calls were dropped"))
    })
    .await;
    for client in [store.clone(), fixture.open(namespace).await] {
        for id in STEADY {
            assert!(customer_of(&*client, id).await.is_some(), "{id} lost its mapping to a dropped re-link");
        }
        eventually(fixture, async || {
            let ids: Vec<&str> = STEADY.into_iter().chain(WAVERING).collect();
            disagreement(&*client, &ids, &CUSTOMERS).await.map(|wrong| format!("after dropped calls: {wrong}"))
        })
        .await;
    }
    still_works(fixture, store).await;
    Ok(())
}

/// P14: every call has a deadline, also on a backend that takes calls and answers none.
pub async fn p14_a_call_without_an_answer_ends_at_its_deadline(fixture: &dyn Fixture) -> Verdict {
    let faults = faults(fixture)?;
    let store = fixture.open(namespace("p14")).await;
    store.link(create("8:acs:p14_known", "ann")).await.expect("link");
    faults.hang().await?;
    let link = create("8:acs:p14_stranger", "bea");
    // What the calls answer is P1's to check; here they have to end.
    let calls = every_call(&store, &link).into_iter().map(async |(name, call)| {
        let _ = within(fixture, &format!("{name} without an answer"), call).await;
    });
    join_all(calls).await;
    faults.restore().await;
    eventually(fixture, async || {
        let answer = store.resolve(&acs("8:acs:p14_known")).await;
        answer.err().map(|error| format!("the backend answers again, and resolve says: {error}"))
    })
    .await;
    Ok(())
}

/// Polls a call so many times at most, and then drops it.
async fn dropped_after(polls: usize, call: impl Future<Output = ()>) {
    let mut call = pin!(call);
    let mut polled = 0;
    poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(());
        }
        polled += 1;
        match call.as_mut().poll(context) {
            Poll::Pending if polled < polls => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// One of the calls, with an answer that nobody looks at: many are cut short, and some conflict with each other.
fn call(store: Arc<dyn MappingStore>, n: usize) -> BoxFuture<'static, ()> {
    let id = move |ids: &[&str]| acs(ids[n % ids.len()]);
    Box::pin(async move {
        let page = PageRequest::default();
        match n % CALLS {
            0 => drop(store.resolve(&id(&STEADY)).await),
            1 => drop(store.resolve_many(&STEADY.map(acs)).await),
            2 => drop(store.link(replace(id(&STEADY).as_str(), CUSTOMERS[n / CALLS % 2])).await),
            3 => drop(store.link(create(id(&WAVERING).as_str(), "cleo")).await),
            4 => drop(store.unlink(&id(&WAVERING), Expect::Any).await),
            5 => drop(store.link_many(&[replace(WAVERING[2], "dora"), replace(WAVERING[3], "dora")]).await),
            6 => drop(store.unlink_customer(&customer("dora")).await),
            7 => drop(store.mappings_of(&customer("ann"), page).await),
            8 => drop(store.scan(page).await),
            9 => drop(store.purge_expired(10).await),
            10 => {
                let far = Revision::new(Revision::MAX.get() / 2 + n as u64);
                let mapping = Mapping::new(id(&WAVERING), customer("dora"), far, Timestamp::from_micros(1));
                drop(store.import(&[mapping]).await);
            }
            _ => drop(store.ping().await),
        }
    })
}

/// More calls at once than any pool has connections.
async fn still_works(fixture: &dyn Fixture, store: Arc<dyn MappingStore>) {
    let calls = (0..64).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let link = replace(&format!("8:acs:p14_after_{n}"), &format!("customer-{n}"));
            for (name, call) in every_call(&*store, &link) {
                call.await.unwrap_or_else(|error| panic!("{name} after dropped calls: {error}"));
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        joined(within(fixture, "a call after dropped calls", call).await);
    }
}
