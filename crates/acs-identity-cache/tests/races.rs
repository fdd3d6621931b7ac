//! A load that meets a write or a purge: what was read before is never kept after, and nobody joins it.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{
    AcsId, Capabilities, Clock, CustomerId, ErrorKind, Expect, Imported, Link, Linked, Mapping, MappingStore,
    MemoryStore, Page, PageRequest, Resolution, Resolver, Result, Revision, Timestamp,
};
use acs_identity_testkit::{Call, Counting, Faulty, Gated, Point};
use async_trait::async_trait;
use common::{builder_for, customer, id, ids_of, link, on_manual_clock, who};

type Cached = ReadThrough<Arc<Gated<MemoryStore>>>;

/// Starts a read that has asked the store, and holds its answer while `meanwhile` runs; a second read that begins then must
/// see what is there now, without waiting for the first; and so must one that begins when the first has landed.
async fn a_read_held_back(meanwhile: impl AsyncFn(&Cached)) {
    for (batch, second_read) in [(false, true), (true, true), (false, false), (true, false)] {
        let (cached, store, _) = on_manual_clock(Gated::new);
        link(store.as_ref(), "8:acs:r_1", "alice").await;
        let call = if batch { Call::ResolveMany } else { Call::Resolve };
        let hold = store.hold(call, Point::After);
        let first = tokio::spawn({
            let cached = cached.clone();
            async move {
                if batch {
                    let answers = cached.resolve_many(&[id("8:acs:r_1"), id("8:acs:r_2")]).await;
                    answers[0].clone().expect("an answer").map(|found| found.customer_id().as_str().to_owned())
                } else {
                    who(&cached, "8:acs:r_1").await
                }
            }
        });
        hold.reached().await;
        meanwhile(&cached).await;
        if second_read {
            assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"), "the second read");
        }
        hold.release();
        assert_eq!(first.await.expect("the first read").as_deref(), Some("alice"));
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"), "after the first load has landed");
        // A purge of many keys also refuses the other ID of the roster.
        assert!(matches!(cached.stats().refused_as_stale, 1 | 2));
    }
}

#[tokio::test]
async fn a_load_that_began_before_a_link_is_neither_kept_nor_joined() {
    a_read_held_back(async |cached| link(cached, "8:acs:r_1", "bob").await).await;
}

#[tokio::test]
async fn a_load_that_began_before_a_batch_of_links_is_neither_kept_nor_joined() {
    a_read_held_back(async |cached| {
        let links = [Link::replace(id("8:acs:r_9"), customer("x")), Link::replace(id("8:acs:r_1"), customer("bob"))];
        assert!(cached.link_many(&links).await.iter().all(Result::is_ok));
    })
    .await;
}

#[tokio::test]
async fn a_load_that_began_before_an_import_is_neither_kept_nor_joined() {
    a_read_held_back(async |cached| {
        let mapping = Mapping::new(id("8:acs:r_1"), customer("bob"), Revision::MAX, Timestamp::from_micros(1));
        assert!(cached.import(&[mapping]).await[0].is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_load_that_began_before_a_purge_is_neither_kept_nor_joined() {
    a_read_held_back(async |cached| {
        link(cached.inner(), "8:acs:r_1", "bob").await;
        cached.purge(&id("8:acs:r_1"));
    })
    .await;
    a_read_held_back(async |cached| {
        link(cached.inner(), "8:acs:r_1", "bob").await;
        cached.purge_customer(&customer("alice"));
    })
    .await;
    a_read_held_back(async |cached| {
        link(cached.inner(), "8:acs:r_1", "bob").await;
        cached.purge_all();
    })
    .await;
}

#[tokio::test]
async fn a_load_that_began_before_an_unlink_of_the_customer_is_neither_kept_nor_joined() {
    let (cached, store, _) = on_manual_clock(Gated::new);
    link(store.as_ref(), "8:acs:r_1", "alice").await;
    let hold = store.hold(Call::Resolve, Point::After);
    let first = tokio::spawn({
        let cached = cached.clone();
        async move { who(&cached, "8:acs:r_1").await }
    });
    hold.reached().await;
    assert_eq!(cached.unlink_customer(&customer("alice")).await.unwrap(), 1);
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
    hold.release();
    assert_eq!(first.await.unwrap().as_deref(), Some("alice"));
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
}

#[tokio::test]
async fn a_page_that_was_read_before_a_relink_is_not_kept() {
    let (cached, store, _) = on_manual_clock(Gated::new);
    link(store.as_ref(), "8:acs:r_1", "alice").await;
    let hold = store.hold(Call::MappingsOf, Point::After);
    let first = tokio::spawn({
        let cached = cached.clone();
        async move { ids_of(&cached, "alice").await }
    });
    hold.reached().await;
    // The former customer is known only when the store has answered.
    link(&cached, "8:acs:r_1", "bob").await;
    assert!(ids_of(&cached, "alice").await.is_empty());
    hold.release();
    assert_eq!(first.await.unwrap(), ["8:acs:r_1"]);
    assert!(ids_of(&cached, "alice").await.is_empty());
    assert_eq!(cached.customer_stats().refused_as_stale, 1);
}

#[tokio::test]
async fn what_a_write_touches_is_not_kept_while_it_is_under_way_even_if_its_caller_has_left() {
    let (cached, store, _) = on_manual_clock(|memory| Gated::new(Arc::new(Counting::new(memory))));
    link(&cached, "8:acs:r_1", "alice").await;
    let hold = store.hold(Call::Link, Point::Before);
    let caller = tokio::spawn({
        let cached = cached.clone();
        async move { link(&cached, "8:acs:r_1", "bob").await }
    });
    hold.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());

    for _ in 0..3 {
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("alice"));
    }
    assert_eq!((cached.stats().hits, cached.stats().refused_as_stale), (0, 3), "each read asked the store");
    hold.release();
    // The write goes on without its caller.
    while who(&cached, "8:acs:r_1").await.as_deref() != Some("bob") {
        tokio::task::yield_now().await;
    }
    while cached.stats().hits == 0 {
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_an_unknown_outcome_nothing_is_kept_for_the_time_of_a_write() {
    let (cached, store, clock) = on_manual_clock(Faulty::new);
    link(&cached, "8:acs:r_1", "alice").await;
    assert_eq!(ids_of(&cached, "alice").await, ["8:acs:r_1"]);
    store.lose_answers(1);
    let error = cached.link(Link::replace(id("8:acs:r_1"), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);

    // Nobody has told the cache that the ACS ID was Alice's, but her page is not shown any more either.
    for _ in 0..2 {
        assert!(ids_of(&cached, "alice").await.is_empty());
        assert_eq!(ids_of(&cached, "bob").await, ["8:acs:r_1"]);
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"));
    }
    // That Alice has none may be kept: if the write is still to be applied, that is no news to her page.
    assert_eq!((cached.stats().hits, cached.customer_stats().hits), (0, 0));

    clock.advance(Duration::from_secs(29));
    who(&cached, "8:acs:r_1").await;
    who(&cached, "8:acs:r_1").await;
    assert_eq!(cached.stats().hits, 0);
    clock.advance(Duration::from_secs(1));
    who(&cached, "8:acs:r_1").await;
    who(&cached, "8:acs:r_1").await;
    ids_of(&cached, "bob").await;
    ids_of(&cached, "bob").await;
    assert_eq!((cached.stats().hits, cached.customer_stats().hits), (1, 1));
}

/// A store that answers a batch of writes, which it has applied, one item short.
#[derive(Debug)]
struct Short(MemoryStore);

#[async_trait]
impl Resolver for Short {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        self.0.resolve(id).await
    }
}

#[async_trait]
impl MappingStore for Short {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        self.0.link(link).await
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        self.0.link_many(links).await.split_off(1)
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        self.0.import(mappings).await.split_off(1)
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        self.0.unlink(id, expect).await
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        self.0.unlink_customer(customer).await
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        self.0.mappings_of(customer, page).await
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        self.0.scan(page).await
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        self.0.purge_expired(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.ping().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::test]
async fn a_batch_of_writes_that_is_answered_short_is_of_unknown_outcome_for_each() {
    let cached = builder_for(Short(MemoryStore::new())).build();
    let ids = ["8:acs:r_1", "8:acs:r_2"];
    let linked = cached.link_many(&ids.map(|acs_id| Link::create(id(acs_id), customer("bob")))).await;
    let mappings = ids.map(|acs_id| Mapping::new(id(acs_id), customer("x"), Revision::MAX, Timestamp::from_micros(1)));
    let imported = cached.import(&mappings).await;
    let kinds = linked.into_iter().map(|one| one.map(drop)).chain(imported.into_iter().map(|one| one.map(drop)));
    assert_eq!(kinds.map(|one| one.unwrap_err().kind()).collect::<Vec<_>>(), [ErrorKind::OutcomeUnknown; 4]);
    for _ in 0..2 {
        assert_eq!(who(&cached, ids[0]).await.as_deref(), Some("x"));
    }
    assert_eq!(cached.stats().hits, 0, "nothing of them is kept");
}

#[tokio::test]
async fn after_an_unknown_outcome_of_an_erasure_none_of_the_customers_ids_is_served_from_the_cache() {
    let (cached, store, clock) = on_manual_clock(Faulty::new);
    link(&cached, "8:acs:r_1", "alice").await;
    link(&cached, "8:acs:r_2", "bob").await;
    who(&cached, "8:acs:r_1").await;
    who(&cached, "8:acs:r_2").await;
    store.lose_answers(1);
    assert_eq!(cached.unlink_customer(&customer("alice")).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    // The answer was lost, and not the write.
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
    // But somebody may have seen hers just before it was applied.
    link(store.as_ref(), "8:acs:r_1", "alice").await;
    cached.purge(&id("8:acs:r_1"));
    for _ in 0..2 {
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("alice"));
    }
    assert_eq!(cached.stats().hits, 0, "the erasure may still be applied");
    assert_eq!(who(&cached, "8:acs:r_2").await.as_deref(), Some("bob"));
    assert_eq!(cached.stats().hits, 1, "other customers' answers stay");
    clock.advance(Duration::from_secs(30));
    who(&cached, "8:acs:r_1").await;
    who(&cached, "8:acs:r_1").await;
    assert_eq!(cached.stats().hits, 2);
}

#[tokio::test]
async fn a_write_that_hangs_is_of_unknown_outcome_at_its_deadline_and_its_ids_can_be_kept_again() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = builder_for(store.clone()).write_deadline(Duration::from_millis(50)).build();
    let hold = store.hold(Call::Link, Point::Before);
    let error = cached.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    hold.release();
    while cached.stats().negative_hits + cached.stats().hits == 0 {
        who(&cached, "8:acs:r_1").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_write_that_panics_is_an_internal_error_and_leaves_the_cache_usable() {
    #[derive(Debug)]
    struct Exploding;
    impl acs_identity_core::Clock for Exploding {
        fn now(&self) -> Timestamp {
            panic!("no time")
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }
    let cached =
        builder_for(MemoryStore::with_clock(Arc::new(Exploding))).write_deadline(Duration::from_millis(20)).build();
    let error = cached.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
}

#[tokio::test]
async fn a_failed_condition_changes_nothing_and_the_id_is_kept_again() {
    let (cached, _, _) = on_manual_clock(|memory| memory);
    link(&cached, "8:acs:r_1", "alice").await;
    let error = cached.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = cached.unlink(&id("8:acs:r_1"), Expect::Customer(customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    who(&cached, "8:acs:r_1").await;
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("alice"));
    assert_eq!(cached.stats().hits, 1);
}

#[tokio::test]
async fn a_relink_is_seen_at_once_from_all_sides() {
    let (cached, _, _) = on_manual_clock(|memory| memory);
    link(&cached, "8:acs:r_1", "alice").await;
    for _ in 0..2 {
        assert_eq!(ids_of(&cached, "alice").await, ["8:acs:r_1"]);
        assert!(ids_of(&cached, "bob").await.is_empty());
        assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("alice"));
    }
    link(&cached.clone(), "8:acs:r_1", "bob").await;
    assert!(ids_of(&cached, "alice").await.is_empty());
    assert_eq!(ids_of(&cached, "bob").await, ["8:acs:r_1"]);
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("bob"));
    cached.unlink(&id("8:acs:r_1"), Expect::Any).await.unwrap();
    assert!(ids_of(&cached, "bob").await.is_empty());
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
}

#[tokio::test]
async fn an_import_is_seen_at_once_also_by_the_customer_who_lost_the_id() {
    let (cached, _, _) = on_manual_clock(|memory| memory);
    link(&cached, "8:acs:r_1", "alice").await;
    ids_of(&cached, "alice").await;
    let mapping = Mapping::new(id("8:acs:r_1"), customer("bob"), Revision::MAX, Timestamp::from_micros(1));
    assert!(cached.import(&[mapping]).await[0].is_ok());
    assert!(ids_of(&cached, "alice").await.is_empty());
    assert_eq!(ids_of(&cached, "bob").await, ["8:acs:r_1"]);
}

#[tokio::test]
async fn while_a_customer_is_erased_a_caller_who_left_is_served_nothing_from_before() {
    let (cached, store, _) = on_manual_clock(Gated::new);
    link(&cached, "8:acs:r_1", "alice").await;
    who(&cached, "8:acs:r_1").await;
    let hold = store.hold(Call::UnlinkCustomer, Point::After);
    let erasure = tokio::spawn({
        let cached = cached.clone();
        async move { cached.unlink_customer(&customer("alice")).await }
    });
    hold.reached().await;
    erasure.abort();
    // The store has erased already, though nobody has been told.
    assert_eq!(who(&cached, "8:acs:r_1").await, None);
    hold.release();
}

#[tokio::test]
async fn a_write_that_is_applied_after_its_deadline_is_not_hidden_by_an_older_answer() {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let clock = acs_identity_testkit::ManualClock::new();
    let deadline = Duration::from_millis(20);
    let cached = builder_for(store.clone()).write_deadline(deadline).clock(Arc::new(clock.clone())).build();
    link(&cached, "8:acs:r_1", "old").await;
    let hold = store.hold(Call::Link, Point::Before);
    let late = cached.link(Link::replace(id("8:acs:r_1"), customer("new"))).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::OutcomeUnknown);
    clock.advance(deadline - Duration::from_micros(1));
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("old"));
    // The backend had it all the time.
    link(store.as_ref(), "8:acs:r_1", "new").await;
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("new"));
    hold.release();
}

#[tokio::test]
async fn what_was_read_before_a_write_was_applied_late_is_not_kept_when_its_time_is_over() {
    is_not_kept_after(async |_| {}).await;
}

#[tokio::test]
async fn nor_is_it_when_another_write_has_swept_away_what_was_noted_of_the_first() {
    is_not_kept_after(async |cached| link(cached, "8:acs:r_9", "somebody").await).await;
}

/// Something that was read before a write was applied late, and lands after the time of the write and after this.
async fn is_not_kept_after(meanwhile: impl AsyncFn(&Cached)) {
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let clock = acs_identity_testkit::ManualClock::new();
    let deadline = Duration::from_millis(20);
    let cached = builder_for(store.clone()).write_deadline(deadline).clock(Arc::new(clock.clone())).build();
    link(&cached, "8:acs:r_1", "old").await;
    let write = store.hold(Call::Link, Point::Before);
    let late = cached.link(Link::replace(id("8:acs:r_1"), customer("new"))).await.expect_err("it is held");
    assert_eq!(late.kind(), ErrorKind::OutcomeUnknown);
    write.release();

    let read = store.hold(Call::Resolve, Point::After);
    let reader = tokio::spawn({
        let cached = cached.clone();
        async move { who(&cached, "8:acs:r_1").await }
    });
    read.reached().await;
    // The backend had it all the time, and applies it at the last moment.
    link(store.as_ref(), "8:acs:r_1", "new").await;
    clock.advance(deadline);
    meanwhile(&cached).await;
    read.release();
    assert_eq!(reader.await.expect("a reader").as_deref(), Some("old"));
    assert_eq!(who(&cached, "8:acs:r_1").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn who_loses_an_expired_id_is_forgotten_too() {
    let (cached, _, clock) = on_manual_clock(|memory| memory);
    let expiring = Link::create(id("8:acs:r_1"), customer("alice")).expiring_in(Duration::from_secs(60));
    cached.link(expiring).await.unwrap();
    assert_eq!(ids_of(&cached, "alice").await, ["8:acs:r_1"]);
    // An operator sets the clock: by the store's time the mapping is over, by the cache's lifetime it is not.
    clock.set(clock.now().saturating_add(Duration::from_secs(120)));
    cached.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap();
    assert!(ids_of(&cached, "alice").await.is_empty());
    assert_eq!(ids_of(&cached, "bob").await, ["8:acs:r_1"]);
}
