//! Writes: each is decided by a script on what is there of its ACS ID.
//!
//! Where all keys are on one server, the script keeps the indexes, too. In a cluster they are on other nodes, and a write has four
//! steps, each atomic on its node:
//!
//! 1. In the new customer's index, an entry and the intent to need it; in the index by expiry an entry, if there is an expiry.
//! 2. The record. It refuses an intent that is older than half a minute.
//! 3. The former customer's entry is dropped, unless it is a newer one, or somebody intends to need it.
//! 4. The intent is taken back; if the record did not become the customer's, with the entry. Where two writers have had the same
//!    intent at a time, it stays until it is old.
//!
//! A client that dies between two steps leaves an entry or an intent too many, never one too few.

use acs_identity_core::rules::{self, LinkPlan, Present};
use acs_identity_core::{AcsId, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, Result, Timestamp, When};
use redis::{Cmd, Value};
use tokio::time::Instant;

use crate::answer;
use crate::clocks::Clocks;
use crate::error::Failure;
use crate::keys::slot;
use crate::member;
use crate::nodes::{Ask, Sort};
use crate::record;
use crate::script::WRITE;
use crate::step::{Step, steps};
use crate::store::RedisStore;

/// The most items of one script, so that no other client waits long for its turn.
const CHUNK: usize = 100;

/// How old an intent may be when the record is written, in microseconds.
const PATIENCE: u64 = 30_000_000;

/// How an item is told to the script; see there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) what: &'static str,
    pub(crate) condition: String,
    /// For which customer the record is written, or expected to be.
    pub(crate) customer: Option<CustomerId>,
    pub(crate) properties: String,
    pub(crate) expiry: String,
    pub(crate) revision: String,
    pub(crate) created: String,
}

impl Told {
    /// As arguments of the script. Where the customer's index is among its keys, that tells the customer.
    fn write(&self, id: &AcsId, whole: bool, command: &mut Cmd) {
        let customer = self.customer.as_ref().filter(|_| !whole).map_or("", CustomerId::as_str);
        let values = [
            ('N', self.condition.as_str()),
            ('C', customer),
            ('P', &self.properties),
            ('E', &self.expiry),
            ('R', &self.revision),
            ('T', &self.created),
        ];
        let values = values.iter().filter(|(_, value)| !value.is_empty());
        let spec: String = self.what.chars().chain(values.clone().map(|(letter, _)| *letter)).collect();
        command.arg(spec).arg(member::of(id.as_str()));
        for (_, value) in values {
            command.arg(*value);
        }
    }

    /// The customer whom the record is to map the ACS ID to.
    fn becomes(&self) -> Option<&CustomerId> {
        self.customer.as_ref().filter(|_| ["c", "r", "v", "i"].contains(&self.what))
    }
}

/// What can be written.
pub(crate) trait Item: Clone + Send + Sync + 'static {
    type Answer: Send + 'static;

    fn acs_id(&self) -> &AcsId;
    fn told(&self) -> Result<Told, Failure>;

    /// What was to be written by the rules, if anything, and the answer.
    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Self::Answer)>;
}

impl Item for Link {
    type Answer = Linked;

    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    fn told(&self) -> Result<Told, Failure> {
        let (what, condition) = match self.when {
            When::CreateOnly => ("c", String::new()),
            When::Replace => ("r", String::new()),
            When::IfRevision(revision) => ("v", revision.get().to_string()),
            _ => return Err(Error::unsupported("this store does not know the condition of the link").into()),
        };
        // A shorter time than a microsecond is none, as for all stores.
        let lifetime = self.expires.map(|lifetime| u64::try_from(lifetime.as_micros()).unwrap_or(u64::MAX));
        Ok(Told {
            what,
            condition,
            customer: Some(self.customer_id.clone()),
            properties: record::json(&self.properties)?,
            expiry: lifetime.map(|lifetime| lifetime.min(Timestamp::MAX.as_micros()).to_string()).unwrap_or_default(),
            ..Told::default()
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Linked)> {
        Ok(match rules::plan_link(self, present, now)? {
            LinkPlan::Write(_, linked) => (true, linked),
            LinkPlan::Keep(linked) => (false, linked),
        })
    }
}

impl Item for Mapping {
    type Answer = Imported;

    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    fn told(&self) -> Result<Told, Failure> {
        Ok(Told {
            what: "i",
            customer: Some(self.customer_id.clone()),
            properties: record::json(&self.properties)?,
            expiry: self.expires_at.map(|at| at.as_micros().to_string()).unwrap_or_default(),
            revision: self.revision.get().to_string(),
            created: self.created_at.as_micros().to_string(),
            ..Told::default()
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Imported)> {
        let imported = rules::plan_import(self, present, now);
        Ok((imported == Imported::Written, imported))
    }
}

/// An ACS ID to be unlinked.
#[derive(Debug, Clone)]
pub(crate) struct Unlink(pub(crate) AcsId, pub(crate) Expect);

impl Item for Unlink {
    type Answer = Option<Mapping>;

    fn acs_id(&self) -> &AcsId {
        &self.0
    }

    fn told(&self) -> Result<Told, Failure> {
        let told = Told { what: "u", ..Told::default() };
        Ok(match &self.1 {
            Expect::Any => told,
            Expect::Customer(customer) => Told { customer: Some(customer.clone()), ..told },
            Expect::Revision(revision) => Told { condition: revision.get().to_string(), ..told },
            _ => return Err(Error::unsupported("this store does not know what is expected").into()),
        })
    }

    fn decide(&self, present: &Present, now: Timestamp) -> Result<(bool, Option<Mapping>)> {
        let unlinked = rules::plan_unlink(&self.1, present, now)?;
        Ok((unlinked.is_some(), unlinked.and_then(|_| present.live(now).cloned())))
    }
}

/// Writes one item.
pub(crate) async fn one<I: Item>(store: &RedisStore, item: I) -> Result<I::Answer> {
    let written = store.run(|store| async move { write(&store, &[item]).await }).await?;
    written.into_iter().next().unwrap_or(Err(Failure::Answer.into()))
}

/// Writes each item of a batch but for those whose ID is in it twice.
pub(crate) async fn many<I: Item>(store: &RedisStore, items: &[I]) -> Vec<Result<I::Answer>> {
    let refused = rules::duplicates(items.iter().map(I::acs_id));
    let accepted: Vec<I> =
        items.iter().zip(&refused).filter(|(_, refused)| !**refused).map(|(item, _)| item.clone()).collect();
    let count = accepted.len();
    let written = store.run(|store| async move { write(&store, &accepted).await }).await;
    let written = written.unwrap_or_else(|failure| (0..count).map(|_| Err(failure.clone().into())).collect());
    let mut answers = written.into_iter();
    let mut next = || answers.next().unwrap_or(Err(Failure::OutcomeUnknown.into()));
    refused.into_iter().map(|refused| if refused { Err(rules::duplicate_error()) } else { next() }).collect()
}

/// Writes items of different IDs.
async fn write<I: Item>(store: &RedisStore, items: &[I]) -> Vec<Result<I::Answer>> {
    let mut told = Vec::with_capacity(items.len());
    for item in items {
        told.push(item.told().map(|told| (item.acs_id().clone(), told)));
    }
    let written = records(store, told).await;
    let answer = |(item, written): (&I, Result<Written, Failure>)| {
        let Written { changed, before, now, .. } = written?;
        let (due, answer) = item.decide(&record::present(item.acs_id(), before.as_deref())?, now)?;
        // The script decides by the same rules.
        if due == changed { Ok(answer) } else { Err(Failure::Answer.into()) }
    };
    items.iter().zip(written).map(answer).collect()
}

/// What a script has done about an item.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) changed: bool,
    /// The creation time of the mapping that was written, if one was.
    created: Option<Timestamp>,
    /// The record that was there.
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) now: Timestamp,
}

/// Writes the records of different IDs, and the entries in the indexes that belong to them.
pub(crate) async fn records(
    store: &RedisStore,
    items: Vec<Result<(AcsId, Told), Failure>>,
) -> Vec<Result<Written, Failure>> {
    let mut answers: Vec<Option<Result<Written, Failure>>> = Vec::with_capacity(items.len());
    let mut good = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(item) => {
                good.push(item);
                answers.push(None);
            }
            Err(failure) => answers.push(Some(Err(failure))),
        }
    }
    let written = if store.nodes().is_whole() { whole(store, &good).await } else { split(store, &good).await };
    let mut written = written.into_iter();
    let mut next = || written.next().unwrap_or(Err(Failure::Answer));
    answers.into_iter().map(|answer| answer.unwrap_or_else(&mut next)).collect()
}

/// On one server, which does all in one step.
async fn whole(store: &RedisStore, items: &[(AcsId, Told)]) -> Vec<Result<Written, Failure>> {
    let chunks: Vec<_> = items.chunks(CHUNK).collect();
    let asks: Vec<_> = chunks.iter().map(|chunk| ask(store, chunk, true, Timestamp::MAX)).collect();
    let answers = store.nodes().each(&asks, Sort::Write, store.end()).await;
    chunks.iter().zip(answers).flat_map(|(chunk, answer)| read(answer, chunk.len())).collect()
}

/// In a cluster, step by step.
async fn split(store: &RedisStore, items: &[(AcsId, Told)]) -> Vec<Result<Written, Failure>> {
    let end = store.end();
    let mut first = Vec::new();
    // For each item the places of its steps among them.
    let mut places = Vec::with_capacity(items.len());
    for (id, told) in items {
        let mut place = |step: Option<Step>| {
            first.extend(step);
            first.len()
        };
        let customer = told.becomes();
        let start = place(None);
        let noted = place(customer.map(|customer| Step::note(store.keys().index(id, customer), id)));
        let entry = customer.filter(|_| !told.expiry.is_empty()).map(|_| match told.what {
            "i" => Step::expiring_at(store.keys().expiring(id), id, &told.expiry),
            _ => Step::expiring_in(store.keys().expiring(id), id, &told.expiry),
        });
        places.push((start..noted, start..place(entry)));
    }
    let (first, clocks) = futures::future::join(steps(store, &first, end), clocks(store, items, end)).await;

    let mut intents: Vec<Result<Option<Timestamp>, Failure>> = Vec::with_capacity(items.len());
    let mut asks = Vec::with_capacity(items.len());
    for ((item, (noted, all)), clock) in items.iter().zip(places).zip(clocks) {
        let ready = first[all].iter().cloned().collect::<Result<Vec<_>, _>>().and(clock);
        intents.push(ready.and_then(|now| {
            let latest = Timestamp::from_micros(now.as_micros().saturating_add(PATIENCE));
            asks.push(ask(store, std::slice::from_ref(item), false, latest));
            first[noted].first().cloned().transpose().map(|noted| noted.map(|(at, _)| at))
        }));
    }
    let written = store.nodes().each(&asks, Sort::Write, end).await;
    let mut written = written.into_iter().flat_map(|answer| read(answer, 1));
    let mut answers = Vec::with_capacity(items.len());
    let mut tidy = Vec::new();
    for ((id, told), intent) in items.iter().zip(intents) {
        answers.push(match intent {
            // The records are as they were; the indexes may have too much in them.
            Err(failure) => Err(failure.before_the_write()),
            Ok(intent) => {
                let answer = written.next().unwrap_or(Err(Failure::Answer));
                // Where the outcome is unknown, the intent stays until it is too old to count.
                if let Ok(written) = &answer {
                    tidy_up(store, id, told, intent, written, &mut tidy);
                }
                answer
            }
        });
    }
    // Nobody has to know whether it failed: it only takes out what is too much.
    steps(store, &tidy, end).await;
    answers
}

/// The steps that are left when a record is as it should be.
fn tidy_up(
    store: &RedisStore,
    id: &AcsId,
    told: &Told,
    intent: Option<Timestamp>,
    written: &Written,
    tidy: &mut Vec<Step>,
) {
    let Ok(before) = record::present(id, written.before.as_deref()) else { return };
    let customer = told.becomes();
    if written.changed
        && let Some(former) = before.mapping().filter(|former| Some(&former.customer_id) != customer)
    {
        tidy.push(Step::drop(store.keys().index(id, &former.customer_id), id, former.created_at));
    }
    if let Some((customer, noted)) = customer.zip(intent) {
        let present = before.mapping().filter(|mapping| mapping.customer_id == *customer);
        let created = written.created.or(present.map(|mapping| mapping.created_at));
        tidy.push(Step::settle(store.keys().index(id, customer), id, noted, created));
    }
}

/// Each record's server's time.
async fn clocks(store: &RedisStore, items: &[(AcsId, Told)], end: Instant) -> Vec<Result<Timestamp, Failure>> {
    let slots: Vec<u16> = items.iter().map(|(id, _)| slot(&store.keys().record(id.as_str()))).collect();
    let mut asks = Vec::new();
    let clocks = Clocks::ask(store.nodes().topology(), &slots, &mut asks);
    let answers = store.ask(&asks, end).await;
    slots.into_iter().map(|slot| clocks.read(slot, &answers)).collect()
}

/// A run of the script about some items.
fn ask(store: &RedisStore, items: &[(AcsId, Told)], whole: bool, latest: Timestamp) -> Ask {
    let keys = store.keys();
    let expiring = |told: &Told| whole && !told.expiry.is_empty();
    let expire = items.iter().filter(|(_, told)| expiring(told));
    let mut command = WRITE.run(if whole { 2 * items.len() + expire.clone().count() } else { items.len() });
    let mut slot_of_first = 0;
    for (id, _) in items {
        let record = keys.record(id.as_str());
        slot_of_first = slot(&record);
        command.arg(record);
    }
    for (id, told) in items.iter().filter(|_| whole) {
        match &told.customer {
            Some(customer) => command.arg(keys.index(id, customer)),
            None => command.arg(keys.index_of_nobody(id)),
        };
    }
    for (id, _) in expire {
        command.arg(keys.expiring(id));
    }
    command.arg(u8::from(whole)).arg(keys.index_prefix()).arg(latest.as_micros()).arg(items.len());
    for (id, told) in items {
        told.write(id, whole, &mut command);
    }
    Ask { slot: slot_of_first, command, script: Some(&WRITE) }
}

/// Reads the script's answer.
fn read(answer: Result<Value, Failure>, count: usize) -> Vec<Result<Written, Failure>> {
    let all = |failure: Failure| vec![Err(failure); count];
    let mut values = match answer {
        Ok(Value::Array(values)) => values,
        Ok(_) => return all(Failure::Answer),
        Err(failure) => return all(failure),
    };
    if values.is_empty() {
        return all(Failure::Answer);
    }
    let Ok(now) = answer::time(&values.remove(0)) else { return all(Failure::Answer) };
    if values.is_empty() {
        return all(Failure::TooLate);
    }
    if values.len() != 2 * count {
        return all(Failure::Answer);
    }
    let mut values = values.into_iter();
    let mut written = || {
        let (Some(Value::Int(created)), Some(before)) = (values.next(), values.next()) else {
            return Err(Failure::Answer);
        };
        let before = match before {
            Value::BulkString(record) => Some(record),
            Value::Nil => None,
            _ => return Err(Failure::Answer),
        };
        let time = u64::try_from(created).ok().filter(|created| *created > 0);
        Ok(Written { changed: created >= 0, created: time.map(Timestamp::from_micros), before, now })
    };
    (0..count).map(|_| written()).collect()
}
