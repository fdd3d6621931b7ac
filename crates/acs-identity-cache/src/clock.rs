//! The cache's time: microseconds of a monotonic clock.

use std::sync::Arc;

use acs_identity_core::Clock;

use crate::values::micros;

/// Where the time comes from.
#[derive(Debug, Clone)]
pub(crate) struct Time(pub(crate) Arc<dyn Clock>);

impl Time {
    pub(crate) fn now(&self) -> u64 {
        micros(self.0.monotonic())
    }
}
