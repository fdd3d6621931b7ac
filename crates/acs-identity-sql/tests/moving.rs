//! Moving house from each database to the next one: nothing of a mapping is lost on the way.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acs_identity_core::moving::{Checkpoint, Counts, Finding, FindingKind, Move, Stage};
use acs_identity_core::{AcsId, CustomerId, Expect, Link, Mapping, MappingStore, MappingStoreExt, Properties};
use acs_identity_servers::{Database, Kind, database};
use acs_identity_sql::{MySqlOptions, PostgresOptions, SqliteStore};
use futures::TryStreamExt;

/// Long for a machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(30);

/// A store of each sort. The databases are dropped with them.
struct Stores {
    sqlite: Arc<dyn MappingStore>,
    postgres: Arc<dyn MappingStore>,
    mysql: Arc<dyn MappingStore>,
    _databases: [Database; 2],
}

impl Stores {
    async fn open() -> Self {
        let [postgres, mysql] = [database(Kind::Postgres).await, database(Kind::MariaDb).await];
        let at_postgres = PostgresOptions::url(postgres.url()).call_deadline(DEADLINE).acquire_timeout(DEADLINE);
        let at_mysql = MySqlOptions::url(mysql.url()).call_deadline(DEADLINE).acquire_timeout(DEADLINE);
        Self {
            sqlite: sqlite().await,
            postgres: Arc::new(at_postgres.open().await.unwrap()),
            mysql: Arc::new(at_mysql.open().await.unwrap()),
            _databases: [postgres, mysql],
        }
    }
}

async fn sqlite() -> Arc<dyn MappingStore> {
    Arc::new(SqliteStore::in_memory().await.unwrap())
}

/// IDs that a careless comparison would take for one another, and plain ones; one of the greatest length.
fn ids() -> Vec<AcsId> {
    let alike = ["8:acs:r_a", "8:acs:r_A", "8:acs:r_a ", "8:acs:r_á", "8:acs:r_a\u{301}", "8:acs:r_%", "4:+1425'\"\\"];
    let longest = "x".repeat(acs_identity_core::MAX_ID_BYTES);
    let texts = alike.into_iter().map(str::to_owned).chain([longest]).chain((0..2000).map(|n| format!("8:acs:r_{n}")));
    texts.map(|text| AcsId::new(text).unwrap()).collect()
}

/// Fills a store so that its mappings have all that a mapping can have.
async fn fill(store: &dyn MappingStore) {
    let links = |when: fn(AcsId, CustomerId) -> Link, step: usize| -> Vec<Link> {
        let numbered = ids().into_iter().enumerate().step_by(step);
        let link = |(n, id): (usize, AcsId)| {
            let customer = ["bob", "Bob", "bób", "bo\u{301}b"][n % 4];
            let mut link = when(id, customer.parse().unwrap());
            if n % 3 == 0 {
                let properties = [("name", "Bøb \"'\\ \u{1f600}".to_owned()), ("n", n.to_string())];
                link = link.with_properties(Properties::new(properties).unwrap());
            }
            if n % 5 == 0 {
                link = link.expiring_in(Duration::from_secs(86_400) + Duration::from_micros(n as u64));
            }
            link
        };
        numbered.map(link).collect()
    };
    assert!(store.link_many(&links(Link::create, 1)).await.iter().all(Result::is_ok));
    // Revisions and creation times move apart.
    assert!(store.link_many(&links(Link::replace, 7)).await.iter().all(Result::is_ok));
    for id in ids().iter().step_by(100) {
        assert!(store.unlink(id, Expect::Any).await.unwrap().is_some());
    }
}

/// Everything in a store, in the order of the IDs.
async fn all(store: &dyn MappingStore) -> Vec<Mapping> {
    let mut all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    all.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
    all
}

/// Moves to the end from a checkpoint, in a new stream after each page, as after a break.
async fn finish(moving: Move<'_>, mut checkpoint: Checkpoint) -> (Counts, Vec<Finding>) {
    let mut findings = Vec::new();
    while let Some(page) = moving.run(checkpoint.clone()).try_next().await.unwrap() {
        findings.extend(page.findings);
        checkpoint = serde_json::from_str(&serde_json::to_string(&page.checkpoint).unwrap()).unwrap();
    }
    assert_eq!(checkpoint.stage(), None);
    (*checkpoint.counts(), findings)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_home_after_a_journey_through_all_databases() {
    let stores = Stores::open().await;
    let home = sqlite().await;
    fill(&*stores.sqlite).await;
    let there = all(&*stores.sqlite).await;
    assert!(there.len() > 1900);

    let journey = [&stores.sqlite, &stores.postgres, &stores.mysql, &home];
    for leg in journey.windows(2) {
        let moving = Move::new(&**leg[0], &**leg[1]).page_size(300).unwrap();
        let (counts, findings) = finish(moving, Checkpoint::default()).await;
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!((counts.copy.written, counts.copy.kept), (there.len() as u64, 0));
        assert_eq!((counts.verify.same, counts.reverse.present), (there.len() as u64, there.len() as u64));
        assert_eq!(all(&**leg[1]).await, there);
        for customer in ["bob", "Bob", "bób", "bo\u{301}b"] {
            let customer = customer.parse().unwrap();
            let [mine, theirs] = [leg[0], leg[1]].map(|store| store.all_mappings_of(&customer));
            assert_eq!(mine.await.unwrap(), theirs.await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_in_use_is_followed_until_nothing_differs() {
    let stores = Stores::open().await;
    let home = sqlite().await;
    fill(&*stores.postgres).await;
    for (from, to) in [(&stores.postgres, &stores.mysql), (&stores.mysql, &home)] {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..3_usize)
            .map(|writer| {
                let (store, stop) = (from.clone(), stop.clone());
                tokio::spawn(async move {
                    for (n, id) in ids().into_iter().enumerate().skip(writer).step_by(3).cycle() {
                        if stop.load(Ordering::Acquire) {
                            break;
                        }
                        if n % 2 == 0 {
                            store.unlink(&id, Expect::Any).await.unwrap();
                        } else {
                            store.link(Link::replace(id, CustomerId::from(n as u64))).await.unwrap();
                        }
                    }
                })
            })
            .collect();

        let moving = Move::new(&**from, &**to).page_size(100).unwrap();
        let mut copying = moving.run(Checkpoint::default());
        let mut checkpoint = Checkpoint::default();
        while checkpoint.stage() == Some(Stage::Copy) {
            checkpoint = copying.try_next().await.unwrap().unwrap().checkpoint;
        }
        // Now the application is stopped, and what it has done meanwhile is found and brought over.
        stop.store(true, Ordering::Release);
        for writer in writers {
            writer.await.unwrap();
        }
        drop(copying);
        let (_, findings) = finish(moving, checkpoint).await;
        for finding in findings {
            match finding.kind {
                FindingKind::Missing | FindingKind::Older => {}
                FindingKind::Extra => {
                    to.unlink(&finding.acs_id, Expect::Revision(finding.revision)).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        let (counts, findings) = finish(moving, Checkpoint::default()).await;
        assert_eq!((counts.differences(), counts.verify.newer, findings.len()), (0, 0, 0), "{findings:?}");
        assert_eq!(all(&**to).await, all(&**from).await);
    }
}
