//! What is read from the tables.

use std::collections::HashSet;
use std::sync::Arc;

use acs_identity_core::{AcsId, Answer, Cursor, CustomerId, Error, Mapping, Page, PageRequest, Resolution, Result};

use crate::batch::Batch;
use crate::dialect::{Dialect, Value};
use crate::error::Failure;
use crate::record::{self, ListPosition};
use crate::store::SqlStore;

pub(crate) async fn resolve<D: Dialect>(store: &SqlStore<D>, id: &AcsId) -> Result<Option<Resolution>, Failure> {
    let id = id.clone();
    let read = move |store: SqlStore<D>, state| {
        let id = id.clone();
        async move {
            let mut connection = store.reader(&state).await?;
            let values = [Value::Text(store.namespace()), Value::Text(id.as_str())];
            let row = D::fetch_optional(&mut connection, D::statements().resolve, &values).await?;
            // Given back before the answer, so that the next call of this caller finds it free.
            store.hand_on(connection);
            row.map_or(Ok(None), |row| record::resolution(&row, store.host_time()))
        }
    };
    store.run(read).await
}

/// The answers about those IDs that have a row.
pub(crate) async fn resolve_many<D: Dialect>(
    store: &SqlStore<D>,
    ids: &[AcsId],
) -> Result<Vec<(AcsId, Answer)>, Failure> {
    let mut seen = HashSet::with_capacity(ids.len());
    let distinct: Arc<[AcsId]> = ids.iter().filter(|id| seen.insert(*id)).cloned().collect();
    let read = move |store: SqlStore<D>, state| {
        let distinct = distinct.clone();
        async move {
            let mut connection = store.reader(&state).await?;
            let rows =
                lookup::<D>(&mut connection, &D::statements().resolve_many, store.namespace(), &distinct).await?;
            store.hand_on(connection);
            let host = store.host_time();
            let answer = |row| {
                let answer = record::resolution(row, host).map_err(Error::from);
                Ok((record::acs_id(row)?, answer))
            };
            rows.iter().map(answer).collect()
        }
    };
    store.run(read).await
}

/// The rows of those IDs that have one, in any order.
pub(crate) async fn lookup<D: Dialect>(
    connection: &mut D::Connection,
    statements: &'static Batch,
    namespace: &str,
    ids: &[AcsId],
) -> Result<Vec<D::Row>, Failure> {
    let mut rows = Vec::new();
    for ids in ids.chunks(statements.largest().max(1)) {
        let Some((size, sql)) = statements.covering(ids.len()) else { break };
        let found = match statements {
            Batch::Sized(_) => {
                let mut values = Vec::with_capacity(1 + size);
                values.push(Value::Text(namespace));
                values.extend(ids.iter().map(|id| Value::Text(id.as_str())));
                values.resize(1 + size, Value::text_or_null(ids.last().map(AcsId::as_str)));
                D::fetch_all(connection, sql, &values).await?
            }
            Batch::Arrays(_) => {
                let ids: Vec<_> = ids.iter().map(|id| Some(id.as_str())).collect();
                D::fetch_all(connection, sql, &[Value::Text(namespace), Value::Texts(&ids)]).await?
            }
        };
        if rows.is_empty() {
            rows = found;
        } else {
            rows.extend(found);
        }
    }
    Ok(rows)
}

pub(crate) async fn mappings_of<D: Dialect>(
    store: &SqlStore<D>,
    customer: &CustomerId,
    page: &PageRequest,
) -> Result<Page<Mapping>> {
    let after = match page.cursor() {
        None => ListPosition::START,
        Some(cursor) => parse_position(cursor).ok_or_else(bad_cursor)?,
    };
    let (customer, limit) = (customer.clone(), page.limit());
    let read = move |store: SqlStore<D>, state| {
        let (customer, after) = (customer.clone(), after.clone());
        async move {
            let mut connection = store.reader(&state).await?;
            let values = after.values(store.namespace(), &customer, i64::from(limit) + 1);
            let mut rows = D::fetch_all(&mut connection, D::statements().mappings_of, &values).await?;
            let next = cut(&mut rows, limit).map(record::list_position).transpose()?;
            let next = next.map(|last| Cursor::new(format!("c{}:{}", last.created_at, last.acs_id)));
            page_of(&store, connection, &rows, next).await
        }
    };
    Ok(store.run(read).await?)
}

pub(crate) async fn scan<D: Dialect>(store: &SqlStore<D>, page: &PageRequest) -> Result<Page<Mapping>> {
    let id = match page.cursor() {
        None => String::new(),
        Some(cursor) => parse_id(cursor.as_str(), "s").ok_or_else(bad_cursor)?,
    };
    let limit = page.limit();
    let read = move |store: SqlStore<D>, state| {
        let id = id.clone();
        async move {
            let mut connection = store.reader(&state).await?;
            let values = [Value::Text(store.namespace()), Value::Text(&id), Value::Integer(i64::from(limit) + 1)];
            let mut rows = D::fetch_all(&mut connection, D::statements().scan, &values).await?;
            let next = cut(&mut rows, limit).map(record::raw_acs_id).transpose()?;
            let next = next.map(|last| Cursor::new(format!("s:{last}")));
            page_of(&store, connection, &rows, next).await
        }
    };
    Ok(store.run(read).await?)
}

pub(crate) async fn ping<D: Dialect>(store: &SqlStore<D>) -> Result<(), Failure> {
    let read = |store: SqlStore<D>, state| async move {
        let mut connection = store.reader(&state).await?;
        // Any lookup: it fails if the tables are gone.
        let values = [Value::Text(store.namespace()), Value::Text("ping")];
        D::fetch_optional(&mut connection, D::statements().resolve, &values).await
    };
    store.run(read).await.map(drop)
}

/// Cuts the rows to a page, for which one more was asked. Answers with its last row if there are more behind it.
fn cut<R>(rows: &mut Vec<R>, limit: u32) -> Option<&R> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    rows.last().filter(|_| more)
}

async fn page_of<D: Dialect>(
    store: &SqlStore<D>,
    mut connection: D::Connection,
    rows: &[D::Row],
    next: Option<Cursor>,
) -> Result<Page<Mapping>, Failure> {
    let now = match rows.last() {
        Some(row) => record::read_at(row, store.host_time())?,
        None => store.now(&mut connection).await?,
    };
    store.hand_on(connection);
    // Tombstones and expired mappings count for the page, so that it is short work wherever there are many of them.
    let mappings = rows.iter().filter_map(|row| record::mapping(row).transpose());
    let alive = mappings.filter(|mapping| mapping.as_ref().map_or(true, |mapping| !mapping.is_expired(now)));
    Ok(Page::new(alive.collect::<Result<_, _>>()?, next, now))
}

fn parse_position(cursor: &Cursor) -> Option<ListPosition> {
    let (created_at, _) = cursor.as_str().strip_prefix('c')?.split_once(':')?;
    let acs_id = parse_id(cursor.as_str(), &format!("c{created_at}"))?;
    let micros: i64 = created_at.parse().ok().filter(|micros| *micros >= 0)?;
    let created_at = Some(micros).filter(|micros| micros.to_string() == created_at)?;
    Some(ListPosition { created_at, acs_id })
}

fn parse_id(cursor: &str, before: &str) -> Option<String> {
    let id = cursor.strip_prefix(before)?.strip_prefix(':')?;
    AcsId::new(id).is_ok().then(|| id.to_owned())
}

fn bad_cursor() -> Error {
    Error::invalid_input("the cursor is not one of this listing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_taken_only_by_its_own_listing() {
        let position = Cursor::new("c12:8:acs:r_1");
        assert_eq!(parse_position(&position), Some(ListPosition { created_at: 12, acs_id: "8:acs:r_1".to_owned() }));
        assert_eq!(parse_id("s:8:acs:r_1", "s"), Some("8:acs:r_1".to_owned()));
        assert_eq!(parse_id(position.as_str(), "s"), None);
        for bad in
            ["", "c", "c:", "c1", "c1:", "c-1:a", "cx:a", "c1:a\n", "c+1:a", "c01:a", "c99999999999999999999:a", "s:a"]
        {
            assert_eq!(parse_position(&Cursor::new(bad)), None, "{bad:?}");
        }
    }
}
