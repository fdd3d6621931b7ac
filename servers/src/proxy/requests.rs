//! What the proxy knows of its clients' requests: a record of them, and the cuts that wait for one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a connection ends at a certain request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server never sees the request.
    Before,
    /// The server has this long to act on the request, and its answer goes nowhere.
    After(Duration),
}

#[derive(Default)]
pub(super) struct Requests {
    armed: Mutex<Vec<(&'static [u8], Cut)>>,
    seen: Mutex<Vec<Chunk>>,
    round_trips: AtomicUsize,
}

impl Requests {
    /// Cuts the connection of the next request that contains the pattern.
    pub(super) fn arm(&self, pattern: &'static [u8], cut: Cut) {
        assert!(!pattern.is_empty(), "an empty pattern is in every request");
        lock(&self.armed).push((pattern, cut));
    }

    /// How many of the recorded chunks contain the pattern.
    pub(super) fn with(&self, pattern: &[u8]) -> usize {
        assert!(!pattern.is_empty(), "an empty pattern is in every request");
        lock(&self.seen).iter().filter(|chunk| chunk.completes(pattern)).count()
    }

    pub(super) fn round_trips(&self) -> usize {
        self.round_trips.load(Ordering::SeqCst)
    }

    /// Records a chunk, and disarms and returns the cut that waited for it.
    ///
    /// `tail` is the end of what the same client sent before, empty at first; it is kept up to date here.
    pub(super) fn record(&self, bytes: &[u8], tail: &mut Vec<u8>, opens_a_turn: bool) -> Option<Cut> {
        if opens_a_turn {
            self.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let chunk = Chunk { overlap: tail.len(), bytes: [tail, bytes].concat() };
        *tail = chunk.bytes[chunk.bytes.len().saturating_sub(Chunk::OVERLAP)..].to_vec();

        let mut armed = lock(&self.armed);
        let cut = armed.iter().position(|(pattern, _)| chunk.completes(pattern)).map(|at| armed.remove(at).1);
        drop(armed);
        lock(&self.seen).push(chunk);
        cut
    }
}

/// What one read found, after the end of what was read before it: a pattern may be split over two reads.
struct Chunk {
    overlap: usize,
    bytes: Vec<u8>,
}

impl Chunk {
    /// The most bytes of a pattern that may have come in earlier chunks.
    const OVERLAP: usize = 64;

    /// Whether the pattern ends in this chunk.
    fn completes(&self, pattern: &[u8]) -> bool {
        let start = self.overlap.saturating_sub(pattern.len() - 1);
        self.bytes[start..].windows(pattern.len()).any(|window| window == pattern)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_counts_in_the_chunk_that_completes_it_however_it_is_split() {
        let text = b"begin; COMMIT; end";
        for first in 0..text.len() {
            for second in first..text.len() {
                let (requests, mut tail) = (Requests::default(), Vec::new());
                requests.arm(b"COMMIT", Cut::Before);
                let chunks = [&text[..first], &text[first..second], &text[second..]];
                let cuts = chunks.map(|chunk| requests.record(chunk, &mut tail, true));
                let completed = [first, second, text.len()].iter().position(|end| *end >= b"begin; COMMIT".len());
                assert_eq!(cuts.iter().position(Option::is_some), completed, "split at {first} and {second}");
                assert_eq!(requests.with(b"COMMIT"), 1, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn cuts_are_taken_once_each_in_the_order_of_their_arming() {
        let (requests, mut tail) = (Requests::default(), Vec::new());
        requests.arm(b"B", Cut::Before);
        requests.arm(b"B", Cut::After(Duration::ZERO));
        let mut cut = |bytes| requests.record(bytes, &mut tail, false);
        assert_eq!(cut(b"A"), None);
        assert_eq!(cut(b"B B"), Some(Cut::Before));
        assert_eq!(cut(b"B"), Some(Cut::After(Duration::ZERO)));
        assert_eq!(cut(b"B"), None);
        assert_eq!((requests.with(b"B"), requests.round_trips()), (3, 0));
    }
}
