//! One proxied connection: two directions, each a queue between a socket to read and a socket to write.

use std::collections::VecDeque;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::requests::Cut;

/// The fault that holds for all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Refuse,
    Stall,
    StallAnswers,
    HalfClose,
    Delay(Duration),
}

/// A socket that is reset when it is dropped, unless its connection has ended in order.
pub(super) struct ResetOnDrop {
    stream: TcpStream,
    ended: bool,
}

impl ResetOnDrop {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Best effort: without it small chunks wait for one another, and nothing else changes.
        let _ = stream.set_nodelay(true);
        Self { stream, ended: false }
    }

    /// Whether its other end has one of these addresses.
    pub(super) fn comes_from(&self, sources: &[IpAddr]) -> bool {
        self.stream.peer_addr().is_ok_and(|peer| sources.contains(&peer.ip()))
    }

    /// Closes it in order: what was written and not read by the other end yet still arrives.
    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if !self.ended {
            // It fails only for a socket that is closed already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Counts a connection for as long as it is there.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Forwards between the client and the server until both directions have ended.
///
/// Dropping the future, before its first poll too, resets the connection.
pub(super) fn serve(
    mut client: ResetOnDrop,
    upstream: SocketAddr,
    mut fault: watch::Receiver<Fault>,
    shared: Arc<Shared>,
) -> impl Future<Output = ()> + Send {
    let counted = Counted::new(shared);
    async move {
        // Behind a black hole there is no server to connect to.
        if fault.wait_for(|fault| *fault != Fault::Stall).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let mut server = ResetOnDrop::new(server);

        let link = Link { shared: &counted.0, answered: AtomicBool::new(true), muted: AtomicBool::new(false) };
        let (from_client, to_client) = client.stream.split();
        let (from_server, to_server) = server.stream.split();
        let requests = pump(Direction::Requests, from_client, to_server, fault.clone(), &link);
        let answers = pump(Direction::Answers, from_server, to_client, fault, &link);
        if tokio::try_join!(requests, answers).is_ok() {
            client.end();
            server.end();
        }
    }
}

/// What the two directions of a connection tell each other.
struct Link<'a> {
    shared: &'a Shared,
    /// Whether the client's next chunk opens a turn.
    answered: AtomicBool,
    /// Whether the server's answers are held back for good, since a request is being forwarded that ends in a cut.
    muted: AtomicBool,
}

impl Link<'_> {
    fn requested(&self, bytes: &[u8], tail: &mut Vec<u8>) -> Option<Cut> {
        let opens_a_turn = self.answered.swap(false, Ordering::SeqCst);
        self.shared.requests.record(bytes, tail, opens_a_turn)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

/// Something that was read and waits to be forwarded.
struct Held {
    arrived: Instant,
    what: What,
}

enum What {
    Chunk(Vec<u8>, Option<Cut>),
    Finished,
    Reset,
}

/// The connection is to be reset.
struct Reset;

/// The most bytes that wait in one direction before no more are read.
const MAX_HELD: usize = 16 << 20;

/// Forwards one direction to its end.
async fn pump(
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: watch::Receiver<Fault>,
    link: &Link<'_>,
) -> Result<(), Reset> {
    let mut buffer = vec![0; 64 << 10];
    let mut tail = Vec::new();
    let mut queue: VecDeque<Held> = VecDeque::new();
    let mut queued = 0;
    let mut reading = true;
    let mut half_closed = false;
    loop {
        let fault = *faults.borrow_and_update();
        if direction == Direction::Answers && fault == Fault::HalfClose && !half_closed {
            half_closed = true;
            // It fails only for a client that is gone, and then the requests end too.
            let _ = to.shutdown().await;
        }
        let muted = direction == Direction::Answers && link.muted.load(Ordering::SeqCst);
        let delay = match fault {
            _ if muted => None,
            Fault::Stall => None,
            Fault::StallAnswers if direction == Direction::Answers => None,
            Fault::Delay(by) => Some(by),
            _ => Some(Duration::ZERO),
        };

        tokio::select! {
            // The order matters: a fault is heeded before anything is forwarded, and what is there goes before more is read.
            biased;
            changed = faults.changed() => changed.map_err(|_| Reset)?,
            written = forward(queue.front(), delay, half_closed, &mut to, link) => {
                let written = match written? {
                    Forwarded::All => return Ok(()),
                    Forwarded::Bytes(written) => written,
                };
                queued -= written;
                if direction == Direction::Answers && !half_closed {
                    link.answered.store(true, Ordering::SeqCst);
                }
                if let Some(Held { what: What::Chunk(bytes, cut), .. }) = queue.front_mut() {
                    bytes.drain(..written);
                    if bytes.is_empty() {
                        if let Some(Cut::After(time)) = cut {
                            sleep(*time).await;
                            return Err(Reset);
                        }
                        queue.pop_front();
                    }
                }
            }
            read = from.read(&mut buffer), if reading && queued < MAX_HELD => {
                let what = match read {
                    Ok(0) => What::Finished,
                    Ok(length) => {
                        let bytes = buffer[..length].to_vec();
                        queued += length;
                        let cut = match direction {
                            Direction::Requests => link.requested(&bytes, &mut tail),
                            Direction::Answers => None,
                        };
                        What::Chunk(bytes, cut)
                    }
                    Err(_) => What::Reset,
                };
                reading = matches!(what, What::Chunk(..));
                queue.push_back(Held { arrived: Instant::now(), what });
            }
        }
    }
}

enum Forwarded {
    /// So many bytes of the front.
    Bytes(usize),
    /// The direction has ended.
    All,
}

/// Forwards of the queue's front what the socket takes, when its time has come. Cancelled, it has forwarded nothing.
async fn forward(
    front: Option<&Held>,
    delay: Option<Duration>,
    half_closed: bool,
    to: &mut WriteHalf<'_>,
    link: &Link<'_>,
) -> Result<Forwarded, Reset> {
    let (Some(Held { arrived, what }), Some(delay)) = (front, delay) else { return pending().await };
    if !delay.is_zero() {
        match arrived.checked_add(delay) {
            Some(time) => sleep_until(time).await,
            None => pending().await,
        }
    }
    match what {
        What::Chunk(_, Some(Cut::Before)) | What::Reset => Err(Reset),
        What::Chunk(bytes, _) if half_closed => Ok(Forwarded::Bytes(bytes.len())),
        What::Chunk(bytes, cut) => {
            if cut.is_some() {
                link.muted.store(true, Ordering::SeqCst);
            }
            match to.write(bytes).await {
                Ok(written) => Ok(Forwarded::Bytes(written)),
                Err(_) if cut.is_some() => Err(Reset),
                // The end of this direction only: an answer that says why may still be on its way in the other, which
                // then finds the end or the reset behind it.
                Err(_) => Ok(Forwarded::All),
            }
        }
        What::Finished => {
            // It fails only for a socket that is closed already.
            let _ = to.shutdown().await;
            Ok(Forwarded::All)
        }
    }
}
