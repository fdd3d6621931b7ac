//! Connections: HTTP/1.1 on a socket, with limits of how many there are and of how long each may keep others out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_examples::complain;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The most connections at a time; more wait to be accepted. Systems give a process 256 open files or more, and the
/// database and ACS need some.
const MAX_CONNECTIONS: usize = 200;
/// How long the head of a request may take, which is also how long a connection may be idle. Shorter than [`DRAIN`].
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections may stay open after a stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Between two tries to accept, when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is told to stop, and then lets the requests under way end.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            // It is never closed.
            let permit = free.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, ending) = (router.clone(), ending.clone());
        connections.spawn(async move {
            // An error is a client that left, was too slow or spoke no HTTP.
            let _ = connection(stream, router, ending).await;
            drop(permit);
        });
    }
    drop(listener);
    ending.cancel();
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, all_ended).await.is_err() {
        complain("connections that were still open at the end were cut");
    }
}

/// `axum::serve` does the same, but waits for the head of a request as long as it takes.
async fn connection(stream: TcpStream, router: Router, ending: CancellationToken) -> Result<(), hyper::Error> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        ended = &mut connection => return ended,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
