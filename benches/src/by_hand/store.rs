//! What is the same by hand with each store.

use std::collections::HashMap;
use std::fmt::Debug;

/// The namespace of a store that names none.
pub const NAMESPACE: &str = "default";
/// Customer, properties, expiry, revision.
pub type Found = (String, Option<String>, Option<i64>, i64);
/// The same and the ACS ID.
pub type Row = (String, Option<String>, Option<i64>, i64, String);
/// An ACS ID and its customer.
pub type New = (String, String);

/// Lookups and inserts with the plain driver: in SQL on the store's own tables.
pub trait ByHand: Clone + Send + Sync + 'static {
    /// What a lookup finds.
    type Found: Send + 'static;
    /// The driver's error.
    type Error: Debug + Send + 'static;

    /// One lookup.
    fn resolve(self, acs_id: String) -> impl Future<Output = Result<Option<Self::Found>, Self::Error>> + Send;

    /// Many lookups in one statement; one answer for each ID, in order.
    fn resolve_many(
        self,
        acs_ids: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<Self::Found>>, Self::Error>> + Send;

    /// Many new rows in one statement, whose IDs are not there yet.
    fn insert_many(self, new: Vec<New>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// One answer for each ID, in order.
pub fn in_order(acs_ids: &[String], rows: Vec<Row>) -> Vec<Option<Found>> {
    let by_id: HashMap<String, Found> = rows
        .into_iter()
        .map(|(customer, properties, expiry, revision, id)| (id, (customer, properties, expiry, revision)))
        .collect();
    acs_ids.iter().map(|id| by_id.get(id).cloned()).collect()
}
