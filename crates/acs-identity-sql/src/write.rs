//! What is written to the tables: each write is decided on what is there, while nobody else can write it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acs_identity_core::rules::{self, LinkPlan, Present};
use acs_identity_core::{AcsId, Error, ErrorKind, Expect, Imported, Link, Linked, Mapping, Result, Timestamp};

use crate::batch::Batch;
use crate::dialect::{Dialect, Value};
use crate::error::Failure;
use crate::record::{self, Columns, Record};
use crate::run::CallState;
use crate::store::SqlStore;
use crate::{read, sweep};

/// The most items of one transaction: a few milliseconds of work, so that others get their turn.
pub(crate) const CHUNK: usize = 1000;

/// From so many items on, a write is tried at first as if none of their IDs had a row, without looking: so it mostly is
/// when a store is filled. Where it is not, the insert fails at the first row that is there; in PostgreSQL it inserts none.
const MANY: usize = 100;

/// What a decision writes, if anything, and what it answers.
pub(crate) type Plan<T> = Result<(Option<Record>, T)>;

/// How one item is decided, given what is there of its ID.
type Decide<I, T> = fn(&I, &Present, Timestamp) -> Plan<T>;

pub(crate) fn link(link: &Link, present: &Present, now: Timestamp) -> Plan<Linked> {
    Ok(match rules::plan_link(link, present, now)? {
        LinkPlan::Write(mapping, linked) => (Some(Record::of(mapping)?), linked),
        LinkPlan::Keep(linked) => (None, linked),
    })
}

pub(crate) fn import(mapping: &Mapping, present: &Present, now: Timestamp) -> Plan<Imported> {
    let imported = rules::plan_import(mapping, present, now);
    let record = match imported {
        Imported::Written => Some(Record::of(mapping.clone())?),
        _ => None,
    };
    Ok((record, imported))
}

pub(crate) fn unlink((id, expect): &(AcsId, Expect), present: &Present, now: Timestamp) -> Plan<Option<Mapping>> {
    Ok(match rules::plan_unlink(expect, present, now)? {
        Some(revision) => (Some(Record::tombstone(id.clone(), revision, now)), present.live(now).cloned()),
        None => (None, None),
    })
}

/// An item of a write names the ID that it is about.
pub(crate) trait Item: Clone + Send + Sync + 'static {
    fn acs_id(&self) -> &AcsId;
}

impl Item for Link {
    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }
}

impl Item for Mapping {
    fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }
}

impl<T: Clone + Send + Sync + 'static> Item for (AcsId, T) {
    fn acs_id(&self) -> &AcsId {
        &self.0
    }
}

/// Writes one item.
pub(crate) async fn one<D: Dialect, I: Item, T: Send + 'static>(
    store: &SqlStore<D>,
    item: I,
    decide: Decide<I, T>,
) -> Result<T> {
    let answers = in_transaction(store, Arc::new([item]), decide).await?;
    answers.into_iter().next().unwrap_or(Err(Failure::OutcomeUnknown.into()))
}

/// Writes each item of a batch but for those whose ID is in it twice.
pub(crate) async fn many<D: Dialect, I: Item, T: Send + 'static>(
    store: &SqlStore<D>,
    items: &[I],
    decide: Decide<I, T>,
) -> Vec<Result<T>> {
    if store.is_closed() {
        return items.iter().map(|_| Err(Failure::Closed.into())).collect();
    }
    let refused = rules::duplicates(items.iter().map(I::acs_id));
    let accepted: Vec<I> =
        items.iter().zip(&refused).filter(|(_, refused)| !**refused).map(|(item, _)| item.clone()).collect();
    let mut answers = Vec::with_capacity(accepted.len());
    let mut failed = None;
    for chunk in accepted.chunks(CHUNK) {
        match &failed {
            None => match in_transaction(store, chunk.into(), decide).await {
                Ok(chunk) => answers.extend(chunk),
                Err(failure) => {
                    let error = Error::from(failure);
                    answers.extend(chunk.iter().map(|_| Err(error.clone())));
                    failed =
                        Some(Error::new(ErrorKind::Unavailable, "not tried, as an earlier part of the batch failed"));
                }
            },
            Some(error) => answers.extend(chunk.iter().map(|_| Err(error.clone()))),
        }
    }
    let mut answers = answers.into_iter();
    // An accepted item has an answer; were there none, it could not be said what became of it.
    let mut next = || answers.next().unwrap_or(Err(Failure::OutcomeUnknown.into()));
    refused.into_iter().map(|refused| if refused { Err(rules::duplicate_error()) } else { next() }).collect()
}

/// Writes items of different IDs in one transaction, with an answer for each.
async fn in_transaction<D: Dialect, I: Item, T: Send + 'static>(
    store: &SqlStore<D>,
    items: Arc<[I]>,
    decide: Decide<I, T>,
) -> Result<Vec<Result<T>>, Failure> {
    let count = items.len();
    let first = AtomicBool::new(true);
    let write = move |store: SqlStore<D>, state: CallState| {
        let (items, unseen) = (items.clone(), first.swap(false, Ordering::Relaxed) && count >= MANY);
        async move {
            let mut transaction = D::begin(store.writer(&state).await?).await?;
            let done = write_items(&store, &mut transaction, &items, decide, unseen).await;
            finish::<D, _>(transaction, &state, done).await
        }
    };
    let answers = store.run(write).await?;
    sweep::after_a_write(store, count);
    Ok(answers)
}

/// Writes items within a transaction; with `unseen`, as if none of their IDs had a row, unless that shows to be wrong.
pub(crate) async fn write_items<D: Dialect, I: Item, T>(
    store: &SqlStore<D>,
    connection: &mut D::Connection,
    items: &[I],
    decide: Decide<I, T>,
    unseen: bool,
) -> Result<Vec<Result<T>>, Failure> {
    let mut plans = None;
    if unseen {
        let now = store.now(connection).await?;
        // What is refused, or needs no row, may be so only because nothing was looked for.
        plans = Some(Plans::new(items, HashMap::new(), decide, now)).filter(|plans| plans.new.len() == items.len());
    }
    let plans = match plans {
        Some(plans) => plans,
        None => {
            let mut ids: Vec<AcsId> = items.iter().map(|item| item.acs_id().clone()).collect();
            // Everybody takes rows in this order, so that few wait for each other in a circle.
            ids.sort_unstable();
            let rows = read::lookup::<D>(connection, &D::statements().present, store.namespace(), &ids).await?;
            // Read now that nobody else can write, so that revisions rise in the order of the writes.
            let now = store.now(connection).await?;
            let mut present = HashMap::with_capacity(rows.len());
            for row in &rows {
                present.insert(record::raw_acs_id(row)?, record::present(row, now));
            }
            Plans::new(items, present, decide, now)
        }
    };
    let new = plans.new.len() as u64;
    if put(store, connection, &D::statements().insert, plans.new).await? < new {
        return Err(Failure::Raced);
    }
    put(store, connection, &D::statements().update, plans.changed).await?;
    sweep::within::<D>(connection, plans.now, items.len()).await?;
    Ok(plans.answers)
}

/// What is to be done about items, and answered.
struct Plans<T> {
    now: Timestamp,
    new: Vec<Record>,
    changed: Vec<Record>,
    answers: Vec<Result<T>>,
}

impl<T> Plans<T> {
    fn new<I: Item>(
        items: &[I],
        mut present: HashMap<&str, Result<Present, Failure>>,
        decide: Decide<I, T>,
        now: Timestamp,
    ) -> Self {
        let mut plans = Self { now, new: Vec::new(), changed: Vec::new(), answers: Vec::with_capacity(items.len()) };
        for item in items {
            let row = present.remove(item.acs_id().as_str());
            let records = if row.is_some() { &mut plans.changed } else { &mut plans.new };
            let there = row.unwrap_or(Ok(Present::Nothing));
            let plan = there.map_err(Error::from).and_then(|there| decide(item, &there, now));
            plans.answers.push(plan.map(|(record, answer)| {
                records.extend(record);
                answer
            }));
        }
        plans
    }
}

/// Inserts or updates rows. Answers with how many there were.
async fn put<D: Dialect>(
    store: &SqlStore<D>,
    connection: &mut D::Connection,
    statements: &'static Batch,
    mut records: Vec<Record>,
) -> Result<u64, Failure> {
    records.sort_unstable_by(|one, other| one.acs_id().cmp(other.acs_id()));
    let mut records = records.as_slice();
    let mut done = 0;
    while let Some((size, sql)) = statements.within(records.len()) {
        let (these, rest) = records.split_at(size);
        match statements {
            Batch::Sized(_) => {
                let mut values = Vec::with_capacity(size * (1 + Record::VALUES));
                for record in these {
                    if values.is_empty() || !D::NAMESPACE_ONCE {
                        values.push(Value::Text(store.namespace()));
                    }
                    values.extend(record.values());
                }
                done += D::execute(connection, sql, &values).await?;
            }
            Batch::Arrays(_) => {
                let columns = Columns::of(these);
                done += D::execute(connection, sql, &columns.values(store.namespace())).await?;
            }
        }
        records = rest;
    }
    Ok(done)
}

/// Ends a transaction: commits what was done, unless it failed or the caller has left.
pub(crate) async fn finish<D: Dialect, T>(
    transaction: D::Transaction,
    state: &CallState,
    done: Result<T, Failure>,
) -> Result<T, Failure> {
    match done.and_then(|done| state.begin_commit().map(|()| done)) {
        Ok(done) => D::commit(transaction).await.map(|()| done),
        Err(failure) => {
            D::rollback(transaction).await;
            Err(failure)
        }
    }
}
