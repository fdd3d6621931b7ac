//! Runs somebody else's future so that neither a panic nor a hang gets through.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use acs_identity_core::{Error, ErrorKind};
use futures::FutureExt;

use crate::sync::{has_runtime, timeout};

/// Where there is nothing to run tasks and timers on.
pub(crate) fn outside() -> Error {
    Error::new(ErrorKind::Unavailable, "there is no tokio runtime with a timer here").in_backend("cache")
}

/// Awaits a future, at most so long.
///
/// # Errors
/// `Internal` if it panicked, and an error of the given kind if the deadline has passed; the future is dropped then. `Unavailable` outside
/// of a runtime; then nothing was done.
pub(crate) async fn guarded<T>(
    deadline: Duration,
    late: ErrorKind,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    if !has_runtime() {
        return Err(outside());
    }
    match timeout(deadline, caught(future)).await {
        Some(outcome) => outcome,
        None => Err(Error::new(late, "the backend did not answer in time").in_backend("cache")),
    }
}

/// Awaits a future.
///
/// # Errors
/// `Internal` if it panicked.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    let panicked = |_| Error::new(ErrorKind::Internal, "the backend panicked").in_backend("cache");
    AssertUnwindSafe(future).catch_unwind().await.map_err(panicked)
}
