//! Who is signed in: sessions in memory, each known by a random bearer token of which only the hash is kept.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acs_identity::CustomerId;
use acs_identity_examples::Failure;
use ring::digest::{SHA256, digest};

use crate::secret;
use crate::users::Users;

/// How long a session lasts.
pub(crate) const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// How many sessions a user may have; one more ends the oldest.
const MAX_PER_USER: usize = 16;

/// A token is random, so a plain hash is enough, and a table of hashes can be looked up in any way.
type Hash = [u8; 32];

#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Hash, Session>>);

#[derive(Debug)]
struct Session {
    customer: CustomerId,
    since: Instant,
}

impl Session {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= LIFETIME
    }
}

impl Sessions {
    /// Begins a session, and returns its token; none if the account was deleted since the password was checked.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn begin(&self, customer: CustomerId, users: &Users) -> Result<Option<String>, Failure> {
        let token = secret::random()?;
        let mut sessions = self.sessions();
        // While nobody else is at the sessions: who is removed after this has them ended after this.
        if !users.exists(&customer) {
            return Ok(None);
        }
        sessions.retain(|_, session| !session.is_over());
        let of_user = || sessions.iter().filter(|(_, session)| session.customer == customer);
        if of_user().count() >= MAX_PER_USER
            && let Some(oldest) = of_user().min_by_key(|(_, session)| session.since).map(|(hash, _)| *hash)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash(&token), Session { customer, since: Instant::now() });
        Ok(Some(token))
    }

    /// Whose session this token is of, if it is not over.
    pub(crate) fn customer(&self, token: &str) -> Option<CustomerId> {
        let sessions = self.sessions();
        let session = sessions.get(&hash(token)).filter(|session| !session.is_over())?;
        Some(session.customer.clone())
    }

    pub(crate) fn end(&self, token: &str) {
        self.sessions().remove(&hash(token));
    }

    pub(crate) fn end_all(&self, customer: &CustomerId) {
        self.sessions().retain(|_, session| session.customer != *customer);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::DEMO;

    #[test]
    fn an_account_that_is_deleted_between_password_and_session_gets_no_session() {
        let (users, sessions) = (Users::demo().unwrap(), Sessions::default());
        let [alice, bob] = DEMO.map(|(customer, password)| {
            let customer = CustomerId::new(customer).unwrap();
            assert!(users.check(&customer, password));
            customer
        });
        users.remove(&alice);
        sessions.end_all(&alice);
        assert_eq!(sessions.begin(alice, &users).unwrap(), None);
        let token = sessions.begin(bob.clone(), &users).unwrap().unwrap();
        assert_eq!((sessions.customer(&token), sessions.sessions().len()), (Some(bob), 1));
    }
}
