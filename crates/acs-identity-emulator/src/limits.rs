//! The rate limits of the service.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Operation;

/// How many requests of each operation are answered in a window of time; more are refused with 429.
///
/// Each operation has its own window. It begins with the first request after the last window has ended. All requests
/// count that are rightly signed and in a version that has the operation, also those that are refused for their content.
///
/// ```
/// use acs_identity_emulator::{Operation, RateLimits};
/// let two_tokens = RateLimits::unlimited().with(Operation::IssueToken, 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    window: Duration,
    requests: HashMap<Operation, u32>,
}

impl RateLimits {
    /// The window of the service's documented limits.
    const WINDOW: Duration = Duration::from_secs(30);

    /// What the documentation of the service says, for 30 seconds: 1000 requests to create users, as many to create
    /// users with tokens, and to issue tokens; 500 to delete users, to revoke tokens, and for each exchange of
    /// tokens. The rest is without limit.
    ///
    /// Source: [service limits](https://learn.microsoft.com/azure/communication-services/concepts/service-limits).
    pub fn documented() -> Self {
        let many = [Operation::CreateUser, Operation::CreateUserAndToken, Operation::IssueToken];
        let fewer = [
            Operation::DeleteUser,
            Operation::RevokeTokens,
            Operation::ExchangeTeamsUserToken,
            Operation::ExchangeTeamsExtensionToken,
            Operation::ExchangeEntraToken,
        ];
        let requests = many.map(|one| (one, 1000)).into_iter().chain(fewer.map(|one| (one, 500)));
        Self { window: Self::WINDOW, requests: requests.collect() }
    }

    /// No limits.
    pub fn unlimited() -> Self {
        Self { window: Self::WINDOW, requests: HashMap::new() }
    }

    /// The same limits, but for one operation this many requests.
    #[must_use]
    pub fn with(mut self, operation: Operation, requests: u32) -> Self {
        self.requests.insert(operation, requests);
        self
    }

    /// The same limits, for windows of this length.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }
}

/// As [`documented`](RateLimits::documented).
impl Default for RateLimits {
    fn default() -> Self {
        Self::documented()
    }
}

/// The limits, and what was taken of them.
#[derive(Debug)]
pub(crate) struct Windows {
    limits: RateLimits,
    open: Mutex<HashMap<Operation, Window>>,
}

#[derive(Debug)]
struct Window {
    /// On the monotonic clock.
    ends: Duration,
    taken: u32,
}

impl Windows {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// Counts a request; an error is how long to wait. `now` is on the monotonic clock.
    pub(crate) fn take(&self, operation: Operation, now: Duration) -> Result<(), Duration> {
        let Some(&limit) = self.limits.requests.get(&operation) else {
            return Ok(());
        };
        let fresh = || Window { ends: now.saturating_add(self.limits.window), taken: 0 };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let window = open.entry(operation).or_insert_with(fresh);
        if window.ends <= now {
            *window = fresh();
        }
        if window.taken >= limit {
            return Err(window.ends.saturating_sub(now));
        }
        window.taken += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_is_full_until_it_ends() {
        let windows = Windows::new(RateLimits::unlimited().with(Operation::IssueToken, 2));
        let take = |seconds| windows.take(Operation::IssueToken, seconds * SECOND);
        assert_eq!([take(5), take(6), take(7), take(34)], [Ok(()), Ok(()), Err(28 * SECOND), Err(SECOND)]);
        assert_eq!([take(35), take(36), take(37)], [Ok(()), Ok(()), Err(28 * SECOND)]);
        assert_eq!(windows.take(Operation::DeleteUser, SECOND), Ok(()));
    }

    #[test]
    fn the_documented_limits_are_those_of_the_service() {
        let windows = Windows::new(RateLimits::documented());
        let taken = |operation| (0..5000).take_while(|_| windows.take(operation, SECOND).is_ok()).count();
        assert_eq!(taken(Operation::CreateUser), 1000);
        assert_eq!(taken(Operation::CreateUserAndToken), 1000);
        assert_eq!(taken(Operation::IssueToken), 1000);
        assert_eq!(taken(Operation::DeleteUser), 500);
        assert_eq!(taken(Operation::RevokeTokens), 500);
        assert_eq!(taken(Operation::ExchangeTeamsUserToken), 500);
        assert_eq!(taken(Operation::GetUser), 5000);
    }
}
