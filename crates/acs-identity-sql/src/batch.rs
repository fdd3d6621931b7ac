//! Statements about many items at once, in the two ways that databases have.

use std::borrow::Cow;

/// A statement that takes many items.
#[derive(Debug)]
pub(crate) enum Batch {
    /// The items are parameters, so there is one statement for each of a few fixed numbers of items, in rising order: a
    /// connection can keep each of them prepared.
    Sized(Vec<(usize, String)>),
    /// Each column of the items is one parameter, an array.
    Arrays(Cow<'static, str>),
}

/// Sizes of a statement that looks for several IDs. A list is filled up by repeating its last ID; each repetition costs nearly as
/// much as another ID, and each size a prepared statement for each connection.
pub(crate) const LOOKUPS: &[usize] = &[1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/// The most items of one statement that takes arrays: far from the limits of any message.
const ARRAY: usize = 16_384;

impl Batch {
    /// The statements of these sizes, in rising order.
    pub(crate) fn sized(sizes: &[usize], sql: impl Fn(usize) -> String) -> Self {
        Self::Sized(sizes.iter().map(|size| (*size, sql(*size))).collect())
    }

    /// The statement with arrays.
    pub(crate) const fn arrays(sql: &'static str) -> Self {
        Self::Arrays(Cow::Borrowed(sql))
    }

    /// The most items of one statement.
    pub(crate) fn largest(&self) -> usize {
        match self {
            Self::Sized(statements) => statements.last().map_or(0, |(size, _)| *size),
            Self::Arrays(_) => ARRAY,
        }
    }

    /// The smallest statement that takes so many items or more, and how many it takes; the largest one if there is none.
    pub(crate) fn covering(&self, count: usize) -> Option<(usize, &str)> {
        match self {
            Self::Sized(statements) => {
                let found = statements.iter().find(|(size, _)| *size >= count).or(statements.last());
                found.map(|(size, sql)| (*size, sql.as_str()))
            }
            Self::Arrays(sql) => Some((count.min(ARRAY), sql)),
        }
    }

    /// The largest statement that takes at most so many items, and how many it takes; `None` if there are no items.
    pub(crate) fn within(&self, count: usize) -> Option<(usize, &str)> {
        match self {
            Self::Sized(statements) => {
                let found = statements.iter().rev().find(|(size, _)| *size <= count);
                found.map(|(size, sql)| (*size, sql.as_str()))
            }
            Self::Arrays(sql) => (count > 0).then_some((count.min(ARRAY), sql)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_that_fits_is_chosen() {
        let batch = Batch::sized(&[1, 8, 64], |size| format!("of {size}"));
        assert_eq!(batch.largest(), 64);
        assert_eq!(batch.covering(1), Some((1, "of 1")));
        assert_eq!(batch.covering(9), Some((64, "of 64")));
        assert_eq!(batch.covering(65), Some((64, "of 64")));
        assert_eq!(batch.within(7), Some((1, "of 1")));
        assert_eq!(batch.within(100), Some((64, "of 64")));
        assert_eq!(batch.within(0), None);
    }

    #[test]
    fn arrays_take_any_number_up_to_their_limit() {
        let batch = Batch::arrays("arrays");
        assert_eq!(batch.covering(9), Some((9, "arrays")));
        assert_eq!(batch.within(ARRAY + 1), Some((ARRAY, "arrays")));
        assert_eq!(batch.within(0), None);
    }
}
