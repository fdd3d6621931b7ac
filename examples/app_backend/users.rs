//! The application's own users. A real application has them in its database, with slow password hashes such as Argon2, or
//! leaves signing in to an identity provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use acs_identity::CustomerId;
use acs_identity_examples::Failure;

use crate::secret::{self, Secret};

/// Who can sign in, by which password. Everybody knows these: the demo listens on this machine alone.
pub(crate) const DEMO: [(&str, &str); 2] =
    [("alice@contoso.com", "correct-horse"), ("bob@contoso.com", "battery-staple")];

/// The users, in memory: whoever has deleted the account is back after a restart.
#[derive(Debug)]
pub(crate) struct Users {
    passwords: Mutex<HashMap<CustomerId, Secret>>,
    /// What the password of a user who does not exist is compared with, so that both take as long.
    nobody: Secret,
}

impl Users {
    pub(crate) fn demo() -> Result<Self, Failure> {
        let mut passwords = HashMap::new();
        for (customer, password) in DEMO {
            passwords.insert(CustomerId::new(customer)?, Secret::new(password)?);
        }
        Ok(Self { passwords: Mutex::new(passwords), nobody: Secret::new(&secret::random()?)? })
    }

    /// Whether the user exists and this is the password.
    pub(crate) fn check(&self, customer: &CustomerId, password: &str) -> bool {
        self.passwords().get(customer).unwrap_or(&self.nobody).is(password)
    }

    pub(crate) fn exists(&self, customer: &CustomerId) -> bool {
        self.passwords().contains_key(customer)
    }

    pub(crate) fn remove(&self, customer: &CustomerId) {
        self.passwords().remove(customer);
    }

    fn passwords(&self) -> MutexGuard<'_, HashMap<CustomerId, Secret>> {
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
