//! The pages in which mappings are listed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::unquoted;
use crate::{Error, Result, Timestamp};

/// Where a listing goes on. Opaque: made by a store, and handed back to the same store.
///
/// It may hold an ID, so `Debug` does not show it and it should be kept like one.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Wraps what a store needs to go on. For implementors of a store.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What the store put in. A store must take it for what it is: input that may have been tampered with.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self).map_err(unquoted)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", crate::Redacted(&self.0))
    }
}

/// How much of a listing is wanted, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    limit: u32,
    cursor: Option<Cursor>,
}

impl PageRequest {
    /// The most items of one page.
    pub const MAX_LIMIT: u32 = 1000;

    /// The first page, of at most so many items.
    ///
    /// # Errors
    /// `InvalidInput` if the limit is 0 or above [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub fn first(limit: u32) -> Result<Self> {
        if limit == 0 || limit > Self::MAX_LIMIT {
            return Err(Error::invalid_input(format!("a page has 1 to {} items, not {limit}", Self::MAX_LIMIT)));
        }
        Ok(Self { limit, cursor: None })
    }

    /// The page after the one that gave this cursor.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// The most items wanted.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Where to go on; `None` at the start.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }
}

/// The first page, as large as a page can be.
impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: Self::MAX_LIMIT, cursor: None }
    }
}

/// One page of a listing.
///
/// The listing is at its end when `next` is `None`, and only then: a page may hold fewer items than were
/// asked for, or none, and still be followed by another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
    /// The store's time at which this page was read: what an item's expiry is to be compared with.
    pub read_at: Timestamp,
}

impl<T> Page<T> {
    /// A page. For implementors of a store.
    pub fn new(items: Vec<T>, next: Option<Cursor>, read_at: Timestamp) -> Self {
        Self { items, next, read_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_to_a_thousand_items() {
        assert!(PageRequest::first(0).is_err() && PageRequest::first(1001).is_err());
        assert_eq!(PageRequest::first(1000).unwrap(), PageRequest::default());
    }

    #[test]
    fn debug_shows_no_id() {
        assert!(!format!("{:?}", Cursor::new("8:acs:secret_1")).contains("secret"));
    }
}
