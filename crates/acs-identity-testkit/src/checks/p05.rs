//! P5: revisions.

use std::collections::HashSet;

use acs_identity_core::{Clock, Expect, Imported, Link, Mapping, MappingStore, Revision, Timestamp};

use crate::support::{acs, at_once, create, customer, namespace, pass, replace, short_lifetime};
use crate::{Fixture, Verdict};

/// P5: a mapping's revision rises with every write of that ACS ID, across unlink and re-link too: max(previous + 1,
/// store's microseconds), computed while the row or key is held; unlink leaves a tombstone (ID, revision) for an hour.
pub async fn p05_a_revision_rises_with_every_write(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p05");
    let store = fixture.open(namespace.clone()).await;
    across_links(&*store).await;
    across_unlink(&*store).await;
    across_expiry(fixture, &*store).await;
    across_import(&*store).await;
    across_a_clock_set_back(fixture, &*store).await;

    const ID: &str = "8:acs:p05_contended";
    let clients = [store, fixture.open(namespace).await];
    let written = at_once(64, |n| {
        let client = clients[n % 2].clone();
        async move {
            let mut revisions = Vec::new();
            for _ in 0..4 {
                revisions.push(client.link(replace(ID, &format!("customer-{n}"))).await.expect("replace").revision);
            }
            revisions
        }
    })
    .await;
    let mut all: HashSet<Revision> = HashSet::new();
    for revisions in &written {
        rising("one writer among many", revisions);
        all.extend(revisions);
    }
    assert_eq!(all.len(), 64 * 4, "different revisions of concurrent writes");
    let last = clients[0].resolve(&acs(ID)).await.expect("resolve").expect("the ID is linked").revision();
    assert!(last.is_none_or(|last| all.iter().all(|one| *one <= last)), "the revision that stays is not the greatest");
    Ok(())
}

fn rising(what: &str, revisions: &[Revision]) {
    let pair = revisions.windows(2).find(|pair| pair[1] <= pair[0]);
    assert!(pair.is_none(), "the revision does not rise ({what}): {revisions:?}");
}

async fn written(store: &dyn MappingStore, link: Link) -> Revision {
    store.link(link).await.expect("link").revision
}

async fn across_links(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p05_links";
    let mut revisions = vec![written(store, create(ID, "ann")).await];
    for to in ["bea", "bea", "ann"] {
        revisions.push(written(store, replace(ID, to)).await);
    }
    let last = revisions[revisions.len() - 1];
    revisions.push(written(store, Link::if_revision(acs(ID), customer("cleo"), last)).await);
    for linked in store.link_many(&[replace(ID, "ann")]).await {
        revisions.push(linked.expect("link_many").revision);
    }
    rising("links", &revisions);
}

async fn across_unlink(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p05_unlink";
    let mut revisions = Vec::new();
    for (round, to) in ["una", "vera", "vera", "una"].into_iter().enumerate() {
        revisions.push(written(store, create(ID, to)).await);
        if round % 2 == 0 {
            store.unlink(&acs(ID), Expect::Any).await.expect("unlink").expect("what was there");
        } else {
            assert_eq!(store.unlink_customer(&customer(to)).await.expect("unlink_customer"), 1);
        }
    }
    rising("across unlink", &revisions);
    // The tombstone is younger than the mapping that it buried, which an import must not dig up again.
    let buried = Mapping::new(acs(ID), customer("ann"), revisions[3], Timestamp::from_micros(1));
    let imported = store.import(&[buried]).await.swap_remove(0).expect("import");
    assert_eq!(imported, Imported::Kept, "an import of what was unlinked");
}

async fn across_expiry(fixture: &dyn Fixture, store: &dyn MappingStore) {
    let lifetime = short_lifetime(fixture);
    for (id, purge) in [("8:acs:p05_expired", false), ("8:acs:p05_purged", true)] {
        let before = written(store, create(id, "ann").expiring_in(lifetime)).await;
        pass(fixture, lifetime).await;
        if purge {
            store.purge_expired(1000).await.expect("purge_expired");
        }
        if let Some(clock) = fixture.clock() {
            // The time alone would make it rise.
            clock.set(Timestamp::from_micros(before.get()));
        }
        // Not create-only: with the clock set back it may not have expired yet.
        rising(id, &[before, written(store, replace(id, "bea")).await]);
    }
}

async fn across_import(store: &dyn MappingStore) {
    const ID: &str = "8:acs:p05_import";
    let now = written(store, create(ID, "ann")).await;
    let ahead = Revision::new(now.get() + 3_600_000_000);
    let mapping = Mapping::new(acs(ID), customer("bea"), ahead, Timestamp::from_micros(1));
    let imported = store.import(std::slice::from_ref(&mapping)).await.swap_remove(0).expect("import");
    assert_eq!(imported, Imported::Written, "an import of a newer revision");
    let again = store.import(&[mapping]).await.swap_remove(0).expect("import");
    assert_eq!(again, Imported::Kept, "the same import again");
    rising("across an import", &[now, ahead, written(store, replace(ID, "cleo")).await]);
}

async fn across_a_clock_set_back(fixture: &dyn Fixture, store: &dyn MappingStore) {
    const ID: &str = "8:acs:p05_clock";
    let Some(clock) = fixture.clock() else { return };
    let now = clock.now();
    let first = written(store, create(ID, "ann")).await;
    assert_eq!(first.get(), now.as_micros(), "the first revision is the store's time");
    clock.set(Timestamp::from_micros(now.as_micros() - 3_600_000_000));
    let second = written(store, replace(ID, "bea")).await;
    store.unlink(&acs(ID), Expect::Any).await.expect("unlink").expect("what was there");
    let third = written(store, create(ID, "cleo")).await;
    rising("with the clock set back", &[first, second, third]);
    clock.set(now);
}
