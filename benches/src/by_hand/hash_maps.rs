//! The mappings in two hash maps, one for each direction.

use std::collections::HashMap;

/// Both directions.
#[derive(Debug, Default)]
pub struct ByHand {
    forward: HashMap<String, String>,
    reverse: HashMap<String, Vec<String>>,
}

impl ByHand {
    /// Links an ACS ID to a customer.
    pub fn link(&mut self, acs_id: &str, customer: &str) {
        self.forward.insert(acs_id.to_owned(), customer.to_owned());
        self.reverse.entry(customer.to_owned()).or_default().push(acs_id.to_owned());
    }

    /// How many ACS IDs there are, looked up so that nothing is optimised away.
    pub fn len(&self) -> usize {
        self.forward.values().filter(|customer| self.reverse.contains_key(*customer)).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.forward.is_empty()
    }
}
