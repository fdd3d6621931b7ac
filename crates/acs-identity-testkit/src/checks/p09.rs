//! P9: expiry.

use std::time::{Duration, Instant};

use acs_identity_core::{
    Clock, ErrorKind, Expect, Imported, Link, Mapping, MappingStore, PageRequest, Revision, Timestamp,
};

use crate::support::{
    acs, create, customer, customer_of, failure, ids_of, namespace, pass, replace, scanned, short_lifetime,
};
use crate::{Fixture, Verdict};

/// P9: an expired mapping reads as absent everywhere; `purge_expired` removes it. Until then its remaining lifetime counts
/// down, exact to the microsecond, whoever tells it.
pub async fn p09_an_expired_mapping_is_absent_everywhere(fixture: &dyn Fixture) -> Verdict {
    let store = fixture.open(namespace("p09")).await;
    let lifetime = short_lifetime(fixture);
    counting_down(fixture, &*store, lifetime).await;
    absent_to_readers(fixture, &*store, lifetime).await;
    absent_to_writers(fixture, &*store, lifetime).await;
    never_for_the_others(fixture, &*store, lifetime).await;
    to_the_microsecond(fixture, lifetime).await;
    purging(fixture, lifetime).await;
    Ok(())
}

async fn remaining(store: &dyn MappingStore, id: &str) -> Duration {
    let found = store.resolve(&acs(id)).await.expect("resolve").expect("it has not expired yet");
    found.remaining().expect("it expires")
}

async fn counting_down(fixture: &dyn Fixture, store: &dyn MappingStore, lifetime: Duration) {
    const ID: &str = "8:acs:p09_counting";
    // Ten times as long: a slow machine must not let it expire in between.
    store.link(create(ID, "ann").expiring_in(10 * lifetime)).await.expect("link");
    let first = remaining(store, ID).await;
    assert!(first <= 10 * lifetime && !first.is_zero(), "{first:?} remain of {:?}", 10 * lifetime);
    pass(fixture, lifetime / 2).await;
    let second = remaining(store, ID).await;
    assert!(second <= first - lifetime / 2, "{second:?} remain {:?} after {first:?} did", lifetime / 2);
    let batch = store.resolve_many(&[acs(ID)]).await[0].clone().expect("resolve_many").expect("it has not expired yet");
    assert!(batch.remaining().is_some_and(|left| left <= second), "in a batch, {:?} remain", batch.remaining());
    store.unlink(&acs(ID), Expect::Any).await.expect("unlink");
}

async fn absent_to_readers(fixture: &dyn Fixture, store: &dyn MappingStore, lifetime: Duration) {
    const ID: &str = "8:acs:p09_read";
    const AT_ONCE: &str = "8:acs:p09_at_once";
    store.link(create(ID, "ann").expiring_in(lifetime)).await.expect("link");
    assert_eq!(customer_of(store, ID).await.as_deref(), Some("ann"), "it has not expired yet");
    assert_eq!(ids_of(store, "ann").await, [ID], "it has not expired yet");
    store.link(create(AT_ONCE, "ann").expiring_in(Duration::ZERO)).await.expect("link");
    assert_eq!(customer_of(store, AT_ONCE).await, None, "a mapping with no lifetime at all");
    pass(fixture, lifetime).await;
    assert_eq!(customer_of(store, ID).await, None, "resolve of an expired mapping");
    assert!(!matches!(store.resolve_now(&acs(ID)), Some(Some(_))), "resolve_now of an expired mapping");
    let batch = store.resolve_many(&[acs(ID), acs(AT_ONCE)]).await;
    assert!(batch.iter().all(|answer| matches!(answer, Ok(None))), "resolve_many of expired mappings: {batch:?}");
    assert!(ids_of(store, "ann").await.is_empty(), "mappings_of lists an expired mapping");
    assert!(scanned(store).await.is_empty(), "scan lists an expired mapping");
}

async fn absent_to_writers(fixture: &dyn Fixture, store: &dyn MappingStore, lifetime: Duration) {
    let id = |name: &str| format!("8:acs:p09_{name}");
    let mut revisions = Vec::new();
    for name in ["create", "replace", "revision", "unlink", "unlink_customer", "unlink_revision", "import"] {
        revisions.push(store.link(create(&id(name), "bea").expiring_in(lifetime)).await.expect("link").revision);
    }
    pass(fixture, lifetime).await;
    for link in [create(&id("create"), "cleo"), replace(&id("replace"), "cleo")] {
        let linked = store.link(link).await.expect("a link over an expired mapping");
        assert!(linked.changed && linked.previous.is_none(), "a link over an expired mapping: {linked:?}");
    }
    let link = Link::if_revision(acs(id("revision")), customer("cleo"), revisions[2]);
    let error = failure("if-revision of an expired mapping", store.link(link).await);
    assert_eq!(
        (error.kind(), error.present_revision()),
        (ErrorKind::Conflict, None),
        "if-revision of an expired mapping"
    );
    for (name, expect) in [
        ("unlink", Expect::Any),
        ("unlink_customer", Expect::Customer(customer("dora"))),
        ("unlink_revision", Expect::Revision(Revision::new(1))),
    ] {
        let removed = store.unlink(&acs(id(name)), expect).await.expect("an unlink of an expired mapping");
        assert_eq!(removed, None, "an unlink of an expired mapping");
    }
    assert_eq!(store.unlink_customer(&customer("bea")).await.expect("unlink_customer"), 0, "expired mappings count");
    let mut expired = Mapping::new(acs(id("imported")), customer("bea"), Revision::MAX, Timestamp::from_micros(1));
    expired.expires_at = Some(Timestamp::from_micros(2));
    let imported = store.import(&[expired]).await.swap_remove(0).expect("import");
    assert_eq!(imported, Imported::Expired, "an import of an expired mapping");
    assert_eq!(ids_of(store, "cleo").await.len(), 2, "what was linked over expired mappings");
    assert!(ids_of(store, "bea").await.is_empty(), "mappings_of lists an expired mapping");
}

/// Expiry is a property of the last write: a new link without it lasts, and an import keeps its date.
async fn never_for_the_others(fixture: &dyn Fixture, store: &dyn MappingStore, lifetime: Duration) {
    const RENEWED: &str = "8:acs:p09_renewed";
    const IMPORTED: &str = "8:acs:p09_dated";
    store.link(create(RENEWED, "eve").expiring_in(lifetime)).await.expect("link");
    store.link(replace(RENEWED, "eve")).await.expect("replace");
    let now = fixture.clock().map_or_else(|| acs_identity_core::SystemClock.now(), |clock| clock.now());
    let mut dated = Mapping::new(acs(IMPORTED), customer("eve"), Revision::new(1), now);
    // The clocks of this machine and of the store may differ by some lifetimes.
    dated.expires_at = Some(now.saturating_add(1000 * lifetime + Duration::from_micros(7)));
    store.import(&[dated.clone()]).await.swap_remove(0).expect("import");
    pass(fixture, lifetime).await;
    assert_eq!(customer_of(store, RENEWED).await.as_deref(), Some("eve"), "a link that was renewed without an end");
    let listed = scanned(store).await.into_iter().find(|mapping| mapping.acs_id.as_str() == IMPORTED);
    assert_eq!(listed.as_ref(), Some(&dated), "an imported mapping that has not expired yet");
    assert!(remaining(store, IMPORTED).await <= 1100 * lifetime, "more remains than the import said");
}

/// A lifetime is neither rounded nor cut, and a page tells it as `resolve` does.
async fn to_the_microsecond(fixture: &dyn Fixture, lifetime: Duration) {
    const IDS: [&str; 2] = ["8:acs:p09_exact_1", "8:acs:p09_exact_2"];
    const MICROSECOND: Duration = Duration::from_micros(1);
    let store = &*fixture.open(namespace("p09")).await;
    // Long: a slow machine must not let it expire in between.
    let lifetime = 100 * lifetime + Duration::from_micros(900_001);
    for id in IDS {
        let start = Instant::now();
        store.link(create(id, "ann").expiring_in(lifetime)).await.expect("link");
        let left = remaining(store, id).await;
        assert!(left.abs_diff(lifetime) <= slack(fixture, start), "{left:?} remain of {lifetime:?}, at once");
    }
    pass(fixture, Duration::from_micros(123_457)).await;
    for listing in ["mappings_of", "scan"] {
        lifetimes_of_a_listing(fixture, store, listing).await;
    }
    // To the moment itself only a clock can be set.
    let Some(clock) = fixture.clock() else { return };
    clock.advance(remaining(store, IDS[0]).await - MICROSECOND);
    assert_eq!(remaining(store, IDS[0]).await, MICROSECOND, "what remains a microsecond before the end");
    assert_eq!(ids_of(store, "ann").await, IDS, "a microsecond before the end");
    clock.advance(MICROSECOND);
    assert_eq!(customer_of(store, IDS[0]).await, None, "resolve at the end of a lifetime");
    assert!(ids_of(store, "ann").await.is_empty(), "mappings_of lists a mapping at the end of its lifetime");
    assert!(scanned(store).await.is_empty(), "scan lists a mapping at the end of its lifetime");
}

/// From the time of its page to its expiry it is as long as `resolve` says that a mapping lasts.
async fn lifetimes_of_a_listing(fixture: &dyn Fixture, store: &dyn MappingStore, listing: &str) {
    let mut told = 0;
    let mut request = Some(PageRequest::first(1).expect("a page of one"));
    while let Some(asked) = request {
        let start = Instant::now();
        let page = match listing {
            "scan" => store.scan(asked.clone()).await,
            _ => store.mappings_of(&customer("ann"), asked.clone()).await,
        };
        let page = page.expect(listing);
        for mapping in &page.items {
            let listed = mapping.expires_at.expect("it expires").since(page.read_at);
            let left = remaining(store, mapping.acs_id.as_str()).await;
            let slack = slack(fixture, start);
            assert!(listed.abs_diff(left) <= slack, "{listed:?} remain by {listing}, {left:?} by resolve");
            told += 1;
        }
        request = page.next.map(|cursor| asked.after(cursor));
    }
    assert!(told > 0, "{listing} lists nothing");
}

/// By how much two times may differ, of which the first was told after this moment and the second by now: where time is
/// real it has passed, and not every clock goes alike.
fn slack(fixture: &dyn Fixture, start: Instant) -> Duration {
    if fixture.clock().is_some() { Duration::ZERO } else { start.elapsed() + Duration::from_millis(100) }
}

async fn purging(fixture: &dyn Fixture, lifetime: Duration) {
    let store = fixture.open(namespace("p09")).await;
    for n in 0..5 {
        store.link(create(&format!("8:acs:p09_purged_{n}"), "ann").expiring_in(lifetime)).await.expect("link");
    }
    store.link(create("8:acs:p09_later", "ann").expiring_in(1000 * lifetime)).await.expect("link");
    store.link(create("8:acs:p09_never", "ann")).await.expect("link");
    assert_eq!(store.purge_expired(1000).await.expect("purge_expired"), 0, "nothing has expired yet");
    pass(fixture, lifetime).await;
    let mut purged = 0;
    loop {
        let some = store.purge_expired(2).await.expect("purge_expired");
        assert!(some <= 2, "purge_expired(2) has freed {some}");
        purged += some;
        if some == 0 {
            break;
        }
    }
    assert_eq!(purged, 5, "how many expired mappings were freed");
    let left: Vec<_> = scanned(&*store).await.iter().map(|mapping| mapping.acs_id.as_str().to_owned()).collect();
    assert_eq!(left, ["8:acs:p09_later", "8:acs:p09_never"], "what purge_expired has left");
    let linked = store.link(create("8:acs:p09_purged_0", "bea")).await.expect("a link of a purged ID");
    assert!(linked.changed && linked.previous.is_none(), "a link of a purged ID: {linked:?}");
}
