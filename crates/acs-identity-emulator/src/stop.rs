//! Being told to stop.

use std::io;

/// Listens from now on for what tells a program to stop, Ctrl-C or SIGTERM; the future ends when it has come. For programs
/// that run an emulator, such as the one of this crate.
///
/// # Errors
/// If the system does not let it listen.
///
/// # Panics
/// Outside of a tokio runtime, or in one without I/O.
#[cfg(unix)]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens from now on for Ctrl-C; the future ends when it has come. For programs that run an emulator, such as the one of
/// this crate.
///
/// # Errors
/// If the system does not let it listen.
///
/// # Panics
/// Outside of a tokio runtime, or in one without I/O.
#[cfg(windows)]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
