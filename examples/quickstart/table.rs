//! What the quickstart prints for people.

use std::io::{self, Write};

use acs_identity::cache::CacheStats;

/// A table whose columns are as wide as their widest cell.
pub(crate) struct Table<const COLUMNS: usize>(Vec<[String; COLUMNS]>);

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(header: [&str; COLUMNS]) -> Self {
        Self(vec![header.map(str::to_owned)])
    }

    /// Adds a row. A control character, which only the type of an event can hold, is replaced.
    pub(crate) fn push(&mut self, row: [&str; COLUMNS]) {
        self.0.push(row.map(|cell| cell.replace(char::is_control, "\u{fffd}")));
    }

    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for row in &self.0 {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// The beginning and the end of a text of which the middle tells people nothing.
pub(crate) fn shortened(text: &str, begin: usize, end: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= begin + end + 1 {
        return text.to_owned();
    }
    let (begin, end) = (&chars[..begin], &chars[chars.len() - end..]);
    begin.iter().chain(&['…']).chain(end).collect()
}

/// What the cache has counted.
pub(crate) fn print_counters(out: &mut impl Write, stats: &CacheStats) -> io::Result<()> {
    let counters = [
        ("hits", stats.hits),
        ("negative hits", stats.negative_hits),
        ("misses", stats.misses),
        ("joined", stats.joined),
        ("loaded", stats.loaded),
        ("failed", stats.failed),
        ("refused as stale", stats.refused_as_stale),
        ("evicted", stats.evicted),
    ];
    let counters: Vec<String> = counters.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(out, "cache: {}", counters.join(", "))
}
