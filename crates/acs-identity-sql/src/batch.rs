//! Statements that come in a few fixed sizes, so that a connection can keep each of them prepared.

/// One statement for each of a few numbers of items.
#[derive(Debug)]
pub(crate) struct Batch(Vec<(usize, String)>);

impl Batch {
    /// The statements of these sizes, in rising order.
    pub(crate) fn new(sizes: &[usize], sql: impl Fn(usize) -> String) -> Self {
        Self(sizes.iter().map(|size| (*size, sql(*size))).collect())
    }

    /// The most items of one statement.
    pub(crate) fn largest(&self) -> usize {
        self.0.last().map_or(0, |(size, _)| *size)
    }

    /// The smallest statement that takes so many items or more; the largest one if there is none.
    pub(crate) fn covering(&self, count: usize) -> Option<(usize, &str)> {
        let found = self.0.iter().find(|(size, _)| *size >= count).or(self.0.last());
        found.map(|(size, sql)| (*size, sql.as_str()))
    }

    /// The largest statement that takes at most so many items.
    pub(crate) fn within(&self, count: usize) -> Option<(usize, &str)> {
        self.0.iter().rev().find(|(size, _)| *size <= count).map(|(size, sql)| (*size, sql.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_that_fits_is_chosen() {
        let batch = Batch::new(&[1, 8, 64], |size| format!("of {size}"));
        assert_eq!(batch.largest(), 64);
        assert_eq!(batch.covering(1), Some((1, "of 1")));
        assert_eq!(batch.covering(9), Some((64, "of 64")));
        assert_eq!(batch.covering(65), Some((64, "of 64")));
        assert_eq!(batch.within(7), Some((1, "of 1")));
        assert_eq!(batch.within(100), Some((64, "of 64")));
        assert_eq!(batch.within(0), None);
    }
}
