//! One at a time for each customer, within this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use acs_identity::CustomerId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Turns of customers. Two first logins of one customer come one after the other; those of different customers do not wait.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<CustomerId, Weak<AsyncMutex<()>>>>);

impl Locks {
    /// Waits for the customer's turn, which lasts until the answer is dropped. First come, first served.
    pub(crate) async fn turn(&self, customer: &CustomerId) -> OwnedMutexGuard<()> {
        self.of(customer).lock_owned().await
    }

    fn of(&self, customer: &CustomerId) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(customer).and_then(Weak::upgrade) {
            return lock;
        }
        // So the table is never larger than the customers who are at it.
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(customer.clone(), Arc::downgrade(&lock));
        lock
    }
}
