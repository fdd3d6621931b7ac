//! What `tracing` is told: a span for each call of a load and for each write, and an event when the change feed or the
//! breaker turns. Nothing of a hit, which is to cost nothing, and nothing by which somebody could be known.

use acs_identity_core::{ErrorKind, LostReason};
use tracing::field::{Empty, debug};
use tracing::{Span, debug_span, info, warn};

const TARGET: &str = "acs_identity_cache";

/// Which way is asked; also a label of the metrics.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Direction {
    /// For the customer of an ACS ID.
    ById,
    /// For the ACS IDs of a customer.
    ByCustomer,
}

impl Direction {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ById => "by_id",
            Self::ByCustomer => "by_customer",
        }
    }
}

/// A call of a load, which asks for so many keys. It serves all who wait for one of them, so it is nobody's child.
pub(crate) fn load(direction: Direction, asked: usize) -> Span {
    debug_span!(target: TARGET, parent: None, "load", direction = direction.name(), asked, outcome = Empty)
}

/// A write of so many items, on behalf of who makes this.
pub(crate) fn write(operation: &'static str, items: usize) -> Span {
    debug_span!(target: TARGET, "write", operation, items, outcome = Empty)
}

/// How a call ended; of several answers, how the worst of them is.
pub(crate) fn ended(span: &Span, worst: Option<ErrorKind>) {
    match worst {
        Some(kind) => span.record("outcome", debug(kind)),
        None => span.record("outcome", "ok"),
    };
}

pub(crate) fn feed_is_live(epoch: u64) {
    info!(target: TARGET, epoch, "the change feed is live: answers are kept");
}

pub(crate) fn feed_is_lost(reason: LostReason) {
    warn!(target: TARGET, ?reason, "the change feed is lost: no answer that is kept is fresh");
}

pub(crate) fn feed_has_ended() {
    warn!(target: TARGET, "the change feed has ended: no answer that is kept is fresh");
}

pub(crate) fn feed_has_panicked() {
    warn!(target: TARGET, "the change feed has panicked: no answer that is kept is fresh");
}

pub(crate) fn feed_is_not_heard() {
    warn!(target: TARGET, "the runtime that follows the change feed stood still: no answer that is kept is fresh");
}

pub(crate) fn breaker_opened(failures: u32) {
    warn!(target: TARGET, failures, "the source keeps failing, and is asked only now and then");
}

pub(crate) fn breaker_closed() {
    info!(target: TARGET, "the source works again");
}

/// A task was dropped before its end.
pub(crate) fn runtime_lost(task: &'static str) {
    warn!(target: TARGET, task, "a task was lost: its runtime has ended, or there was none");
}
