//! The tables that hold the entries: the one place that knows which cache libraries are used.

mod hashed;
mod moka;
#[cfg(feature = "quick-cache")]
mod quick;

use std::sync::Arc;

use crate::barriers::Key;
use crate::counters::Counters;
use crate::sync::{AtomicBool, Ordering};
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
pub(crate) struct Table<K, T> {
    kind: Kind<K, T>,
    /// Whether anything was ever put in. There is mostly nothing in the table of absent answers, and each miss looks there.
    is_used: AtomicBool,
}

enum Kind<K, T> {
    Moka(moka::Moka<K, T>),
    #[cfg(feature = "quick-cache")]
    Quick(quick::Quick<K, T>),
}

/// Calls the same method of whichever it is.
macro_rules! whichever {
    ($table:expr, $it:ident => $call:expr) => {
        match &$table.kind {
            Kind::Moka($it) => $call,
            #[cfg(feature = "quick-cache")]
            Kind::Quick($it) => $call,
        }
    };
}

impl<K: Key, T: Clone + Send + Sync + 'static> Table<K, T> {
    /// `capacity` counts the weights of the values, each of which is at least 1 and at most the `heaviest`.
    pub(crate) fn new(
        kind: TableKind,
        capacity: u64,
        weight: fn(&T) -> u32,
        #[cfg_attr(not(feature = "quick-cache"), allow(unused_variables))] heaviest: u32,
        counters: Arc<Counters>,
    ) -> Self {
        let kind = match kind {
            TableKind::Moka => Kind::Moka(moka::Moka::new(capacity, weight, counters)),
            #[cfg(feature = "quick-cache")]
            TableKind::QuickCache => Kind::Quick(quick::Quick::new(capacity, weight, heaviest, counters)),
        };
        Self { kind, is_used: AtomicBool::new(false) }
    }

    pub(crate) fn get(&self, key: Hashed<&K>) -> Option<Entry<T>> {
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        whichever!(self, table => table.get(key))
    }

    pub(crate) fn insert(&self, key: Hashed<&K>, entry: Entry<T>) {
        if !self.is_used.load(Ordering::Acquire) {
            self.is_used.store(true, Ordering::Release);
        }
        whichever!(self, table => table.insert(key, entry));
    }

    pub(crate) fn remove(&self, key: Hashed<&K>) {
        if self.is_used.load(Ordering::Acquire) {
            whichever!(self, table => table.remove(key));
        }
    }

    pub(crate) fn clear(&self) {
        whichever!(self, table => table.clear());
    }
}

#[cfg(test)]
#[cfg(not(acs_identity_model))]
mod tests {
    use acs_identity_core::AcsId;

    use super::*;

    const KINDS: &[TableKind] = &[
        TableKind::Moka,
        #[cfg(feature = "quick-cache")]
        TableKind::QuickCache,
    ];

    /// A table of numbers, which are their own weights, and what it has pushed out.
    struct Numbers(Table<AcsId, u32>, Arc<Counters>);

    impl Numbers {
        fn new(kind: TableKind, capacity: u64) -> Self {
            let counters = Arc::new(Counters::default());
            Self(Table::new(kind, capacity, |number| *number, 1000, counters.clone()), counters)
        }

        fn insert(&self, id: &AcsId, number: u32) {
            self.0.insert(hashed(id), Entry { kept: number, born: 0, loaded: 0, fresh_until: 0 });
        }

        fn get(&self, id: &AcsId) -> Option<u32> {
            self.0.get(hashed(id)).map(|entry| entry.kept)
        }

        fn evicted(&self) -> u64 {
            match &self.0.kind {
                Kind::Moka(table) => table.settle(),
                #[cfg(feature = "quick-cache")]
                Kind::Quick(_) => {}
            }
            self.1.stats().evicted
        }
    }

    fn hashed(id: &AcsId) -> Hashed<&AcsId> {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        Hashed { hash: BuildHasherDefault::<DefaultHasher>::new().hash_one(id), key: id }
    }

    fn id(n: u32) -> AcsId {
        format!("id{n}").parse().unwrap()
    }

    #[test]
    fn what_takes_the_place_of_the_same_key_or_is_removed_is_not_pushed_out() {
        for kind in KINDS {
            let numbers = Numbers::new(*kind, 100_000);
            for number in 1..=10 {
                numbers.insert(&id(1), number);
                assert_eq!(numbers.get(&id(1)), Some(number));
            }
            numbers.0.remove(hashed(&id(1)));
            numbers.insert(&id(2), 1);
            numbers.0.clear();
            assert_eq!((numbers.get(&id(1)), numbers.get(&id(2)), numbers.evicted()), (None, None, 0), "{kind:?}");
        }
    }

    #[test]
    fn what_is_pushed_out_or_too_heavy_is_counted() {
        for kind in KINDS {
            let numbers = Numbers::new(*kind, 100);
            (0..300).for_each(|n| numbers.insert(&id(n), 1));
            assert_eq!(numbers.evicted(), 200, "{kind:?}");
            numbers.insert(&id(300), 101);
            assert_eq!((numbers.evicted(), numbers.get(&id(300))), (201, None), "{kind:?}");
        }
    }

    #[test]
    fn what_weighs_as_much_as_anything_may_is_kept_if_the_capacity_is_twice_that() {
        for kind in KINDS {
            for capacity in [2_000, 2_500, 10_000, 100_000] {
                let numbers = Numbers::new(*kind, capacity);
                numbers.insert(&id(1), 1000);
                assert_eq!((numbers.get(&id(1)), numbers.evicted()), (Some(1000), 0), "{kind:?} of {capacity}");
            }
        }
    }
}
