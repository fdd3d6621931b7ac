//! Rows read as mappings, and mappings written as rows.

use acs_identity_core::rules::{Present, TOMBSTONE_LIFETIME};
use acs_identity_core::{AcsId, CustomerId, Mapping, Properties, Resolution, Revision, Timestamp};

use crate::dialect::{Row, Value};
use crate::error::Failure;

// The places of a mapping's columns.
const CUSTOMER_ID: usize = 0;
const PROPERTIES: usize = 1;
const EXPIRES_AT: usize = 2;
const REVISION: usize = 3;
const NOW: usize = 4;
const ACS_ID: usize = 5;
const CREATED_AT: usize = 6;

/// The time at which a row was read: the host's, or the one that the server has put into it.
pub(crate) fn read_at(row: &impl Row, host: Option<Timestamp>) -> Result<Timestamp, Failure> {
    match host {
        Some(now) => Ok(now),
        None => integer(row, NOW, "now").map(Timestamp::from_micros),
    }
}

/// The customer behind an ID; `None` of a tombstone and of what has expired.
pub(crate) fn resolution(row: &impl Row, host: Option<Timestamp>) -> Result<Option<Resolution>, Failure> {
    let Some(customer_id) = customer_id(row)? else { return Ok(None) };
    let remaining = match expires_at(row)? {
        None => None,
        Some(at) => {
            let now = read_at(row, host)?;
            if at <= now {
                return Ok(None);
            }
            Some(at.since(now))
        }
    };
    let resolution = Resolution::from(customer_id).with_properties(properties(row)?);
    Ok(Some(resolution.lasting(remaining).at_revision(revision(row)?)))
}

/// The mapping of a row; `None` of a tombstone.
pub(crate) fn mapping(row: &impl Row) -> Result<Option<Mapping>, Failure> {
    let Some(mut mapping) = bare_mapping(row)? else { return Ok(None) };
    mapping.properties = properties(row)?;
    Ok(Some(mapping))
}

/// The mapping of a row without its properties; `None` of a tombstone.
pub(crate) fn bare_mapping(row: &impl Row) -> Result<Option<Mapping>, Failure> {
    let Some(customer_id) = customer_id(row)? else { return Ok(None) };
    let created_at = integer(row, CREATED_AT, "created_at").map(Timestamp::from_micros)?;
    let mut mapping = Mapping::new(acs_id(row)?, customer_id, revision(row)?, created_at);
    mapping.expires_at = expires_at(row)?;
    Ok(Some(mapping))
}

/// What is there of an ID that has a row.
pub(crate) fn present(row: &impl Row, now: Timestamp) -> Result<Present, Failure> {
    if let Some(mut mapping) = bare_mapping(row)? {
        // Without those that can't be read: they decide nothing, and must not keep a mapping from being removed.
        mapping.properties = properties(row).unwrap_or_default();
        return Ok(Present::Mapping(mapping));
    }
    // Forgotten when its time is over, whether or not it has been swept away.
    let forgotten = expires_at(row)?.is_some_and(|at| at <= now);
    Ok(if forgotten { Present::Nothing } else { Present::Tombstone(revision(row)?) })
}

/// A position in the list of a customer's mappings, which is in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListPosition {
    pub(crate) created_at: i64,
    pub(crate) acs_id: String,
}

impl ListPosition {
    /// Before the first.
    pub(crate) const START: Self = Self { created_at: i64::MIN, acs_id: String::new() };

    /// The values of a statement that goes on from here.
    pub(crate) fn values<'a>(&'a self, namespace: &'a str, customer: &'a CustomerId, limit: i64) -> [Value<'a>; 6] {
        [
            Value::Text(namespace),
            Value::Text(customer.as_str()),
            Value::Integer(self.created_at),
            Value::Text(&self.acs_id),
            Value::Integer(self.created_at),
            Value::Integer(limit),
        ]
    }
}

pub(crate) fn list_position(row: &impl Row) -> Result<ListPosition, Failure> {
    let created_at = row.integer(CREATED_AT).ok().flatten().ok_or(Failure::Unreadable("created_at"))?;
    Ok(ListPosition { created_at, acs_id: raw_acs_id(row)?.to_owned() })
}

/// The ID of a row as it is stored.
pub(crate) fn raw_acs_id(row: &impl Row) -> Result<&str, Failure> {
    row.text(ACS_ID).ok().flatten().ok_or(Failure::Unreadable("acs_id"))
}

pub(crate) fn acs_id(row: &impl Row) -> Result<AcsId, Failure> {
    AcsId::new(raw_acs_id(row)?).map_err(|_| Failure::Unreadable("acs_id"))
}

fn customer_id(row: &impl Row) -> Result<Option<CustomerId>, Failure> {
    let unreadable = || Failure::Unreadable("customer_id");
    let text = row.text(CUSTOMER_ID).map_err(|_| unreadable())?;
    text.map(CustomerId::new).transpose().map_err(|_| unreadable())
}

fn properties(row: &impl Row) -> Result<Properties, Failure> {
    let unreadable = || Failure::Unreadable("properties");
    match row.text(PROPERTIES).map_err(|_| unreadable())? {
        None => Ok(Properties::default()),
        Some(json) => serde_json::from_str(json).map_err(|_| unreadable()),
    }
}

fn expires_at(row: &impl Row) -> Result<Option<Timestamp>, Failure> {
    match row.integer(EXPIRES_AT) {
        Ok(None) => Ok(None),
        _ => integer(row, EXPIRES_AT, "expires_at").map(|micros| Some(Timestamp::from_micros(micros))),
    }
}

fn revision(row: &impl Row) -> Result<Revision, Failure> {
    integer(row, REVISION, "revision").map(Revision::new)
}

fn integer(row: &impl Row, column: usize, name: &'static str) -> Result<u64, Failure> {
    let number = row.integer(column).ok().flatten();
    number.and_then(|number| u64::try_from(number).ok()).ok_or(Failure::Unreadable(name))
}

/// A row to be written: a mapping, or a tombstone, which has no customer and whose expiry is when it may be forgotten.
pub(crate) struct Record {
    acs_id: AcsId,
    customer_id: Option<CustomerId>,
    properties: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revision: Revision,
}

impl Record {
    /// How many parameters one row has in a statement that writes it, beside the namespace.
    pub(crate) const VALUES: usize = 6;

    pub(crate) fn of(mapping: Mapping) -> Result<Self, Failure> {
        let properties = match mapping.properties.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&mapping.properties).map_err(|_| Failure::Properties)?),
        };
        Ok(Self {
            acs_id: mapping.acs_id,
            customer_id: Some(mapping.customer_id),
            properties,
            created_at: mapping.created_at,
            expires_at: mapping.expires_at,
            revision: mapping.revision,
        })
    }

    pub(crate) fn tombstone(acs_id: AcsId, revision: Revision, now: Timestamp) -> Self {
        let expires_at = Some(now.saturating_add(TOMBSTONE_LIFETIME));
        Self { acs_id, customer_id: None, properties: None, created_at: now, expires_at, revision }
    }

    pub(crate) fn acs_id(&self) -> &AcsId {
        &self.acs_id
    }

    pub(crate) fn values(&self) -> [Value<'_>; Self::VALUES] {
        [
            Value::Text(self.acs_id.as_str()),
            Value::text_or_null(self.customer_id.as_ref().map(CustomerId::as_str)),
            Value::text_or_null(self.properties.as_deref()),
            Value::Integer(micros(self.created_at)),
            Value::integer_or_null(self.expires_at.map(micros)),
            Value::Integer(signed(self.revision.get())),
        ]
    }
}

/// Rows to be written, column by column.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    acs_ids: Vec<Option<&'a str>>,
    customer_ids: Vec<Option<&'a str>>,
    properties: Vec<Option<&'a str>>,
    created_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    revisions: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(records: &'a [Record]) -> Self {
        let mut columns = Self::default();
        for record in records {
            columns.acs_ids.push(Some(record.acs_id.as_str()));
            columns.customer_ids.push(record.customer_id.as_ref().map(CustomerId::as_str));
            columns.properties.push(record.properties.as_deref());
            columns.created_at.push(Some(micros(record.created_at)));
            columns.expires_at.push(record.expires_at.map(micros));
            columns.revisions.push(Some(signed(record.revision.get())));
        }
        columns
    }

    pub(crate) fn values(&'a self, namespace: &'a str) -> [Value<'a>; 1 + Record::VALUES] {
        [
            Value::Text(namespace),
            Value::Texts(&self.acs_ids),
            Value::Texts(&self.customer_ids),
            Value::Texts(&self.properties),
            Value::Integers(&self.created_at),
            Value::Integers(&self.expires_at),
            Value::Integers(&self.revisions),
        ]
    }
}

pub(crate) fn micros(time: Timestamp) -> i64 {
    signed(time.as_micros())
}

/// Exact for times and revisions, which both end far below `i64::MAX`.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
