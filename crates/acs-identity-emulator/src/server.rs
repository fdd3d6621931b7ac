//! Connections: HTTP/1.1 on a socket, with limits of what each can take. Who opens as many as there may be shuts the
//! others out for a while: the emulator is for one machine, and does not tell its clients apart.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;
use crate::request::Request;
use crate::service::{Cut, Service};

/// The most bytes of a body. The largest that makes sense holds a token of Entra ID.
const MAX_BODY: usize = 64 << 10;
/// A head of this many bytes is read. What comes at once with the last of them may make it longer, but never twice as
/// long.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 100;
/// The most connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// How long a head may take, which is also how long a connection may be idle: longer than most clients keep one, so
/// that they do not send a request just as it ends.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may pause that goes on with a body which is refused already.
const LINGER: Duration = Duration::from_secs(1);
/// How long the requests under way may take after a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to accept, when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop`, and then ends them.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, stop: CancellationToken) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // It is never closed.
            let permit = Arc::clone(&free).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, stop) = (Arc::clone(&service), stop.clone());
        connections.spawn(async move {
            connection(stream, service, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // What is still there afterwards is cut as the set is dropped.
    let _ = timeout(STOP_TIMEOUT, all_ended).await;
}

async fn connection(stream: TcpStream, service: Arc<Service>, stop: CancellationToken) {
    // Answers are written at once; where that cannot be set, they come a little later.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| answer(Arc::clone(&service), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    // An error is a client that left or spoke no HTTP, or a cut; it concerns nobody here.
    tokio::select! {
        _ = &mut connection => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// An error ends the connection without an answer.
async fn answer(service: Arc<Service>, request: HttpRequest<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (request, refusal) = read(request).await;
    match refusal {
        Some(refusal) => service.refuse_unread(request, refusal),
        // A task of its own, so that what a client has sent is done even if the client does not wait for the answer.
        None => tokio::spawn(async move { service.handle(request).await }).await.unwrap_or(Err(Cut)),
    }
}

/// Reads the body. A refusal says why it could not be read.
async fn read(request: HttpRequest<Incoming>) -> (Request, Option<Refusal>) {
    let (head, mut body) = request.into_parts();
    let read = timeout(BODY_TIMEOUT, Limited::new(&mut body, MAX_BODY).collect()).await;
    let (body, refusal) = match read {
        Ok(Ok(body)) => (body.to_bytes(), None),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            tokio::spawn(timeout(BODY_TIMEOUT, drain(body)));
            (Bytes::new(), Some(Refusal::too_large(MAX_BODY)))
        }
        Ok(Err(_)) => (Bytes::new(), Some(Refusal::validation("body", "The request body could not be read."))),
        Err(_) => (Bytes::new(), Some(Refusal::timeout())),
    };
    (Request { method: head.method, uri: head.uri, headers: head.headers, body }, refusal)
}

/// Takes the rest of a body, so that a client gets its answer that looks for none before it has sent all.
async fn drain(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = timeout(LINGER, body.frame()).await {}
}
