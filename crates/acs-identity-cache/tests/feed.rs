//! What others write: the change feed, and what is fresh while it works and while it does not.

mod common;

use std::sync::Arc;
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{
    Change, ChangeFeed, CustomerId, ErrorKind, Expect, Link, LostReason, MappingStore, MemoryStore, Resolver, Revision,
};
use acs_identity_testkit::{Call, Counting, Faulty, Gated, ManualFeed, Point};
use common::{RuntimeClock, age, builder_for, customer, id, ids, ids_of, link, settle, who};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const LOST: Change = Change::Lost(LostReason::Disconnected);

type Store = Arc<Gated<Arc<Faulty<MemoryStore>>>>;

/// A cache over a store that others write to, and their news.
struct World {
    cached: ReadThrough<Store>,
    /// The same mappings, behind the cache's back.
    others: MemoryStore,
    faulty: Arc<Faulty<MemoryStore>>,
    store: Store,
    feed: ManualFeed,
}

impl World {
    /// id1 is Bob's. The feed is subscribed to, and has said nothing.
    async fn new() -> Self {
        let clock = Arc::new(RuntimeClock::new());
        let others = MemoryStore::with_clock(clock.clone());
        link(&others, "id1", "bob").await;
        let faulty = Arc::new(Faulty::new(others.second_client()));
        let store = Arc::new(Gated::new(faulty.clone()));
        let feed = ManualFeed::new();
        let builder = builder_for(store.clone()).clock(clock).jitter(0.0).stale_if_error(1000 * SECOND);
        let cached = builder.feed(feed.clone()).build();
        Self { cached, others, faulty, store, feed }
    }

    /// The feed is live, and the cache knows id1, the absence of id2, and the page of Bob.
    async fn live() -> Self {
        let world = Self::new().await;
        world.know().await;
        world.feed.subscribed(1).await;
        world.feed.tell(Change::Live).await;
        world.know().await;
        assert_eq!(world.fresh(), (true, true));
        world
    }

    async fn know(&self) {
        who(&self.cached, "id1").await;
        who(&self.cached, "id2").await;
        ids_of(&self.cached, "bob").await;
    }

    /// Whether id1 and id2 are at hand.
    fn fresh(&self) -> (bool, bool) {
        let is_fresh = |one| self.cached.resolve_now(&id(one)).is_some();
        (is_fresh("id1"), is_fresh("id2"))
    }

    /// Whether Bob's page comes from the cache.
    async fn page_is_fresh(&self) -> bool {
        let before = self.cached.customer_stats().misses;
        ids_of(&self.cached, "bob").await;
        self.cached.customer_stats().misses == before
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fresh_before_the_feed_is_live() {
    let world = World::new().await;
    let cached = &world.cached;
    assert_eq!((cached.stats().feed_live, cached.stats().feed_epoch), (false, 0));
    assert_eq!(world.feed.subscribers(), 0, "nobody has asked for anything yet");
    for loads in 1..4 {
        world.know().await;
        assert_eq!((cached.stats().loaded, cached.stats().hits), (2 * loads, 0));
        assert_eq!(world.fresh(), (false, false));
    }
    assert_eq!(cached.customer_stats().hits, 0);
    world.feed.subscribed(1).await;
    world.feed.tell(Change::Live).await;
    assert_eq!((cached.stats().feed_live, cached.stats().feed_epoch), (true, 1));
    assert_eq!(world.fresh(), (false, false), "it was loaded before");
    assert!(!world.page_is_fresh().await);
    world.know().await;
    assert_eq!(world.fresh(), (true, true));
    assert!(world.page_is_fresh().await);
    assert_eq!((cached.customer_stats().feed_live, cached.customer_stats().feed_epoch), (true, 1));
    assert_eq!(world.feed.subscribers(), 1, "one for both directions");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_the_feed_was_live_is_not_fresh_and_not_joined() {
    let world = World::new().await;
    let hold = world.store.hold(Call::Resolve, Point::After);
    let before = common::asking(&world.cached, "id1");
    hold.reached().await;
    world.feed.tell(Change::Live).await;
    link(&world.others, "id1", "alice").await;
    // Its news would be told now; this reader is there before them.
    assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"));
    hold.release();
    before.await.unwrap().unwrap();
    settle().await;
    assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"));
}

#[tokio::test(start_paused = true)]
async fn news_of_an_id_concern_that_id_and_the_pages_that_hold_it() {
    let world = World::live().await;
    link(&world.others, "id1", "alice").await;
    assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("bob"), "nobody has told it");
    world.feed.tell(Change::Acs(id("id1"), None)).await;
    assert_eq!(world.fresh(), (false, true));
    assert!(!world.page_is_fresh().await);
    assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"));
    assert_eq!(world.fresh(), (true, true));
    // An absent one is no more.
    link(&world.others, "id2", "carol").await;
    world.feed.tell(Change::Acs(id("id2"), Some(Revision::new(1)))).await;
    assert_eq!(who(&world.cached, "id2").await.as_deref(), Some("carol"));
    world.others.unlink(&id("id2"), Expect::Any).await.unwrap();
    world.feed.tell(Change::Acs(id("id2"), None)).await;
    assert_eq!(who(&world.cached, "id2").await, None);
}

#[tokio::test(start_paused = true)]
async fn news_of_a_customer_concern_the_page_and_the_ids_of_that_customer() {
    let world = World::live().await;
    world.feed.tell(Change::Customer(customer("carol"))).await;
    assert_eq!(world.fresh(), (true, true));
    assert!(world.page_is_fresh().await);
    world.others.unlink_customer(&customer("bob")).await.unwrap();
    world.feed.tell(Change::Customer(customer("bob"))).await;
    assert_eq!(world.fresh(), (false, true));
    assert!(ids_of(&world.cached, "bob").await.is_empty());
    assert_eq!(who(&world.cached, "id1").await, None);
}

#[tokio::test(start_paused = true)]
async fn news_that_anything_may_have_changed_concern_everything() {
    let world = World::live().await;
    link(&world.others, "id1", "alice").await;
    link(&world.others, "id2", "alice").await;
    world.feed.tell(Change::All).await;
    assert_eq!(world.fresh(), (false, false));
    assert_eq!((world.cached.stats().feed_live, world.cached.stats().feed_epoch), (true, 1), "it is still live");
    assert!(ids_of(&world.cached, "bob").await.is_empty());
    assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"));
    assert_eq!(who(&world.cached, "id2").await.as_deref(), Some("alice"));
    assert_eq!(world.fresh(), (true, true));
}

#[tokio::test(start_paused = true)]
async fn while_the_feed_is_lost_each_question_is_asked_and_nothing_from_before_is_fresh_again() {
    let world = World::live().await;
    world.feed.tell(LOST).await;
    assert_eq!((world.cached.stats().feed_live, world.cached.stats().feed_epoch), (false, 1));
    assert_eq!(world.fresh(), (false, false));
    // Of this write nobody is told.
    link(&world.others, "id1", "alice").await;
    link(&world.others, "id2", "alice").await;
    for _ in 0..3 {
        let loaded = world.cached.stats().loaded;
        assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"));
        assert_eq!(who(&world.cached, "id2").await.as_deref(), Some("alice"));
        assert!(ids_of(&world.cached, "bob").await.is_empty());
        assert_eq!(world.cached.stats().loaded, loaded + 2);
    }
    link(&world.others, "id1", "dave").await;
    world.feed.tell(Change::Live).await;
    assert_eq!((world.cached.stats().feed_live, world.cached.stats().feed_epoch), (true, 2));
    assert_eq!(world.fresh(), (false, false), "what was loaded in between is not fresh either");
    world.know().await;
    assert_eq!(world.fresh(), (true, true));
    assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("dave"));
    // A feed may say so without having said that it was lost.
    world.feed.tell(Change::Live).await;
    assert_eq!((world.cached.stats().feed_epoch, world.fresh()), (3, (false, false)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_meets_news_of_its_id_is_neither_kept_nor_joined() {
    for change in [
        Change::Acs(id("id1"), None),
        Change::Acs(id("id1"), Some(Revision::MAX)),
        Change::Customer(customer("bob")),
        Change::All,
        LOST,
        Change::Live,
    ] {
        let world = World::live().await;
        world.cached.purge(&id("id1"));
        let hold = world.store.hold(Call::Resolve, Point::After);
        let before = common::asking(&world.cached, "id1");
        hold.reached().await;
        link(&world.others, "id1", "alice").await;
        world.feed.tell(change.clone()).await;
        assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"), "{change:?}");
        hold.release();
        before.await.unwrap().unwrap();
        assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"), "{change:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn news_of_an_id_count_whatever_their_revision() {
    let world = World::live().await;
    let linked = world.cached.link(Link::replace(id("id1"), customer("alice"))).await.unwrap();
    // A row that was changed by hand is told with the revision that it still has.
    let [older, newer] = [-1, 1].map(|step| Revision::new(linked.revision.get().saturating_add_signed(step)));
    for revision in [older, linked.revision, newer] {
        who(&world.cached, "id1").await;
        assert!(world.fresh().0);
        world.feed.tell(Change::Acs(id("id1"), Some(revision))).await;
        assert!(!world.fresh().0);
    }
}

#[tokio::test(start_paused = true)]
async fn stale_answers_are_given_out_while_the_feed_is_lost_only_if_the_source_does_not_answer() {
    let world = World::live().await;
    world.feed.tell(LOST).await;
    sleep(10 * SECOND).await;
    let answer = world.cached.resolve(&id("id1")).await;
    assert_eq!(age(&answer), None, "the source was asked");
    sleep(10 * SECOND).await;
    world.faulty.fail_all(ErrorKind::Unavailable);
    assert_eq!(age(&world.cached.resolve(&id("id1")).await), Some(10 * SECOND));
    // An absent answer is not.
    assert!(world.cached.resolve(&id("id2")).await.is_err());
    world.feed.tell(Change::Live).await;
    assert!(age(&world.cached.resolve(&id("id1")).await).is_some(), "it is not fresh again");
    world.feed.tell(Change::Acs(id("id1"), Some(Revision::MAX))).await;
    assert!(world.cached.resolve(&id("id1")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_the_backend_has_thrown_away_is_not_given_out_as_stale_either() {
    let world = World::live().await;
    assert!(world.cached.resolve(&id("id1")).await.is_ok());
    world.feed.tell(Change::Lost(LostReason::Flushed)).await;
    world.faulty.fail_all(ErrorKind::Unavailable);
    sleep(SECOND).await;
    assert_eq!(world.cached.resolve(&id("id1")).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_ends_is_subscribed_to_again_and_nothing_is_fresh_in_between() {
    let world = World::live().await;
    world.feed.end();
    settle().await;
    assert_eq!((world.fresh(), world.cached.stats().feed_live), ((false, false), false));
    assert_eq!(world.feed.subscribers(), 0);
    sleep(SECOND).await;
    settle().await;
    world.feed.subscribed(2).await;
    world.know().await;
    assert_eq!(world.fresh(), (false, false), "it has not said that it is live");
    world.feed.tell(Change::Live).await;
    world.know().await;
    assert_eq!((world.fresh(), world.cached.stats().feed_epoch), ((true, true), 2));
}

#[tokio::test(start_paused = true)]
async fn the_subscription_ends_with_the_last_clone_of_the_cache() {
    let World { cached, feed, .. } = World::live().await;
    let last = cached.clone();
    drop(cached);
    settle().await;
    assert_eq!(feed.subscribers(), 1);
    who(&last, "id1").await;
    drop(last);
    settle().await;
    assert_eq!(feed.subscribers(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_subscription_ends_when_the_cache_is_closed() {
    let World { cached, feed, .. } = World::live().await;
    cached.close().await;
    assert_eq!((feed.subscribers(), cached.stats().feed_live), (0, false), "close waits for the follower's end");
    assert!(cached.resolve(&id("id1")).await.is_err());
    sleep(5 * SECOND).await;
    assert_eq!(feed.subscribers(), 0, "nobody subscribes to what is closed");
}

#[test]
fn when_the_runtime_that_follows_the_feed_has_ended_the_next_one_does() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let world = first.block_on(World::live());
    drop(first);
    assert_eq!((world.feed.subscribers(), world.cached.stats().feed_live), (0, false));
    assert_eq!(world.fresh(), (false, false));
    runtime().block_on(async {
        link(&world.others, "id1", "alice").await;
        assert_eq!(who(&world.cached, "id1").await.as_deref(), Some("alice"));
        world.feed.subscribed(2).await;
        world.feed.tell(Change::Live).await;
        world.know().await;
        assert_eq!((world.fresh(), world.cached.stats().feed_epoch), ((true, true), 2));
    });
}

/// A cache on the system's clock, whose feed is live, on a runtime that goes on only while it is given something to do.
fn live_on(runtime: &tokio::runtime::Runtime) -> (ReadThrough<MemoryStore>, MemoryStore, ManualFeed) {
    let (store, feed) = (MemoryStore::new(), ManualFeed::new());
    let cached = builder_for(store.second_client()).feed(feed.clone()).build();
    runtime.block_on(async {
        link(&store, "id1", "bob").await;
        who(&cached, "id1").await;
        feed.subscribed(1).await;
        feed.tell(Change::Live).await;
        who(&cached, "id1").await;
    });
    assert!(cached.stats().feed_live && cached.resolve_now(&id("id1")).is_some());
    (cached, store, feed)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Longer than it is believed that a feed is heard.
const STANDSTILL: Duration = Duration::from_secs(6);

#[test]
fn when_the_runtime_that_follows_the_feed_stands_still_another_one_does() {
    let first = runtime();
    let (cached, store, feed) = live_on(&first);
    std::thread::sleep(STANDSTILL);
    assert!(!cached.stats().feed_live && cached.resolve_now(&id("id1")).is_none());
    runtime().block_on(async {
        link(&store, "id1", "alice").await;
        assert_eq!(who(&cached, "id1").await.as_deref(), Some("alice"));
        feed.subscribed(2).await;
        // The first one is told, too, and does not hear.
        let _ = tokio::time::timeout(SECOND / 10, feed.tell(Change::Live)).await;
        who(&cached, "id1").await;
        assert!(cached.stats().feed_live && cached.resolve_now(&id("id1")).is_some());
        // If the first one goes on, it has no say any more.
        let _ = tokio::time::timeout(SECOND / 10, feed.tell(LOST)).await;
        let _ = tokio::time::timeout(SECOND / 10, feed.tell(Change::Live)).await;
        assert_eq!(cached.stats().feed_epoch, 2 + 1);
        std::thread::scope(|scope| {
            scope.spawn(|| first.block_on(async { sleep(SECOND / 10).await }));
        });
        assert_eq!((cached.stats().feed_live, cached.stats().feed_epoch, feed.subscribers()), (true, 3, 1));
    });
}

#[test]
fn when_the_runtime_that_follows_the_feed_goes_on_it_subscribes_anew() {
    let runtime = runtime();
    let (cached, _, feed) = live_on(&runtime);
    std::thread::sleep(STANDSTILL);
    runtime.block_on(async {
        sleep(SECOND / 100).await;
        assert!(cached.resolve_now(&id("id1")).is_none(), "who knows what was told meanwhile");
        feed.subscribed(2).await;
        feed.tell(Change::Live).await;
        assert!(cached.stats().feed_live && cached.resolve_now(&id("id1")).is_none());
    });
}

#[test]
fn a_runtime_that_goes_on_is_believed_however_little_the_feed_tells() {
    let runtime = runtime();
    let (cached, ..) = live_on(&runtime);
    runtime.block_on(async { sleep(STANDSTILL).await });
    assert!(cached.stats().feed_live && cached.resolve_now(&id("id1")).is_some());
}

#[test]
fn outside_of_a_runtime_nothing_is_followed_and_nothing_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let world = runtime.block_on(World::new());
    drop(runtime);
    for _ in 0..2 {
        let answer = world.cached.resolve(&id("id1")).now_or_never().expect("there is nobody to wait for");
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(world.feed.subscribers(), 0);
    assert!(world.cached.resolve_now(&id("id1")).is_none());
}

/// Says that it is live, and panics when it is asked for more: once.
#[derive(Debug)]
struct Frail(std::sync::atomic::AtomicBool);

impl ChangeFeed for Frail {
    fn changes(&self) -> BoxStream<'static, Change> {
        let breaks = self.0.swap(false, std::sync::atomic::Ordering::SeqCst);
        let live = stream::once(async { Change::Live });
        live.chain(stream::poll_fn(move |_| {
            assert!(!breaks, "as the test says");
            std::task::Poll::Pending
        }))
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_panics_is_lost_and_subscribed_to_again_after_a_pause() {
    let store = Arc::new(Counting::new(MemoryStore::new()));
    let cached = builder_for(store).feed(Frail(true.into())).build();
    who(&cached, "id1").await;
    settle().await;
    assert_eq!((cached.stats().feed_live, cached.stats().feed_epoch), (false, 1));
    // However many ask meanwhile: what panics is not to be hammered.
    sleep(SECOND / 2).await;
    who(&cached, "id1").await;
    settle().await;
    assert_eq!((cached.stats().feed_live, cached.stats().feed_epoch), (false, 1));
    sleep(SECOND).await;
    assert_eq!((cached.stats().feed_live, cached.stats().feed_epoch), (true, 2));
    who(&cached, "id1").await;
    who(&cached, "id1").await;
    assert!(cached.resolve_now(&id("id1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_feed_of_the_store_itself_tells_what_another_client_writes() {
    let others = MemoryStore::new();
    link(&others, "id1", "bob").await;
    let store = others.second_client();
    let cached = builder_for(store.clone()).feed(store).build();
    let known = async || {
        settle().await;
        let roster = cached.resolve_many(&ids(&["id1", "id2"])).await;
        let name = |n: usize| roster[n].clone().unwrap().map(|found| found.customer_id().clone());
        (name(0), name(1), ids_of(&cached, "bob").await)
    };
    let named = |name: &str| -> Option<CustomerId> { Some(customer(name)) };
    known().await;
    assert_eq!(known().await, (named("bob"), None, vec!["id1".into()]));
    link(&others, "id2", "bob").await;
    assert_eq!(known().await, (named("bob"), named("bob"), vec!["id1".into(), "id2".into()]));
    link(&others, "id1", "alice").await;
    assert_eq!(known().await, (named("alice"), named("bob"), vec!["id2".into()]));
    others.unlink_customer(&customer("bob")).await.unwrap();
    assert_eq!(known().await, (named("alice"), None, vec![]));
    let loaded = cached.stats().loaded;
    known().await;
    assert_eq!(cached.stats().loaded, loaded, "what nobody changes stays");
}

/// A feed that always has more to tell.
#[derive(Debug)]
struct Endless;

impl ChangeFeed for Endless {
    fn changes(&self) -> BoxStream<'static, Change> {
        stream::once(async { Change::Live }).chain(stream::repeat(Change::Acs(id("id2"), None))).boxed()
    }
}

#[tokio::test]
async fn a_feed_that_always_has_more_to_tell_leaves_the_thread_to_others_too() {
    let store = MemoryStore::new();
    link(&store, "id1", "bob").await;
    let cached = builder_for(store).feed(Endless).build();
    for _ in 0..3 {
        assert_eq!(who(&cached, "id1").await.as_deref(), Some("bob"));
    }
    assert!(cached.stats().feed_live);
    cached.close().await;
}
