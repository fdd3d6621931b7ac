//! Writers and readers that go on whatever happens, and a checker of all that they are told.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, Error, ErrorKind, Expect, Link, Mapping, MappingStore, MappingStoreExt, PageRequest, Properties,
    Resolution, Resolver, Result,
};
use acs_identity_redis::RedisStore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::history::{History, Judgement, Outcome, Seen};

/// The deadline of the stores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);
/// What a busy machine may add to it.
const MARGIN: Duration = Duration::from_millis(700);

const CUSTOMERS: usize = 12;
const WRITERS: usize = 4;
const READERS: usize = 2;
/// How many IDs there are to be written once: more than there is time for.
const ONCE: usize = 8000;
/// The name of the property with the number of the write.
const NUMBER: &str = "number";

/// Whether what was acknowledged may be lost, as Redis has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    None,
    /// At a failover: what was on its way to a replica.
    Few,
    /// Of a server that is empty.
    Any,
}

/// How many IDs of some thousand may have lost a write at a failover, or be missing in an index then.
const FEW: usize = 100;

pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    store: RedisStore,
    /// First those that are written again and again, then those that are written once, so that what is lost is not written anew.
    ids: Vec<AcsId>,
    again: usize,
    places: HashMap<AcsId, usize>,
    histories: Vec<Mutex<History>>,
    start: Instant,
    stop: AtomicBool,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    answers: AtomicU64,
    unanswered: AtomicU64,
    outdated: AtomicU64,
    slowest: AtomicU64,
}

/// What the checker has found; its `Display` is one line.
#[derive(Debug)]
pub(crate) struct Report {
    counts: String,
    /// IDs whose last acknowledged write is gone.
    pub(crate) lost: usize,
    /// When the first and the last of these had been acknowledged.
    pub(crate) lost_at: Option<(std::time::Instant, std::time::Instant)>,
    /// Answers that were older than what had been acknowledged.
    pub(crate) outdated: u64,
    /// Mappings that their customers' indexes lacked before they were made anew.
    pub(crate) unlisted: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, lost, outdated, unlisted, .. } = self;
        write!(f, "{counts}; IDs whose acknowledged write is lost: {lost}, outdated answers: {outdated}, ")?;
        write!(f, "missing in an index: {unlisted}")
    }
}

fn customer(number: usize) -> CustomerId {
    CustomerId::new(format!("customer-{number}")).unwrap()
}

fn seen(customer: &CustomerId, properties: &Properties) -> (usize, usize) {
    let number = properties.get(NUMBER).and_then(|number| number.parse().ok());
    let customer = customer.as_str().strip_prefix("customer-").and_then(|number| number.parse().ok());
    number.zip(customer).expect("what no writer has written")
}

impl Load {
    pub(crate) fn start(store: &RedisStore, mut ids: Vec<AcsId>) -> Self {
        let again = ids.len();
        ids.extend((0..ONCE).map(|n| AcsId::new(format!("8:acs:once_{n}")).unwrap()));
        let shared = Arc::new(Shared {
            store: store.clone(),
            again,
            places: ids.iter().enumerate().map(|(place, id)| (id.clone(), place)).collect(),
            histories: ids.iter().map(|_| Mutex::default()).collect(),
            ids,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let writers = (0..WRITERS).map(|writer| tokio::spawn(shared.clone().write(writer)));
        let readers = (0..READERS).map(|reader| tokio::spawn(shared.clone().read(reader)));
        let tasks = writers.chain(readers).collect();
        Self { shared, tasks }
    }

    /// Ends all calls, and checks what is there now.
    pub(crate) async fn finish(self, losses: Losses) -> Report {
        self.shared.stop.store(true, Ordering::Release);
        for task in self.tasks {
            if let Err(error) = task.await {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.shared.check(losses).await
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn history(&self, place: usize) -> std::sync::MutexGuard<'_, History> {
        self.histories[place].lock().unwrap()
    }

    /// Writes its own IDs, one after the other.
    async fn write(self: Arc<Self>, writer: usize) {
        let own: Vec<usize> = (writer..self.again).step_by(WRITERS).collect();
        let mut once = (self.again + writer..self.ids.len()).step_by(WRITERS);
        let mut round = writer;
        while self.goes_on() {
            round += 1;
            let place = own[round * 7 % own.len()];
            let place = if round % 2 == 1 { once.next().unwrap_or(place) } else { place };
            match round % 10 {
                0 => {
                    let number = self.history(place).begin(None);
                    let unlinked = self.timed(self.store.unlink(&self.ids[place], Expect::Any)).await;
                    self.written(place, number, unlinked);
                }
                6 => {
                    let places: Vec<usize> = own.iter().cycle().skip(round % own.len()).take(10).copied().collect();
                    let (numbers, links): (Vec<_>, Vec<_>) =
                        places.iter().map(|place| self.link(*place, round + place)).unzip();
                    let answers = self.timed(self.store.link_many(&links)).await;
                    for ((place, number), answer) in places.into_iter().zip(numbers).zip(answers) {
                        self.written(place, number, answer);
                    }
                }
                _ => {
                    let (number, link) = self.link(place, round);
                    let linked = self.timed(self.store.link(link)).await;
                    self.written(place, number, linked);
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn link(&self, place: usize, round: usize) -> (usize, Link) {
        let to = (round * 5 + place) % CUSTOMERS;
        let number = self.history(place).begin(Some(to));
        let properties = Properties::new([(NUMBER, number.to_string())]).unwrap();
        (number, Link::replace(self.ids[place].clone(), customer(to)).with_properties(properties))
    }

    fn written<T>(&self, place: usize, number: usize, answer: Result<T>) {
        let (outcome, count) = match answer {
            Ok(_) => (Outcome::Done, &self.counts.done),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => (Outcome::Unknown, &self.counts.unknown),
            Err(error) => {
                assert!(error.is_transient(), "a write: {error}");
                (Outcome::Failed, &self.counts.failed)
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.history(place).end(number, outcome);
    }

    async fn read(self: Arc<Self>, reader: usize) {
        let mut round = reader * 31;
        while self.goes_on() {
            round += 1;
            let known: Vec<Option<usize>> = (0..self.again).map(|place| self.history(place).acknowledged()).collect();
            match round % 6 {
                0 => {
                    let customer = customer(round / 6 % CUSTOMERS);
                    let call = self.store.mappings_of(&customer, PageRequest::default());
                    self.listed("mappings_of", self.timed(call).await.map(|page| page.items), &known);
                }
                1 => {
                    let call = self.store.scan(PageRequest::default());
                    self.listed("scan", self.timed(call).await.map(|page| page.items), &known);
                }
                2 => {
                    let answers = self.timed(self.store.resolve_many(&self.ids[..self.again])).await;
                    for (place, answer) in answers.iter().enumerate() {
                        self.resolved("resolve_many", place, answer.clone(), known[place]);
                    }
                }
                _ => {
                    let place = round * 13 % self.again;
                    let answer = self.timed(self.store.resolve(&self.ids[place])).await;
                    self.resolved("resolve", place, answer, known[place]);
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn resolved(&self, call: &str, place: usize, answer: Result<Option<Resolution>>, known: Option<usize>) {
        match answer {
            Ok(found) => {
                let found = found.map(|found| seen(found.customer_id(), found.properties()));
                self.judge(call, place, found, known);
            }
            Err(error) => self.not_answered(call, &error),
        }
    }

    fn listed(&self, call: &str, answer: Result<Vec<Mapping>>, known: &[Option<usize>]) {
        match answer {
            Ok(mappings) => {
                for mapping in mappings {
                    // Others are of those who look for the recovery.
                    let Some(place) = self.places.get(&mapping.acs_id) else { continue };
                    let known = known.get(*place).copied().flatten();
                    self.judge(call, *place, Some(seen(&mapping.customer_id, &mapping.properties)), known);
                }
            }
            Err(error) => self.not_answered(call, &error),
        }
    }

    fn judge(&self, call: &str, place: usize, seen: Seen, known: Option<usize>) {
        self.counts.answers.fetch_add(1, Ordering::Relaxed);
        if self.history(place).judge(call, seen, known) == Judgement::Outdated {
            self.counts.outdated.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn not_answered(&self, call: &str, error: &Error) {
        assert!(error.is_transient(), "{call}: {error}");
        self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// A call ends by its deadline, whatever happens; a slow machine may add to it.
    async fn timed<T>(&self, call: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let answer = timeout(DEADLINE + MARGIN, call).await.expect("a call takes longer than its deadline");
        self.counts.slowest.fetch_max(start.elapsed().as_millis() as u64, Ordering::Relaxed);
        answer
    }

    async fn check(&self, losses: Losses) -> Report {
        let mut lost = Vec::new();
        for (place, answer) in self.store.resolve_many(&self.ids).await.iter().enumerate() {
            let found = answer.as_ref().unwrap().as_ref();
            let found = found.map(|found| seen(found.customer_id(), found.properties()));
            let history = self.history(place);
            if history.judge("after all", found, history.acknowledged()) == Judgement::Outdated {
                lost.extend(history.acknowledged_at());
            }
        }
        let (mut wrong, mut unlisted) = self.disagreement().await;
        if losses != Losses::None && unlisted > 0 {
            self.store.rebuild_reverse().await.unwrap();
            (wrong, _) = self.disagreement().await;
        }
        if let Some(wrong) = wrong {
            // A write without an answer may have been on its way still.
            sleep(2 * DEADLINE).await;
            let (still, missing) = self.disagreement().await;
            assert!(still.is_none(), "forward and reverse do not agree: {wrong}, and then {still:?}");
            unlisted = if losses == Losses::None { missing } else { unlisted };
        }
        let counts = &self.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let report = Report {
            counts: format!(
                "{} s; {} writes done, {} failed, {} unknown; {} answers, {} calls without; slowest {} ms",
                self.start.elapsed().as_secs(),
                count(&counts.done),
                count(&counts.failed),
                count(&counts.unknown),
                count(&counts.answers),
                count(&counts.unanswered),
                count(&counts.slowest)
            ),
            lost: lost.len(),
            lost_at: lost.iter().min().copied().zip(lost.iter().max().copied()),
            outdated: count(&counts.outdated),
            unlisted,
        };
        assert!(count(&counts.done) > 100 && count(&counts.answers) > 100, "there was no load: {report}");
        if losses == Losses::None {
            assert_eq!((report.lost, report.outdated, report.unlisted), (0, 0, 0), "{report}");
        }
        if losses == Losses::Few {
            assert!(report.lost <= FEW && report.unlisted <= FEW, "{report}");
        }
        report
    }

    /// What the two directions tell differently of, and how many mappings are not in their customer's list.
    async fn disagreement(&self) -> (Option<String>, usize) {
        let mut listed: Vec<Vec<usize>> = vec![Vec::new(); self.ids.len()];
        for number in 0..CUSTOMERS {
            for mapping in self.store.all_mappings_of(&customer(number)).await.unwrap() {
                listed[self.places[&mapping.acs_id]].push(number);
            }
        }
        let (mut wrong, mut unlisted) = (None, 0);
        for (place, answer) in self.store.resolve_many(&self.ids).await.iter().enumerate() {
            let found = answer.as_ref().unwrap().as_ref();
            let forward: Vec<usize> =
                found.map(|found| seen(found.customer_id(), found.properties()).1).into_iter().collect();
            if forward != listed[place] {
                unlisted += usize::from(listed[place].is_empty());
                wrong = Some(format!("ID {place} is of {forward:?}, and listed by {:?}", listed[place]));
            }
        }
        (wrong, unlisted)
    }
}
