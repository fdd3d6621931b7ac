//! What is removed in bulk: all mappings of a customer, and what has expired.

use acs_identity_core::rules::{self, Present};
use acs_identity_core::{AcsId, CustomerId, Expect, Result, Timestamp};

use crate::dialect::{Dialect, Value};
use crate::error::Failure;
use crate::record::{self, ListPosition, Record};
use crate::run::CallState;
use crate::store::SqlStore;
use crate::sweep;
use crate::write::{CHUNK, Plan, finish, write_items};

pub(crate) async fn unlink_customer<D: Dialect>(store: &SqlStore<D>, customer: &CustomerId) -> Result<u64> {
    let Some(end) = last_of(store, customer).await? else { return Ok(0) };
    let mut after = ListPosition::START;
    let mut removed = 0;
    loop {
        let (from, end, customer) = (after, end.clone(), customer.clone());
        let unlink = move |store: SqlStore<D>, state: CallState| {
            let (from, end, customer) = (from.clone(), end.clone(), customer.clone());
            async move {
                let mut transaction = D::begin(store.writer(&state).await?).await?;
                let done = unlink_some(&store, &mut transaction, &customer, &from, &end).await;
                finish::<D, _>(transaction, &state, done).await
            }
        };
        let (count, last) = store.run(unlink).await?;
        sweep::after_a_write(store, count as usize);
        removed += count;
        match last {
            Some(last) => after = last,
            None => return Ok(removed),
        }
    }
}

/// The position of the customer's last mapping.
async fn last_of<D: Dialect>(store: &SqlStore<D>, customer: &CustomerId) -> Result<Option<ListPosition>, Failure> {
    let customer = customer.clone();
    let read = move |store: SqlStore<D>, state| {
        let customer = customer.clone();
        async move {
            let mut connection = store.reader(&state).await?;
            let values = [Value::Text(store.namespace()), Value::Text(customer.as_str())];
            let row = D::fetch_optional(&mut connection, D::statements().last_of, &values).await?;
            row.map(|row| record::list_position(&row)).transpose()
        }
    };
    store.run(read).await
}

/// Unlinks a customer's first mappings between two positions. Answers with how many, and where to go on, if anywhere.
///
/// They are listed first, without being held, and then held as by any other write. One that is linked again in between has moved
/// behind the others; were they held in the order of the list, it might come in its old place with its new position.
async fn unlink_some<D: Dialect>(
    store: &SqlStore<D>,
    connection: &mut D::Connection,
    customer: &CustomerId,
    after: &ListPosition,
    end: &ListPosition,
) -> Result<(u64, Option<ListPosition>), Failure> {
    let values = after.values(store.namespace(), customer, CHUNK as i64);
    let rows = D::fetch_all(connection, D::statements().mappings_of, &values).await?;
    let mut items = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in &rows {
        let position = record::list_position(row)?;
        if position > *end {
            // What comes from here on was linked later.
            break;
        }
        items.push((record::acs_id(row)?, customer.clone()));
        last = Some(position);
    }
    if items.is_empty() {
        return Ok((0, None));
    }
    let mut removed = 0;
    for answer in write_items(store, connection, &items, forget, false).await? {
        removed += u64::from(answer?);
    }
    Ok((removed, last.filter(|_| items.len() == CHUNK)))
}

/// Unlinks an ID from a customer, also if the mapping has expired: nothing is to be left of the customer. Answers with whether
/// it had not.
fn forget((id, customer): &(AcsId, CustomerId), present: &Present, now: Timestamp) -> Plan<bool> {
    let Some(mapping) = present.mapping().filter(|mapping| mapping.customer_id == *customer) else {
        return Ok((None, false));
    };
    let next = rules::plan_unlink(&Expect::Any, present, now)?;
    let tombstone = Record::tombstone(id.clone(), next.unwrap_or(mapping.revision), now);
    Ok((Some(tombstone), next.is_some()))
}

pub(crate) async fn purge_expired<D: Dialect>(store: &SqlStore<D>, limit: u32) -> Result<u64, Failure> {
    let limit = u64::from(limit);
    // Mappings expired, tombstones forgotten, entries of the log deleted: of each at most so many.
    let mut done = [0; 3];
    loop {
        let room = done.map(|done| limit.saturating_sub(done).min(CHUNK as u64) as usize);
        let purge = move |store: SqlStore<D>, state: CallState| async move {
            let mut transaction = D::begin(store.writer(&state).await?).await?;
            let done = purge_some(&store, &mut transaction, room).await;
            finish::<D, _>(transaction, &state, done).await
        };
        let trim = move |store: SqlStore<D>, state: CallState| async move {
            // Apart, as it may have to wait for somebody who trims the log, too.
            let mut transaction = D::begin(store.writer(&state).await?).await?;
            let done = D::trim(&mut transaction, room[2]).await;
            finish::<D, _>(transaction, &state, done).await
        };
        let [expired, forgotten] = store.run(purge).await?;
        let trimmed = store.run(trim).await?;
        let mut more = false;
        for (done, purged) in done.iter_mut().zip([expired, forgotten, trimmed]) {
            *done += purged;
            more |= purged == CHUNK as u64 && *done < limit;
        }
        if !more {
            return Ok(done[0]);
        }
    }
}

/// Makes expired mappings tombstones, since the ID's revision must rise across an expiry as across an unlink, and deletes
/// the tombstones whose time is over. Answers with how many of each.
async fn purge_some<D: Dialect>(
    store: &SqlStore<D>,
    connection: &mut D::Connection,
    [to_expire, to_forget, _]: [usize; 3],
) -> Result<[u64; 2], Failure> {
    let now = store.now(connection).await?;
    let end = now.saturating_add(rules::TOMBSTONE_LIFETIME);
    let values = [
        Value::Integer(record::micros(end)),
        Value::Text(store.namespace()),
        Value::Integer(record::micros(now)),
        Value::Integer(to_expire as i64),
    ];
    let expired = D::execute(connection, D::statements().expire, &values).await?;
    let forgotten = sweep::forget::<D>(connection, now, to_forget).await?;
    Ok([expired, forgotten])
}
