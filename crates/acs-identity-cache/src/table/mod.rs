//! The tables that hold the entries: the one place that knows which cache libraries are used.

mod hashed;
mod moka;
#[cfg(feature = "quick-cache")]
mod quick;

use std::sync::Arc;

use crate::barriers::Key;
use crate::counters::Counters;
pub(crate) use hashed::Hashed;

/// Which library's table holds the entries of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TableKind {
    /// `moka`'s: what is asked for often stays, also through a flood of what is asked for once.
    #[default]
    Moka,
    /// `quick_cache`'s: a hit takes a fraction of the time; what is asked for twice stays.
    #[cfg(feature = "quick-cache")]
    QuickCache,
}

/// A stored answer.
#[derive(Clone)]
pub(crate) struct Entry<T> {
    pub(crate) kept: T,
    /// The number of the last barrier when its load began.
    pub(crate) born: u64,
    /// When its load began, in microseconds.
    pub(crate) loaded: u64,
    pub(crate) fresh_until: u64,
}

/// A bounded map that evicts by its own policy, and does nothing else: loads, lifetimes and invalidation are the
/// [`Lane`](crate::lane::Lane)'s, since few cache libraries' own loads are safe against an invalidation that comes in between,
/// and none knows the other direction.
pub(crate) enum Table<K, T> {
    Moka(moka::Moka<K, T>),
    #[cfg(feature = "quick-cache")]
    Quick(quick::Quick<K, T>),
}

/// Calls the same method of whichever it is.
macro_rules! whichever {
    ($table:expr, $it:ident => $call:expr) => {
        match $table {
            Table::Moka($it) => $call,
            #[cfg(feature = "quick-cache")]
            Table::Quick($it) => $call,
        }
    };
}

impl<K: Key, T: Clone + Send + Sync + 'static> Table<K, T> {
    /// `capacity` counts the weights of the values, each of which is at least 1.
    pub(crate) fn new(kind: TableKind, capacity: u64, weight: fn(&T) -> u32, counters: Arc<Counters>) -> Self {
        match kind {
            TableKind::Moka => Self::Moka(moka::Moka::new(capacity, weight, counters)),
            #[cfg(feature = "quick-cache")]
            TableKind::QuickCache => Self::Quick(quick::Quick::new(capacity, weight, counters)),
        }
    }

    pub(crate) fn get(&self, key: Hashed<&K>) -> Option<Entry<T>> {
        whichever!(self, table => table.get(key))
    }

    pub(crate) fn insert(&self, key: Hashed<&K>, entry: Entry<T>) {
        whichever!(self, table => table.insert(key, entry));
    }

    pub(crate) fn remove(&self, key: Hashed<&K>) {
        whichever!(self, table => table.remove(key));
    }

    pub(crate) fn clear(&self) {
        whichever!(self, table => table.clear());
    }
}
