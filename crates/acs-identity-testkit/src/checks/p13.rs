//! P13: the change feed.

use std::collections::HashSet;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Capability, Change, ErrorKind, Expect, Imported, Link, Mapping, MappingStore, Namespace, Revision, Timestamp,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::timeout;

use crate::support::{
    acs, create, customer, eventually, failure, faults, namespace, needs, pass, replace, short_lifetime, within,
};
use crate::{Fixture, NotApplicable, Verdict};

/// P13: a changed mapping reaches `changes()` subscribers, whichever client wrote it: as a change of the ACS ID, and of each
/// customer that had it or has it. `Live` is said once the subscription works. Expiry is no change, and neither is a
/// write that failed.
pub async fn p13_every_change_is_reported(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p13");
    let store = fixture.open(namespace.clone()).await;
    needs(&*store, Capability::ChangeFeed)?;
    let second = fixture.open(namespace.clone()).await;
    let mut listener = Listener::live(fixture, &store, &namespace).await;

    let linked = store.link(create("8:acs:p13_1", "ann")).await.expect("link");
    listener.hears("a link", &["8:acs:p13_1"], &["ann"]).await;
    listener.heard_revision("8:acs:p13_1", linked.revision);
    second.link(replace("8:acs:p13_1", "bea")).await.expect("replace");
    listener.hears("a re-link by a second client", &["8:acs:p13_1"], &["ann", "bea"]).await;
    for result in store.link_many(&[create("8:acs:p13_2", "ann"), create("8:acs:p13_3", "ann")]).await {
        result.expect("link_many");
    }
    listener.hears("link_many", &["8:acs:p13_2", "8:acs:p13_3"], &["ann"]).await;
    second.unlink(&acs("8:acs:p13_1"), Expect::Any).await.expect("unlink").expect("what was there");
    listener.hears("an unlink by a second client", &["8:acs:p13_1"], &["bea"]).await;
    assert_eq!(store.unlink_customer(&customer("ann")).await.expect("unlink_customer"), 2);
    listener.hears("unlink_customer", &["8:acs:p13_2", "8:acs:p13_3"], &["ann"]).await;
    for (client, to, revision, customers) in
        [(&store, "cleo", 1, &["cleo"][..]), (&second, "dora", 2, &["cleo", "dora"])]
    {
        let mapping =
            Mapping::new(acs("8:acs:p13_4"), customer(to), Revision::new(revision), Timestamp::from_micros(1));
        let imported = client.import(&[mapping]).await.swap_remove(0).expect("import");
        assert_eq!(imported, Imported::Written);
        listener.hears("an import", &["8:acs:p13_4"], customers).await;
    }
    let linked = store.link(replace("8:acs:p13_4", "dora")).await.expect("replace");
    listener.hears("a new revision of the same pair", &["8:acs:p13_4"], &["dora"]).await;
    listener.heard_revision("8:acs:p13_4", linked.revision);

    let lifetime = short_lifetime(fixture);
    store.link(create("8:acs:p13_expiring", "eve").expiring_in(lifetime)).await.expect("link");
    store.link(create("8:acs:p13_kept", "fay")).await.expect("link");
    listener.hears("two links", &["8:acs:p13_expiring", "8:acs:p13_kept"], &["eve", "fay"]).await;
    pass(fixture, lifetime).await;
    // A store may clear away what it finds expired.
    store.resolve(&acs("8:acs:p13_expiring")).await.expect("resolve");
    let refused = store.unlink(&acs("8:acs:p13_kept"), Expect::Customer(customer("gina"))).await;
    assert_eq!(failure("an unlink of another customer", refused).kind(), ErrorKind::Conflict);
    listener.hears("the link after no change", &[], &[]).await;
    listener.heard_nothing_of("an expiry", "8:acs:p13_expiring", "eve");
    listener.heard_nothing_of("a conflict", "8:acs:p13_kept", "fay");
    Ok(())
}

/// P13: `Lost` is said whenever something may have been missed, and `Live` when the subscription works again.
pub async fn p13_a_cut_feed_says_what_it_may_have_missed(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p13");
    let store = fixture.open(namespace.clone()).await;
    needs(&*store, Capability::ChangeFeed)?;
    let faults = faults(fixture)?;
    let mut listener = Listener::live(fixture, &store, &namespace).await;
    faults.cut().await?;
    listener.until("Lost after a cut", |change| matches!(change, Change::Lost(_))).await;
    faults.restore().await;
    listener.until("Live after the cut", |change| *change == Change::Live).await;
    eventually(fixture, async || store.ping().await.err().map(|error| format!("the backend is back: {error}"))).await;
    store.link(create("8:acs:p13_after", "ann")).await.expect("link");
    listener.hears("a link after the cut", &["8:acs:p13_after"], &["ann"]).await;
    Ok(())
}

/// P13: a subscriber that was too slow for what the feed keeps hears of every change nevertheless, or of `Lost` and then of
/// `Live`.
pub async fn p13_a_slow_subscriber_misses_nothing_unsaid(fixture: &dyn Fixture) -> Verdict {
    let namespace = namespace("p13");
    let store = fixture.open(namespace.clone()).await;
    needs(&*store, Capability::ChangeFeed)?;
    let kept = fixture.feed_keeps();
    let kept = kept.ok_or(NotApplicable("the fixture does not say how many changes the feed keeps"))?;
    let mut listener = Listener::live(fixture, &store, &namespace).await;

    let links: Vec<Link> = (0..=kept + kept / 8).map(|n| create(&format!("8:acs:p13_slow_{n}"), "ann")).collect();
    for batch in links.chunks(500) {
        for result in store.link_many(batch).await {
            result.expect("link_many");
        }
    }
    let mut unheard: HashSet<&AcsId> = links.iter().map(|link| &link.acs_id).collect();
    while !unheard.is_empty() {
        match listener.next(&format!("{} of {} links, or Lost", unheard.len(), links.len())).await {
            Change::Acs(id, _) => drop(unheard.remove(&id)),
            Change::All => unheard.clear(),
            Change::Lost(_) => {
                listener.until("Live after it was too slow", |change| *change == Change::Live).await;
                listener.catches_up().await;
                break;
            }
            _ => {}
        }
    }
    store.link(replace("8:acs:p13_slow_0", "bea")).await.expect("replace");
    listener.hears("a re-link after many links", &["8:acs:p13_slow_0"], &["ann", "bea"]).await;
    Ok(())
}

/// A subscription, and what it said of the last thing that was waited for.
struct Listener<'a> {
    fixture: &'a dyn Fixture,
    store: &'a dyn MappingStore,
    changes: BoxStream<'static, Change>,
    heard: Vec<Change>,
    marks: u32,
}

impl<'a> Listener<'a> {
    async fn live(fixture: &'a dyn Fixture, store: &'a dyn MappingStore, namespace: &Namespace) -> Self {
        let feed =
            fixture.feed(namespace.clone()).await.expect("the store declares a change feed, the fixture has none");
        let mut listener = Self { fixture, store, changes: feed.changes(), heard: Vec::new(), marks: 0 };
        assert_eq!(listener.next("Live").await, Change::Live, "the first word of a feed");
        listener
    }

    async fn next(&mut self, what: &str) -> Change {
        within(self.fixture, &format!("the feed's news of {what}"), self.changes.next())
            .await
            .unwrap_or_else(|| panic!("the feed has ended before it said {what}"))
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&Change) -> bool) {
        while !is_it(&self.next(what).await) {}
    }

    /// Hears what the feed still has, so that it has room again.
    async fn catches_up(&mut self) {
        while let Ok(Some(_)) = timeout(Duration::from_millis(500), self.changes.next()).await {}
    }

    /// Waits until a change has been reported for each of these, and for a link that is made now: a change may be
    /// reported more than once, and a repeat must not be taken for the next change.
    async fn hears(&mut self, what: &str, ids: &[&str], customers: &[&str]) {
        self.marks += 1;
        let mark = format!("8:acs:p13_mark_{}", self.marks);
        self.store.link(create(&mark, &mark)).await.expect("link");
        let ids: Vec<&str> = ids.iter().copied().chain([mark.as_str()]).collect();

        self.heard.clear();
        let missing = format!("{what} (of {ids:?} and {customers:?})");
        while !ids.iter().all(|id| self.heard_of(id)) || !customers.iter().all(|of| self.heard_of_customer(of)) {
            let change = self.next(&missing).await;
            assert!(!matches!(change, Change::Lost(_)), "the feed lost something, though nothing was cut: {change:?}");
            self.heard.push(change);
        }
    }

    fn heard_of(&self, id: &str) -> bool {
        self.heard.iter().any(|change| match change {
            Change::Acs(found, _) => found.as_str() == id,
            change => *change == Change::All,
        })
    }

    fn heard_of_customer(&self, of: &str) -> bool {
        self.heard.iter().any(|change| match change {
            Change::Customer(found) => found.as_str() == of,
            change => *change == Change::All,
        })
    }

    /// The last change of an ACS ID has this revision, as far as the feed knows revisions.
    fn heard_revision(&self, id: &str, expected: Revision) {
        let last = self.heard.iter().rev().find_map(|change| match change {
            Change::Acs(found, revision) if found.as_str() == id => Some(*revision),
            _ => None,
        });
        assert_eq!(last.flatten().unwrap_or(expected), expected, "the revision in the last change of {id}");
    }

    fn heard_nothing_of(&self, what: &str, id: &str, of: &str) {
        let it = self.heard.iter().find(|change| match change {
            Change::Acs(found, _) => found.as_str() == id,
            Change::Customer(found) => found.as_str() == of,
            _ => false,
        });
        assert!(it.is_none(), "{what} is reported as a change: {it:?}");
    }
}
