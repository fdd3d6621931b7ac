//! Faults to order: what goes wrong between a client and the service.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;

use crate::Operation;

/// Something that goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is closed without an answer, and nothing is done.
    CutBefore,
    /// What was asked for is done, and the connection is closed without an answer: a user that was to be created
    /// exists.
    CutAfter,
    /// Nothing is done, and the answer is an error with this status.
    Status {
        /// The status, from 400 to 599; another one acts as 500.
        status: u16,
        /// The value of the header `Retry-After`, rounded up to whole seconds; without it there is none.
        retry_after: Option<Duration>,
    },
    /// As `Status`, and the error has a `target`, two `details` and an `innererror` that has one in turn.
    NestedError {
        /// As in `Status`.
        status: u16,
    },
    /// The request waits so long before anything is done. It is done even if the client does not wait for it.
    Latency(Duration),
}

impl Fault {
    pub(crate) fn status(status: u16) -> StatusCode {
        let known = StatusCode::from_u16(status).ok();
        known
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The faults that were ordered; see [`Emulator::faults`](crate::Emulator::faults).
///
/// A request meets the first queued fault of its operation, and each rate by itself: latencies add up, and of the
/// others the queued one wins, or else the rate that was set first. What is no operation of the service meets no
/// fault.
#[derive(Debug)]
pub struct Faults(Mutex<Plan>);

#[derive(Debug)]
struct Plan {
    queued: VecDeque<(Option<Operation>, Fault)>,
    rates: Vec<Rate>,
    /// The state of the generator of chances. It always begins with the same one, so that a run can be repeated.
    chance: u64,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    of: Option<Operation>,
    rate: f64,
    fault: Fault,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Injected {
    pub(crate) latency: Duration,
    pub(crate) other: Option<Fault>,
}

impl Injected {
    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Latency(time) => self.latency = self.latency.saturating_add(time),
            other => self.other = self.other.or(Some(other)),
        }
    }
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Plan { queued: VecDeque::new(), rates: Vec::new(), chance: 0 }))
    }

    /// The next request meets this fault; after those that are queued already.
    pub fn next(&self, fault: Fault) {
        self.plan().queued.push_back((None, fault));
    }

    /// The next request of this operation meets this fault; after those that are queued for it already.
    pub fn next_of(&self, operation: Operation, fault: Fault) {
        self.plan().queued.push_back((Some(operation), fault));
    }

    /// From now on this share of all requests, from 0 to 1, meets the fault. Which ones is by chance, but the same in
    /// each run that makes the same calls.
    pub fn rate(&self, rate: f64, fault: Fault) {
        self.plan().rates.push(Rate { of: None, rate, fault });
    }

    /// From now on this share of the requests of one operation, from 0 to 1, meets the fault.
    pub fn rate_of(&self, operation: Operation, rate: f64, fault: Fault) {
        self.plan().rates.push(Rate { of: Some(operation), rate, fault });
    }

    /// How many queued faults no request has met yet.
    pub fn queued(&self) -> usize {
        self.plan().queued.len()
    }

    /// Orders nothing any more: forgets the queue and the rates.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.queued.clear();
        plan.rates.clear();
    }

    /// What goes wrong with a request of this operation; what is queued is used up.
    pub(crate) fn inject(&self, operation: Operation) -> Injected {
        let mut plan = self.plan();
        let mut injected = Injected::default();
        let is_for = |of: Option<Operation>| of.is_none_or(|one| one == operation);
        if let Some(at) = plan.queued.iter().position(|(of, _)| is_for(*of))
            && let Some((_, fault)) = plan.queued.remove(at)
        {
            injected.add(fault);
        }
        let Plan { rates, chance, .. } = &mut *plan;
        for rate in rates.iter().filter(|rate| is_for(rate.of)) {
            if draw(chance) < rate.rate {
                injected.add(rate.fault);
            }
        }
        injected
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number from 0 up to 1, by the generator SplitMix64.
fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    // The upper 32 bits, which a float holds exactly.
    let upper = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
    f64::from(upper) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_queued_fault_waits_for_its_operation() {
        let faults = Faults::new();
        faults.next_of(Operation::DeleteUser, Fault::CutAfter);
        faults.next(Fault::CutBefore);
        assert_eq!(faults.inject(Operation::CreateUser).other, Some(Fault::CutBefore));
        assert_eq!(faults.inject(Operation::CreateUser), Injected::default());
        assert_eq!(faults.queued(), 1);
        assert_eq!(faults.inject(Operation::DeleteUser).other, Some(Fault::CutAfter));
    }

    #[test]
    fn latencies_add_up_and_of_the_others_the_queued_one_wins() {
        let faults = Faults::new();
        faults.rate(1.0, Fault::CutBefore);
        faults.rate(1.0, Fault::Latency(SECOND));
        faults.rate_of(Operation::GetUser, 1.0, Fault::Latency(SECOND));
        faults.next(Fault::CutAfter);
        let injected = faults.inject(Operation::GetUser);
        assert_eq!(injected, Injected { latency: 2 * SECOND, other: Some(Fault::CutAfter) });
        assert_eq!(faults.inject(Operation::IssueToken), Injected { latency: SECOND, other: Some(Fault::CutBefore) });
        faults.clear();
        assert_eq!(faults.inject(Operation::GetUser), Injected::default());
    }

    #[test]
    fn a_rate_is_about_kept_and_repeats_itself() {
        let run = || {
            let faults = Faults::new();
            faults.rate(0.25, Fault::CutBefore);
            (0..4000).map(|_| faults.inject(Operation::GetUser).other.is_some()).collect::<Vec<_>>()
        };
        let hit = run().into_iter().filter(|is_hit| *is_hit).count();
        assert!((900..1100).contains(&hit), "{hit}");
        assert_eq!(run(), run());
    }

    #[test]
    fn rates_of_zero_and_one_are_never_and_always() {
        let faults = Faults::new();
        faults.rate(0.0, Fault::CutBefore);
        faults.rate(1.0, Fault::CutAfter);
        assert!((0..1000).all(|_| faults.inject(Operation::GetUser).other == Some(Fault::CutAfter)));
    }

    #[test]
    fn a_status_that_is_no_error_acts_as_500() {
        assert_eq!(Fault::status(503), StatusCode::SERVICE_UNAVAILABLE);
        for odd in [0, 200, 399, 600, u16::MAX] {
            assert_eq!(Fault::status(odd), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
