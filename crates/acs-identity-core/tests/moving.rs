//! Moving house: whatever a store holds arrives in the other one as it is, and what does not is found.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::moving::{Checkpoint, Counts, Finding, FindingKind, Move, Progress, Stage};
use acs_identity_core::{
    AcsId, Answers, Capabilities, Clock, Cursor, CustomerId, Error, ErrorKind, Expect, Imported, Link, Linked, Mapping,
    MappingStore, MappingStoreExt, MemoryStore, Page, PageRequest, Properties, Resolution, Resolver, Result, Revision,
};
use acs_identity_testkit::{Call, Counting, Faulty, Gated, ManualClock, Point};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

fn id(n: u64) -> AcsId {
    AcsId::new(format!("8:acs:r_{n}")).unwrap()
}

fn customer(n: u64) -> CustomerId {
    CustomerId::from(n)
}

/// A store with so many mappings, of three customers, with properties and expiries here and there.
async fn filled(mappings: u64) -> MemoryStore {
    let store = MemoryStore::new();
    for n in 0..mappings {
        let mut link = Link::create(id(n), customer(n % 3));
        if n % 2 == 0 {
            link = link.with_properties(Properties::new([("n", n.to_string())]).unwrap());
        }
        if n % 5 == 0 {
            link = link.expiring_in(HOUR);
        }
        store.link(link).await.unwrap();
    }
    store
}

/// Everything in a store, in the order of the IDs.
async fn all(store: &dyn MappingStore) -> Vec<Mapping> {
    let mut all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    all.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
    all
}

/// Goes from a checkpoint to the end, and says what was found on the way.
async fn finish(moving: Move<'_>, checkpoint: Checkpoint) -> (Counts, Vec<Finding>) {
    let pages: Vec<Progress> = moving.run(checkpoint.clone()).try_collect().await.unwrap();
    let last = pages.last().map_or(checkpoint, |last| last.checkpoint.clone());
    assert_eq!(last.stage(), None);
    (*last.counts(), pages.into_iter().flat_map(|page| page.findings).collect())
}

/// As another process reads what this one has written.
fn written_down(checkpoint: &Checkpoint) -> Checkpoint {
    serde_json::from_str(&serde_json::to_string(checkpoint).unwrap()).unwrap()
}

/// What was found, by the numbers of the IDs.
fn shown(findings: &[Finding]) -> Vec<(String, &'static str)> {
    let kind = |finding: &Finding| match &finding.kind {
        FindingKind::Failed(_) => "failed",
        FindingKind::Missing => "missing",
        FindingKind::Older => "older",
        FindingKind::Newer => "newer",
        FindingKind::OtherCustomer => "customer",
        FindingKind::OtherProperties => "properties",
        FindingKind::OtherExpiry => "expiry",
        FindingKind::Extra => "extra",
        _ => "something new",
    };
    let mut shown: Vec<_> =
        findings.iter().map(|finding| (finding.acs_id.as_str().replace("8:acs:r_", ""), kind(finding))).collect();
    shown.sort();
    shown
}

fn expected(findings: &[(u64, &'static str)]) -> Vec<(String, &'static str)> {
    findings.iter().map(|(n, kind)| (n.to_string(), *kind)).collect()
}

/// What happens to an ID before the move.
#[derive(Debug, Clone)]
enum Step {
    Link { id: u64, customer: u64, lifetime: Option<u64>, property: Option<String> },
    Unlink(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (id, seconds) = (0..20_u64, 0..100_u64);
    prop_oneof![
        6 => (id.clone(), 0..4_u64, prop::option::of(seconds.clone()), prop::option::of(any::<String>()))
            .prop_map(|(id, customer, lifetime, property)| Step::Link { id, customer, lifetime, property }),
        1 => id.prop_map(Step::Unlink),
        2 => seconds.prop_map(Step::Wait),
    ]
}

async fn take(store: &MemoryStore, clock: &ManualClock, step: Step) {
    match step {
        Step::Link { id: n, customer: of, lifetime, property } => {
            let mut link = Link::replace(id(n), customer(of));
            if let Some(lifetime) = lifetime {
                link = link.expiring_in(Duration::from_secs(lifetime));
            }
            if let Some(Ok(properties)) = property.map(|text| Properties::new([("p", text)])) {
                link = link.with_properties(properties);
            }
            store.link(link).await.unwrap();
        }
        Step::Unlink(n) => drop(store.unlink(&id(n), Expect::Any).await.unwrap()),
        Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
    }
}

proptest! {
    /// Whatever was done at the source, and wherever the move is broken off and gone on with.
    #[test]
    fn the_copy_is_the_source(
        steps in prop::collection::vec(step(), 0..60),
        page_size in 1..8_u32,
        interrupted in prop::collection::vec(0..12_usize, 0..4),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let clock = ManualClock::new();
            let [from, to] = [(); 2].map(|()| MemoryStore::with_clock(Arc::new(clock.clone())));
            for step in steps {
                take(&from, &clock, step).await;
            }
            let moving = Move::new(&from, &to).page_size(page_size).unwrap();
            let mut checkpoint = Checkpoint::default();
            for pages in interrupted {
                let mut progress = moving.run(checkpoint.clone()).take(pages);
                while let Some(page) = progress.try_next().await.unwrap() {
                    prop_assert!(page.findings.is_empty());
                    checkpoint = written_down(&page.checkpoint);
                }
            }
            let (counts, findings) = finish(moving, checkpoint).await;
            prop_assert!(findings.is_empty());

            let there = all(&from).await;
            prop_assert_eq!(&all(&to).await, &there);
            for n in 0..4 {
                let of = customer(n);
                prop_assert_eq!(to.all_mappings_of(&of).await.unwrap(), from.all_mappings_of(&of).await.unwrap());
            }
            let mut expected = Counts::default();
            expected.copy.written = there.len() as u64;
            expected.verify.same = there.len() as u64;
            expected.reverse.present = there.len() as u64;
            prop_assert_eq!(counts, expected);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn each_page_is_one_read_and_one_write_or_lookup() {
    let (from, to) = (Counting::new(filled(10).await), Counting::new(MemoryStore::new()));
    let moving = Move::new(&from, &to).page_size(4).unwrap();
    let stages: Vec<Stage> = moving.run(Checkpoint::default()).map_ok(|page| page.stage).try_collect().await.unwrap();
    assert_eq!(stages, [[Stage::Copy; 3], [Stage::Verify; 3], [Stage::Reverse; 3]].concat());
    assert_eq!((from.calls(Call::Scan), from.calls(Call::ResolveMany), from.total()), (6, 3, 9));
    assert_eq!((to.calls(Call::Import), to.calls(Call::ResolveMany), to.calls(Call::Scan), to.total()), (3, 3, 3, 9));
}

#[tokio::test]
async fn nothing_is_done_before_the_stream_is_asked() {
    let (from, to) = (Counting::new(filled(10).await), Counting::new(MemoryStore::new()));
    drop(Move::new(&from, &to).run(Checkpoint::default()));
    assert_eq!((from.total(), to.total()), (0, 0));
}

#[tokio::test]
async fn a_page_has_one_to_a_thousand_mappings() {
    let store = MemoryStore::new();
    for wrong in [0, 1001] {
        assert_eq!(Move::new(&store, &store).page_size(wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(Move::new(&store, &store).page_size(1000).is_ok());
}

#[tokio::test]
async fn after_a_fault_at_any_page_of_either_store_the_checkpoint_goes_on() {
    let source = filled(10).await;
    for kind in [ErrorKind::Unavailable, ErrorKind::OutcomeUnknown, ErrorKind::Denied] {
        for (pages, at_source) in (0..12).flat_map(|pages| [(pages, true), (pages, false)]) {
            let (from, to) = (Faulty::new(source.clone()), Faulty::new(MemoryStore::new()));
            let moving = Move::new(&from, &to).page_size(3).unwrap();
            let mut checkpoint = Checkpoint::default();
            let mut progress = moving.run(checkpoint.clone());
            for _ in 0..pages {
                checkpoint = progress.try_next().await.unwrap().unwrap().checkpoint;
            }
            match (at_source, kind) {
                (true, _) => from.fail_next(1, kind),
                (false, ErrorKind::OutcomeUnknown) => to.lose_answers(1),
                (false, _) => to.fail_next(1, kind),
            }
            let mut told = 0;
            let failed = loop {
                match progress.try_next().await {
                    Ok(Some(page)) => (checkpoint, told) = (written_down(&page.checkpoint), told + 1),
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
            };
            assert!(failed.is_none_or(|failed| failed == kind), "{failed:?}");
            // The last page of the target had been read, and answers are lost of writes alone.
            let unused = !at_source && (pages == 11 || kind == ErrorKind::OutcomeUnknown && pages >= 4);
            assert_eq!(failed.is_none(), unused, "{kind:?} after {pages} pages");
            if at_source && (1..4).contains(&pages) {
                assert_eq!(told, 1, "the page before the one that could not be read is done, and told");
            }
            assert!(progress.next().await.is_none(), "an error ends the stream");
            from.heal();
            to.heal();
            let (counts, findings) = finish(moving, checkpoint).await;
            assert!(findings.is_empty(), "{findings:?}");
            assert_eq!(
                (counts.copy.written + counts.copy.kept, counts.verify.same, counts.reverse.present),
                (10, 10, 10)
            );
            assert_eq!(all(&to).await, all(&source).await);
        }
    }
}

#[tokio::test]
async fn a_move_that_is_dropped_in_the_middle_of_a_call_can_be_gone_on_with() {
    let from = filled(10).await;
    for (call, point) in [
        (Call::Import, Point::Before),
        (Call::Import, Point::After),
        (Call::ResolveMany, Point::Before),
        (Call::Scan, Point::After),
    ] {
        let to = Gated::new(MemoryStore::new());
        let moving = Move::new(&from, &to).page_size(4).unwrap();
        let mut checkpoint = Checkpoint::default();
        let hold = to.hold(call, point);
        let mut progress = moving.run(checkpoint.clone());
        let page = async {
            while let Some(page) = progress.try_next().await.unwrap() {
                checkpoint = page.checkpoint;
            }
        };
        tokio::select! {
            () = page => panic!("it was to be held"),
            () = hold.reached() => {}
        }
        drop(progress);
        hold.release();
        let (counts, findings) = finish(moving, checkpoint).await;
        assert_eq!((counts.copy.written + counts.copy.kept, counts.differences(), findings.len()), (10, 0, 0));
        assert_eq!(all(&to).await, all(&from).await);
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_listing_is_refused_before_anything_is_written() {
    let (from, to) = (filled(10).await, Counting::new(MemoryStore::new()));
    let listing = from.mappings_of(&customer(1), PageRequest::first(1).unwrap()).await.unwrap();
    let cursor = serde_json::to_value(listing.next.unwrap()).unwrap();
    for cursor in [cursor, "nonsense".into()] {
        let text = serde_json::json!({ "stage": "copy", "next": cursor, "counts": {} }).to_string();
        let mut progress = Move::new(&from, &to).run(serde_json::from_str(&text).unwrap());
        let error = progress.try_next().await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, Some("scan")));
        assert_eq!(to.total(), 0);
    }
}

#[tokio::test]
async fn a_finished_move_has_nothing_left_to_do() {
    let (from, to) = (filled(10).await, MemoryStore::new());
    let moving = Move::new(&from, &to);
    let pages: Vec<Progress> = moving.run(Checkpoint::default()).try_collect().await.unwrap();
    assert_eq!(pages.len(), 3);
    assert!(moving.run(written_down(&pages[2].checkpoint)).next().await.is_none());
    // Once more from the beginning: everything is there.
    let (counts, findings) = finish(moving, Checkpoint::default()).await;
    assert_eq!((counts.copy.written, counts.copy.kept, findings.len()), (0, 10, 0));
}

#[tokio::test]
async fn what_the_source_does_during_the_copy_is_found_and_repaired() {
    let (from, to) = (filled(10).await, MemoryStore::new());
    let moving = Move::new(&from, &to).page_size(10).unwrap();
    let mut progress = moving.run(Checkpoint::default());
    let copied = progress.try_next().await.unwrap().unwrap();
    assert_eq!((copied.stage, copied.checkpoint.stage()), (Stage::Copy, Some(Stage::Copy)), "an empty page follows");
    from.link(Link::replace(id(1), customer(7))).await.unwrap();
    from.link(Link::create(id(10), customer(7))).await.unwrap();
    from.unlink(&id(2), Expect::Any).await.unwrap();
    from.unlink(&id(3), Expect::Any).await.unwrap();
    from.link(Link::create(id(3), customer(0))).await.unwrap();
    // As if the rest of the copy had missed them: what the source says of a page that is copied already.
    let verify = Checkpoint::at(Stage::Verify);
    let (counts, findings) = finish(moving, verify).await;
    assert_eq!(shown(&findings), expected(&[(1, "older"), (10, "missing"), (2, "extra"), (3, "older")]));
    assert_eq!((counts.verify.same, counts.verify.older, counts.verify.missing), (7, 2, 1));
    assert_eq!((counts.reverse.present, counts.reverse.extra, counts.differences()), (9, 1, 4));

    for extra in findings.iter().filter(|finding| matches!(finding.kind, FindingKind::Extra)) {
        to.unlink(&extra.acs_id, Expect::Revision(extra.revision)).await.unwrap();
    }
    let (counts, findings) = finish(moving, Checkpoint::default()).await;
    assert_eq!((counts.copy.written, counts.copy.kept, findings.len()), (3, 7, 0));
    assert_eq!(all(&to).await, all(&from).await);
}

#[tokio::test]
async fn what_the_target_has_newer_is_kept_and_told_and_no_difference() {
    let (from, to) = (filled(3).await, MemoryStore::new());
    let (moving, newer) = (Move::new(&from, &to), customer(9));
    finish(moving, Checkpoint::default()).await;
    let revision = to.link(Link::replace(id(1), newer.clone())).await.unwrap().revision;
    let (counts, findings) = finish(moving, Checkpoint::default()).await;
    assert_eq!(shown(&findings), expected(&[(1, "newer")]));
    assert!(findings[0].revision < revision);
    assert_eq!((counts.copy.kept, counts.verify.newer, counts.differences()), (3, 1, 0));
    assert_eq!(to.resolve(&id(1)).await.unwrap().unwrap().customer_id(), &newer);
}

#[tokio::test]
async fn verification_finds_each_kind_of_difference() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let now = acs_identity_core::SystemClock.now();
    let mapping = |n: u64| {
        let mut mapping = Mapping::new(id(n), customer(n), Revision::new(1000), now);
        mapping.expires_at = Some(now.saturating_add(HOUR));
        mapping
    };
    let there: Vec<Mapping> = (0..7).map(mapping).collect();
    let mut here: Vec<Mapping> = (0..8).filter(|n| *n != 1).map(mapping).collect();
    for mapping in &mut here {
        match mapping.acs_id.as_str() {
            "8:acs:r_2" => mapping.customer_id = customer(99),
            "8:acs:r_3" => mapping.revision = Revision::new(999),
            "8:acs:r_4" => mapping.properties = Properties::new([("a", "b")]).unwrap(),
            "8:acs:r_5" => mapping.expires_at = Some(now.saturating_add(HOUR + HOUR)),
            "8:acs:r_6" => mapping.revision = Revision::new(1001),
            _ => {}
        }
    }
    for (store, mappings) in [(&from, there), (&to, here)] {
        assert!(store.import(&mappings).await.iter().all(|answer| matches!(answer, Ok(Imported::Written))));
    }
    let (counts, findings) = finish(Move::new(&from, &to), Checkpoint::at(Stage::Verify)).await;
    assert_eq!(
        shown(&findings),
        expected(&[
            (1, "missing"),
            (2, "customer"),
            (3, "older"),
            (4, "properties"),
            (5, "expiry"),
            (6, "newer"),
            (7, "extra")
        ])
    );
    assert_eq!(counts.differences(), 6);
    let verify = counts.verify;
    assert_eq!([verify.same, verify.missing, verify.customer, verify.older], [1; 4]);
    assert_eq!([verify.properties, verify.expiry, verify.newer, counts.reverse.extra], [1; 4]);
    let text = format!("{findings:?}");
    assert!(!text.contains("8:acs"), "{text}");

    // A tolerance of more than the hour by which they are apart.
    let tolerant = Move::new(&from, &to).expiry_tolerance(HOUR * 3);
    assert_eq!(finish(tolerant, Checkpoint::at(Stage::Verify)).await.0.verify.expiry, 0);
}

#[tokio::test]
async fn what_has_expired_is_counted_and_not_missed() {
    let clocks = [ManualClock::new(), ManualClock::new()];
    let [from, to] = clocks.clone().map(|clock| MemoryStore::with_clock(Arc::new(clock)));
    for (n, seconds) in [(0, 10), (1, 30), (2, 300)] {
        from.link(Link::create(id(n), customer(n)).expiring_in(Duration::from_secs(seconds))).await.unwrap();
    }
    // By the source's clock the first is over; by the target's, which is half a minute ahead, the second one, too.
    clocks[0].advance(Duration::from_secs(10));
    clocks[1].advance(Duration::from_secs(40));
    let (counts, findings) = finish(Move::new(&from, &to), Checkpoint::default()).await;
    assert_eq!((counts.copy.written, counts.copy.expired), (1, 1));
    assert_eq!((counts.verify.same, counts.verify.expired, findings.len()), (1, 1, 0));

    // The clocks are further apart than they may be: the mapping lasts for a shorter time than it should.
    let strict = Move::new(&from, &to).expiry_tolerance(Duration::from_secs(19));
    let (_, findings) = finish(strict, Checkpoint::at(Stage::Verify)).await;
    assert_eq!(shown(&findings), expected(&[(1, "missing"), (2, "expiry")]));

    // And the other way round: gone at the source, and at the target there for another 50 seconds.
    clocks[0].advance(Duration::from_secs(290));
    clocks[1].advance(Duration::from_secs(210));
    let (counts, findings) = finish(Move::new(&from, &to), Checkpoint::at(Stage::Verify)).await;
    assert_eq!((counts.reverse.expired, findings.len()), (1, 0));
    let strict = Move::new(&from, &to).expiry_tolerance(Duration::from_secs(49));
    assert_eq!(shown(&finish(strict, Checkpoint::at(Stage::Verify)).await.1), expected(&[(2, "extra")]));
}

#[tokio::test]
async fn what_one_mapping_fails_for_by_itself_is_told_and_the_others_go_on() {
    let (from, to) = (filled(10).await, Faulty::new(MemoryStore::new()));
    to.fail_next(1, ErrorKind::Corrupt);
    let moving = Move::new(&from, &to).page_size(4).unwrap();
    let (counts, findings) = finish(moving, Checkpoint::default()).await;
    assert_eq!((counts.copy.failed, counts.copy.written), (4, 6));
    assert_eq!((counts.verify.missing, counts.differences(), findings.len()), (4, 4, 8));
    assert!(matches!(&findings[0].kind, FindingKind::Failed(error) if error.kind() == ErrorKind::Corrupt));

    for (stage, store) in [(Stage::Verify, &to), (Stage::Reverse, &to)] {
        let from = Faulty::new(from.clone());
        let asked = if stage == Stage::Verify { store } else { &from };
        asked.fail_next(1, ErrorKind::Corrupt);
        // The store that is asked is not the one that is walked.
        let moving = Move::new(&from, store);
        let first = moving.run(Checkpoint::at(stage)).try_next().await.unwrap().unwrap();
        let counts = first.checkpoint.counts();
        assert_eq!(counts.verify.failed + counts.reverse.failed, first.findings.len() as u64);
        assert_eq!(counts.differences(), first.findings.len() as u64);
        assert!(!first.findings.is_empty());
    }
}

/// A store that lists everything twice, an older revision among it, or loses answers.
#[derive(Debug)]
struct Odd {
    inner: MemoryStore,
    loses_answers: bool,
}

#[async_trait]
impl Resolver for Odd {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        self.inner.resolve(id).await
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        self.inner.resolve_many(&ids[usize::from(self.loses_answers)..]).await
    }
}

#[async_trait]
impl MappingStore for Odd {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        self.inner.link(link).await
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        self.inner.link_many(links).await
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        self.inner.import(&mappings[usize::from(self.loses_answers)..]).await
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        self.inner.unlink(id, expect).await
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        self.inner.unlink_customer(customer).await
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        self.inner.mappings_of(customer, page).await
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        if page.cursor().is_none() {
            return Ok(Page::new(Vec::new(), Some(Cursor::new("all")), self.inner.scan(page).await?.read_at));
        }
        let mut found = self.inner.scan(PageRequest::default()).await?;
        let mut older = found.items.clone();
        older.iter_mut().for_each(|mapping| mapping.revision = Revision::new(mapping.revision.get() - 1));
        older.append(&mut found.items);
        Ok(Page::new(older, None, found.read_at))
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        self.inner.purge_expired(limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test]
async fn what_a_scan_lists_twice_is_moved_once_and_an_empty_page_is_not_the_end() {
    let from = Odd { inner: filled(5).await, loses_answers: false };
    let to = MemoryStore::new();
    let (counts, findings) = finish(Move::new(&from, &to), Checkpoint::default()).await;
    assert_eq!((counts.copy.written, counts.verify.same, counts.reverse.present, findings.len()), (5, 5, 5, 0));
    assert_eq!(all(&to).await, all(&from.inner).await);
}

#[tokio::test]
async fn a_store_that_loses_answers_ends_the_move() {
    let from = filled(5).await;
    let to = Odd { inner: MemoryStore::new(), loses_answers: true };
    for stage in [Stage::Copy, Stage::Verify] {
        let error: Error = Move::new(&from, &to).run(Checkpoint::at(stage)).try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(error.message(), "the store gave 4 answers for 5 mappings");
    }
}
