//! One part of the reverse direction: mappings by customer, oldest first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::{AcsId, CustomerId, Mapping, Timestamp};

#[derive(Default)]
pub(super) struct Reverse(HashMap<CustomerId, Held>);

type Key = (Timestamp, AcsId);

/// The mappings of one customer. Nearly all customers have one, which then costs one pointer and no tree.
enum Held {
    One(Arc<Mapping>),
    #[allow(clippy::box_collection)]
    // Boxed for the sake of the many that are not: the tree itself is three words.
    Many(Box<BTreeMap<Key, Arc<Mapping>>>),
}

fn key(mapping: &Mapping) -> Key {
    (mapping.created_at, mapping.acs_id.clone())
}

impl Reverse {
    pub(super) fn insert(&mut self, mapping: Arc<Mapping>) {
        let Some(held) = self.0.get_mut(&mapping.customer_id) else {
            self.0.insert(mapping.customer_id.clone(), Held::One(mapping));
            return;
        };
        match held {
            Held::One(other) => {
                *held = Held::Many(Box::new(BTreeMap::from([(key(other), other.clone()), (key(&mapping), mapping)])));
            }
            Held::Many(all) => {
                all.insert(key(&mapping), mapping);
            }
        }
    }

    pub(super) fn remove(&mut self, mapping: &Mapping) {
        match self.0.get_mut(&mapping.customer_id) {
            Some(Held::Many(all)) => {
                all.remove(&key(mapping));
                if all.len() == 1
                    && let Some((_, last)) = all.pop_first()
                {
                    self.0.insert(mapping.customer_id.clone(), Held::One(last));
                }
            }
            Some(Held::One(only)) if only.acs_id == mapping.acs_id => {
                self.0.remove(&mapping.customer_id);
            }
            _ => {}
        }
    }

    /// At most so many mappings of a customer beyond a place, oldest first.
    pub(super) fn of(&self, customer: &CustomerId, after: Option<&Key>, limit: usize) -> Vec<Arc<Mapping>> {
        match self.0.get(customer) {
            None => Vec::new(),
            Some(Held::One(only)) => {
                let beyond = after.is_none_or(|after| key(only) > *after);
                if beyond { vec![only.clone()] } else { Vec::new() }
            }
            Some(Held::Many(all)) => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                all.range((from, Bound::Unbounded)).take(limit).map(|(_, mapping)| mapping.clone()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Revision;

    fn mapping(n: u8) -> Arc<Mapping> {
        let created_at = Timestamp::from_micros(u64::from(n % 4));
        Arc::new(Mapping::new(format!("id{n}").parse().unwrap(), "bob".parse().unwrap(), Revision::new(1), created_at))
    }

    proptest! {
        /// The same as a sorted set, whatever is inserted and removed.
        #[test]
        fn it_lists_what_is_there_oldest_first(steps in prop::collection::vec((any::<bool>(), 0..8_u8), 0..40)) {
            let (mut reverse, mut model) = (Reverse::default(), BTreeMap::new());
            for (insert, n) in steps {
                let mapping = mapping(n);
                if insert && model.insert(key(&mapping), mapping.clone()).is_none() {
                    reverse.insert(mapping);
                } else if !insert {
                    model.remove(&key(&mapping));
                    reverse.remove(&mapping);
                }
            }
            let bob = "bob".parse().unwrap();
            prop_assert_eq!(&reverse.of(&bob, None, 99), &model.values().cloned().collect::<Vec<_>>());
            prop_assert_eq!(reverse.0.is_empty(), model.is_empty());
            for start in model.keys() {
                let beyond: Vec<_> = model.range((Bound::Excluded(start), Bound::Unbounded)).take(2).map(|(_, it)| it.clone()).collect();
                prop_assert_eq!(reverse.of(&bob, Some(start), 2), beyond);
            }
        }
    }
}
