//! What operators see: spans, events, metrics and debug output; and that nobody can be known by any of it.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_cache::ReadThrough;
use acs_identity_core::{
    Change, ChangeFeed, CustomerId, ErrorKind, Expect, Link, LostReason, Mapping, MappingStore, MemoryStore,
    PageRequest, Properties, Resolver, Revision, Timestamp,
};
use acs_identity_testkit::{Call, Faulty, Gated, ManualFeed, Point};
use common::{RuntimeClock, Source, customer, id, ids, ids_of, link, on_runtime_clock, settle, who};
use futures::stream::BoxStream;
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Metadata, Subscriber};

const SECOND: Duration = Duration::from_secs(1);

/// Writes everything down: a line for each span, with its parent, and for each event.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    /// The spans that this thread is in.
    inside: Vec<Id>,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {}={value}", field.name()).unwrap();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Recorder {
    /// Everything that this thread does is written down as long as the guard is there.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let recorder = Self::default();
        let guard = tracing::subscriber::set_default(recorder.clone());
        (recorder, guard)
    }

    /// The lines until now, which are then forgotten; each says where it is from.
    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut written = self.0.lock().unwrap();
        let parent = if span.is_contextual() { written.inside.last().cloned() } else { span.parent().cloned() };
        let metadata = span.metadata();
        let mut line = format!("{} {}", metadata.target(), metadata.name());
        if parent.is_some() {
            line.push_str(" (inside)");
        }
        span.record(&mut Fields(&mut line));
        written.lines.push(line);
        Id::from_u64(written.lines.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut written = self.0.lock().unwrap();
        // Of a span from before the lines were read, nothing is left.
        if let Some(line) = written.lines.get_mut(span.into_u64() as usize - 1) {
            values.record(&mut Fields(line));
        }
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} {}", event.metadata().target(), event.metadata().level());
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().lines.push(line);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().inside.push(span.clone());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().inside.pop();
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_of_the_source_is_a_span_and_a_hit_is_none() {
    let source = Arc::new(Source::open());
    let cached = on_runtime_clock(&source).build();
    let (recorder, _guard) = Recorder::start();
    let request = tracing::info_span!(target: "test", "request");
    // Who started it is only the first of those whom it serves.
    who(&cached, "id1").instrument(request).await;
    assert_eq!(recorder.lines(), ["test request", "acs_identity_cache load direction=by_id asked=1 outcome=ok"]);
    who(&cached, "id1").await;
    cached.resolve_many(&ids(&["id1", "id1"])).await;
    assert!(cached.resolve_now(&id("id1")).is_some());
    assert!(recorder.lines().is_empty());
    cached.resolve_many(&ids(&["id1", "id2", "unknown", "shard"])).await;
    assert_eq!(recorder.lines(), ["acs_identity_cache load direction=by_id asked=3 outcome=Unavailable"]);
    cached.resolve_many(&ids(&["id3", "panic"])).await;
    assert_eq!(
        recorder.lines(),
        [
            "acs_identity_cache load direction=by_id asked=2 outcome=Internal",
            "acs_identity_cache load direction=by_id asked=1 outcome=ok",
            "acs_identity_cache load direction=by_id asked=1 outcome=Internal",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_write_is_a_span_of_who_makes_it_and_each_page_that_is_loaded_is_one() {
    let store = Arc::new(Faulty::new(MemoryStore::new()));
    let cached = ReadThrough::new(store.clone());
    let (recorder, _guard) = Recorder::start();
    let create = || Link::create(id("id1"), customer("bob"));
    let request = tracing::info_span!(target: "test", "request");
    cached.link(create()).instrument(request).await.unwrap();
    cached.link(Link::create(id("id1"), customer("alice"))).await.unwrap_err();
    assert!(cached.link_many(&[create(), Link::create(id("id2"), customer("bob"))]).await[1].is_ok());
    let mapping = Mapping::new(id("id3"), customer("bob"), Revision::new(7), Timestamp::from_micros(1));
    cached.import(&[mapping]).await.remove(0).unwrap();
    store.lose_answers(1);
    cached.unlink(&id("id2"), Expect::Any).await.unwrap_err();
    cached.unlink_customer(&customer("bob")).await.unwrap();
    for _ in 0..2 {
        ids_of(&cached, "bob").await;
    }
    store.fail_all(ErrorKind::Denied);
    cached.mappings_of(&customer("alice"), PageRequest::default()).await.unwrap_err();
    assert_eq!(
        recorder.lines(),
        [
            "test request",
            "acs_identity_cache write (inside) operation=link items=1 outcome=ok",
            "acs_identity_cache write operation=link items=1 outcome=Conflict",
            "acs_identity_cache write operation=link_many items=2 outcome=ok",
            "acs_identity_cache write operation=import items=1 outcome=ok",
            "acs_identity_cache write operation=unlink items=1 outcome=OutcomeUnknown",
            "acs_identity_cache write operation=unlink_customer items=1 outcome=ok",
            "acs_identity_cache load direction=by_customer asked=1 outcome=ok",
            "acs_identity_cache load direction=by_customer asked=1 outcome=Denied",
        ]
    );
}

/// The events among the lines.
fn events(recorder: &Recorder) -> Vec<String> {
    let mut lines = recorder.lines();
    lines.retain(|line| !line.starts_with("acs_identity_cache load"));
    lines
}

#[tokio::test(start_paused = true)]
async fn the_breaker_and_the_feed_say_when_they_turn() {
    let source = Arc::new(Source::open());
    let feed = ManualFeed::new();
    let cached = on_runtime_clock(&source).feed(feed.clone()).build();
    let (recorder, _guard) = Recorder::start();
    who(&cached, "id1").await;
    feed.subscribed(1).await;
    feed.tell(Change::Live).await;
    assert_eq!(
        events(&recorder),
        ["acs_identity_cache INFO message=the change feed is live: answers are kept epoch=1"]
    );
    feed.tell(Change::Acs(id("id1"), None)).await;
    feed.tell(Change::Customer(customer("id1"))).await;
    feed.tell(Change::All).await;
    assert!(events(&recorder).is_empty(), "what is told is no event");
    feed.tell(Change::Lost(LostReason::Lagged)).await;
    feed.end();
    settle().await;
    assert_eq!(
        events(&recorder),
        [
            "acs_identity_cache WARN message=the change feed is lost: no answer that is kept is fresh reason=Lagged",
            "acs_identity_cache WARN message=the change feed has ended: no answer that is kept is fresh",
        ]
    );
    source.fail(ErrorKind::Unavailable);
    sleep(SECOND).await;
    for n in 0..7 {
        cached.resolve(&id(&format!("id{n}"))).await.unwrap_err();
    }
    let opened = "acs_identity_cache WARN message=the source keeps failing, and is asked only now and then failures=5";
    assert_eq!(events(&recorder), [opened]);
    source.heal();
    sleep(2 * SECOND).await;
    who(&cached, "id1").await;
    who(&cached, "id2").await;
    assert_eq!(events(&recorder), ["acs_identity_cache INFO message=the source works again"]);
    drop(cached);
    settle().await;
    assert!(events(&recorder).is_empty(), "the end of a cache is no loss");
}

/// Panics as soon as it is subscribed to.
#[derive(Debug)]
struct Broken;

impl ChangeFeed for Broken {
    fn changes(&self) -> BoxStream<'static, Change> {
        panic!("as the test says")
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_panics_is_told_as_that() {
    let (recorder, _guard) = Recorder::start();
    let cached = ReadThrough::builder(MemoryStore::new()).feed(Broken).build();
    who(&cached, "id1").await;
    settle().await;
    assert_eq!(
        events(&recorder),
        ["acs_identity_cache WARN message=the change feed has panicked: no answer that is kept is fresh"]
    );
}

#[test]
fn the_tasks_that_are_lost_with_a_runtime_are_told() {
    let (recorder, _guard) = Recorder::start();
    let store = Arc::new(Gated::new(MemoryStore::new()));
    let cached = ReadThrough::builder(store.clone()).feed(ManualFeed::new()).build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let holds = [Call::Resolve, Call::Link].map(|call| store.hold(call, Point::Before));
    runtime.block_on(async {
        common::asking(&cached, "id1");
        let writing = cached.clone();
        tokio::spawn(async move { link(&writing, "id2", "bob").await });
        for hold in &holds {
            hold.reached().await;
        }
    });
    drop(runtime);
    let mut lost = events(&recorder);
    lost.retain(|line| line.contains("WARN"));
    lost.sort();
    assert_eq!(
        lost,
        ["follow", "load", "write"].map(|task| format!(
            "acs_identity_cache WARN message=a task was lost: its runtime has ended, or there was none task={task}"
        ))
    );
}

/// What nobody is to read anywhere.
const ACS_ID: &str = "8:acs:secret-resource_secret-user";
const PHONE: &str = "4:+14255550123";
const CUSTOMER: &str = "secret.person@contoso.com";
const PROPERTY: &str = "secret-property";

fn assert_private(text: &str) {
    for part in ["secret", "contoso", "4255550", "person"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_can_be_known_by_what_is_told() {
    let (recorder, _guard) = Recorder::start();
    let clock = Arc::new(RuntimeClock::new());
    let store = Arc::new(Faulty::new(MemoryStore::with_clock(clock.clone())));
    let feed = ManualFeed::new();
    let builder = ReadThrough::builder(store.clone()).clock(clock).feed(feed.clone());
    let builder = builder.stale_if_error(10 * SECOND).refresh_ahead(0.5);
    assert_private(&format!("{builder:?}"));
    let cached = builder.build();
    let properties = || Properties::new([("department", PROPERTY)]).unwrap();
    let bob = || customer(CUSTOMER);
    let both = ids(&[ACS_ID, PHONE]);
    let mut said = String::new();
    for broken in [None, Some(ErrorKind::Unavailable), Some(ErrorKind::Corrupt), None] {
        match broken {
            Some(kind) => store.fail_all(kind),
            None => store.heal(),
        }
        sleep(400 * SECOND).await;
        let link = || Link::replace(id(ACS_ID), bob()).with_properties(properties());
        writeln!(said, "{:?}", cached.link(link()).await).unwrap();
        writeln!(said, "{:?}", cached.link(Link::create(id(ACS_ID), customer("other"))).await).unwrap();
        writeln!(said, "{:?}", cached.link_many(&[link(), Link::replace(id(PHONE), bob())]).await).unwrap();
        for change in [Change::Live, Change::Acs(id(ACS_ID), None), Change::Customer(bob())] {
            feed.tell(change).await;
            for _ in 0..2 {
                writeln!(said, "{:?}", cached.resolve(&both[0]).await).unwrap();
                writeln!(said, "{:?}", cached.resolve_many(&both).await).unwrap();
                writeln!(said, "{:?}", cached.mappings_of(&bob(), PageRequest::default()).await).unwrap();
            }
        }
        feed.tell(Change::Lost(LostReason::Disconnected)).await;
        store.lose_answers(1);
        writeln!(said, "{:?}", cached.unlink(&both[1], Expect::Customer(bob())).await).unwrap();
        writeln!(said, "{:?}", cached.unlink_customer(&bob()).await).unwrap();
        writeln!(said, "{cached:?} {:?} {:?}", cached.stats(), cached.customer_stats()).unwrap();
    }
    // A source that quotes what it was asked when it panics.
    let quoting = AtomicBool::new(true);
    let panicking = ReadThrough::new(acs_identity_core::resolver_fn(move |id: acs_identity_core::AcsId| {
        assert!(!quoting.load(Ordering::SeqCst), "{}", id.as_str());
        async { Ok(None::<CustomerId>) }
    }));
    writeln!(said, "{:?}", panicking.resolve_many(&both).await).unwrap();
    feed.end();
    settle().await;
    cached.close().await;
    writeln!(said, "{:?}", cached.resolve(&both[0]).await).unwrap();
    let lines = recorder.lines();
    for operation in ["load", "write", "INFO", "WARN"] {
        assert!(lines.iter().any(|line| line.contains(operation)), "{operation}");
    }
    said.lines().chain(lines.iter().map(String::as_str)).for_each(assert_private);
}

#[cfg(feature = "metrics")]
mod metrics_are_published {
    use std::collections::BTreeMap;

    use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Recorder, SharedString, Unit};

    use super::*;

    /// What each metric, with its labels, was last set to.
    #[derive(Debug, Clone, Default)]
    struct Published(Arc<Mutex<BTreeMap<String, f64>>>);

    #[derive(Debug)]
    struct One(Published, String);

    impl One {
        fn put(&self, value: f64) {
            self.0.0.lock().unwrap().insert(self.1.clone(), value);
        }
    }

    impl CounterFn for One {
        fn increment(&self, _: u64) {
            panic!("a counter is set to what it is");
        }

        fn absolute(&self, value: u64) {
            self.put(value as f64);
        }
    }

    impl GaugeFn for One {
        fn increment(&self, _: f64) {
            panic!("a gauge is set to what it is");
        }

        fn decrement(&self, _: f64) {
            panic!("a gauge is set to what it is");
        }

        fn set(&self, value: f64) {
            self.put(value);
        }
    }

    impl Published {
        fn one(&self, key: &Key) -> Arc<One> {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name = key.name().strip_prefix("acs_identity_cache_").expect("the prefix");
            Arc::new(One(
                self.clone(),
                [name].into_iter().chain(labels.iter().map(String::as_str)).collect::<Vec<_>>().join(" "),
            ))
        }
    }

    impl Recorder for Published {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &metrics::Metadata<'_>) -> Counter {
            Counter::from_arc(self.one(key))
        }

        fn register_gauge(&self, key: &Key, _: &metrics::Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.one(key))
        }

        fn register_histogram(&self, _: &Key, _: &metrics::Metadata<'_>) -> Histogram {
            panic!("there is none")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_the_stats_are_and_only_when_asked_to() {
        let published = Published::default();
        let feed = ManualFeed::new();
        let store = Arc::new(Faulty::new(MemoryStore::new()));
        let builder = ReadThrough::builder(store.clone()).clock(Arc::new(RuntimeClock::new()));
        let cached = builder.feed(feed.clone()).capacity(1).build();
        let _guard = metrics::set_default_local_recorder(&published);
        link(&cached, ACS_ID, CUSTOMER).await;
        who(&cached, ACS_ID).await;
        feed.subscribed(1).await;
        feed.tell(Change::Live).await;
        for _ in 0..3 {
            who(&cached, ACS_ID).await;
            who(&cached, "unknown").await;
            ids_of(&cached, CUSTOMER).await;
        }
        cached.resolve_many(&ids(&["a", "b", "c"])).await;
        store.fail_all(ErrorKind::Unavailable);
        sleep(SECOND).await;
        for n in 0..6 {
            cached.resolve(&id(&format!("id{n}"))).await.unwrap_err();
        }
        assert!(published.0.lock().unwrap().is_empty());
        cached.publish_metrics();
        let stats = [("by_id", cached.stats()), ("by_customer", cached.customer_stats())];
        let mut expected = BTreeMap::new();
        for (direction, stats) in stats {
            for (name, value) in [
                ("hits", stats.hits),
                ("negative_hits", stats.negative_hits),
                ("misses", stats.misses),
                ("joined", stats.joined),
                ("loaded", stats.loaded),
                ("failed", stats.failed),
                ("refused_as_stale", stats.refused_as_stale),
                ("evicted", stats.evicted),
                ("served_stale", stats.served_stale),
                ("refreshed", stats.refreshed),
                ("refused", stats.refused),
            ] {
                expected.insert(format!("{name}_total direction={direction}"), value as f64);
            }
        }
        for (name, value) in [
            ("batches_total", 9.0),
            ("batched_total", 11.0),
            ("largest_batch", 3.0),
            ("feed_epoch", 1.0),
            ("feed_live", 1.0),
            ("breaker_open", 1.0),
        ] {
            expected.insert(name.to_owned(), value);
        }
        assert_eq!(*published.0.lock().unwrap(), expected);
        assert_eq!(expected["hits_total direction=by_id"], 2.0);
        assert_eq!(expected["hits_total direction=by_customer"], 2.0);
        assert_eq!(expected["negative_hits_total direction=by_id"], 2.0);
        assert_eq!(expected["refused_total direction=by_id"], 1.0);
        assert_private(&format!("{published:?}"));
    }
}
