//! A TCP proxy that fails on command, for fault tests of database clients.
//!
//! A client is pointed at the proxy by [`Proxy::url`]; whatever the network can do to a connection is then one call away:
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! # let server = ([127, 0, 0, 1], 5432).into();
//! let proxy = acs_identity_servers::proxy::Proxy::start(server)?;
//! let url = proxy.url("postgres://tester@localhost:5432/test");
//! proxy.cut_after_request(b"COMMIT", std::time::Duration::from_millis(100));
//! // … the client at `url` commits, and never learns that it did.
//! # Ok(())
//! # }
//! ```
//!
//! It sees bytes, not a protocol: patterns are found in unencrypted connections only.

mod connection;
mod door;
mod requests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use connection::Fault;
use door::Door;
use requests::{Cut, Requests};

/// A proxy in front of one server, on a free port of 127.0.0.1, with faults at will.
///
/// It runs on a thread and a runtime of its own, so it goes on while a test's runtime is busy or blocked, and stops when
/// dropped: the port is closed and open connections are reset.
///
/// [`refuse`](Self::refuse), [`stall`](Self::stall), [`stall_answers`](Self::stall_answers),
/// [`half_close`](Self::half_close) and [`delay`](Self::delay) are faults that last until [`heal`](Self::heal) or until
/// another of them takes their place. A method has taken effect when it returns: nothing that is sent afterwards escapes
/// it. It blocks the calling thread no longer than the proxy's own thread needs to take note.
///
/// # Panics
/// The methods that set a fault or cut panic if the operating system denies the proxy its port or a socket: a test cannot
/// go on without the fault it asked for.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    commands: Option<mpsc::UnboundedSender<(Command, Done)>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle and the proxy's thread both see.
#[derive(Default)]
struct Shared {
    open: AtomicUsize,
    requests: Requests,
}

enum Command {
    Set(Fault),
    Cut,
    ShutOut(Vec<IpAddr>),
}

/// Tells the caller that its command has taken effect.
type Done = std_mpsc::Sender<io::Result<()>>;

impl Proxy {
    /// Starts a proxy in front of `upstream`, which need not be there yet.
    ///
    /// While `upstream` can't be reached, connections are accepted and reset.
    ///
    /// # Errors
    /// Those of the operating system in making a socket, a thread or a runtime.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (commands, inbox) = mpsc::unbounded_channel();
        let (ready, started) = std_mpsc::channel();
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            // The runtime is made on this thread, since one that fails to start must not be dropped inside another.
            move || match open() {
                Ok((runtime, door, address)) => {
                    // Nobody listens if the caller is gone, and then the commands end too.
                    let _ = ready.send(Ok(address));
                    runtime.block_on(run(upstream, door, inbox, shared));
                }
                Err(error) => _ = ready.send(Err(error)),
            }
        })?;
        let address = started.recv().map_err(io::Error::other)??;
        Ok(Self { address, shared, commands: Some(commands), thread: Some(thread) })
    }

    /// The port of 127.0.0.1 on which the proxy listens, the same for all its life.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The same URL with the proxy's host and port in place.
    ///
    /// Query parameters by which database drivers override the URL's host (`host`, `hostaddr`, `port`, `socket`) are left
    /// out, as the client would go past the proxy.
    ///
    /// # Panics
    /// If `url` has no `://`.
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }

    /// The number of proxied connections that are open, those to a server still being connected included.
    ///
    /// A connection counts soon after the client's connect, certainly once something was answered on it, and until both
    /// directions have ended.
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Refuses new connections and resets all open ones (RST to both ends).
    pub fn refuse(&self) {
        self.tell(Command::Set(Fault::Refuse));
    }

    /// Resets all open connections (RST to both ends) once; new ones are accepted and forwarded.
    pub fn cut(&self) {
        self.tell(Command::Cut);
    }

    /// A black hole: new connections are accepted, bytes are taken (up to 16 MiB a direction), and nothing is forwarded
    /// in either direction, the end of a connection neither.
    ///
    /// When it ends, what was held back is delivered as a network would that comes back, requests of a client that
    /// has hung up in the meantime included.
    pub fn stall(&self) {
        self.tell(Command::Set(Fault::Stall));
    }

    /// Requests are forwarded, the server's answers are held back.
    pub fn stall_answers(&self) {
        self.tell(Command::Set(Fault::StallAnswers));
    }

    /// Ends the server's direction of every connection (FIN to the client, answers are thrown away), while what the
    /// client sends goes on being forwarded.
    ///
    /// A connection that was half-closed stays so after [`heal`](Self::heal).
    pub fn half_close(&self) {
        self.tell(Command::Set(Fault::HalfClose));
    }

    /// Delivers each chunk, in both directions, this much after it arrived, in order.
    pub fn delay(&self, by: Duration) {
        self.tell(Command::Set(Fault::Delay(by)));
    }

    /// Resets all open connections (RST to both ends) once; from now on those that come from these addresses are reset, too, and all
    /// others are forwarded. It replaces the addresses that were given before, and lasts beyond [`heal`](Self::heal).
    ///
    /// With servers that each connect from an address of their own, such as 127.0.0.2, this cuts one off from another.
    pub fn shut_out(&self, sources: &[IpAddr]) {
        self.tell(Command::ShutOut(sources.to_vec()));
    }

    /// Ends the fault: what was held back is delivered where the connection is still open, and the proxy listens again,
    /// on the same port.
    ///
    /// Cuts that wait for a request go on waiting.
    pub fn heal(&self) {
        self.tell(Command::Set(Fault::None));
    }

    /// Waits, in the background, for the next chunk from a client that contains `pattern`, forwards it, gives the server
    /// `after` to act on it, and then resets that connection. From the forwarding on, nothing of the server reaches the client.
    ///
    /// Happens once. A chunk is what one read finds; a pattern that is split over chunks counts in the one that completes it.
    ///
    /// # Panics
    /// If `pattern` is empty.
    pub fn cut_after_request(&self, pattern: &'static [u8], after: Duration) {
        self.shared.requests.arm(pattern, Cut::After(after));
    }

    /// As [`cut_after_request`](Self::cut_after_request), but the connection is reset before the chunk is forwarded: the
    /// server never sees it.
    ///
    /// # Panics
    /// If `pattern` is empty.
    pub fn cut_before_request(&self, pattern: &'static [u8]) {
        self.shared.requests.arm(pattern, Cut::Before);
    }

    /// How many chunks from clients contained `pattern` since the start, those that were held back or cut included.
    ///
    /// # Panics
    /// If `pattern` is empty.
    pub fn requests_with(&self, pattern: &'static [u8]) -> usize {
        self.shared.requests.with(pattern)
    }

    /// The number of turns from client to server over all connections since the start: a chunk from a client counts if
    /// it is its connection's first or something was answered since the one before.
    pub fn round_trips(&self) -> usize {
        self.shared.requests.round_trips()
    }

    fn tell(&self, command: Command) {
        let (done, answer) = std_mpsc::channel();
        let told = self.commands.as_ref().is_some_and(|commands| commands.send((command, done)).is_ok());
        match answer.recv() {
            Ok(Ok(())) if told => {}
            Ok(Err(error)) => panic!("the proxy can't do as told: {error}"),
            _ => panic!("the proxy's thread has ended"),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed, and this may run in another panic's unwinding.
            let _ = thread.join();
        }
    }
}

/// Shows no requests, which may be private.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).field("connections", &self.connections()).finish()
    }
}

fn open() -> io::Result<(Runtime, Door, SocketAddr)> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let (door, address) = Door::open((Ipv4Addr::LOCALHOST, 0).into())?;
    drop(context);
    Ok((runtime, door, address))
}

/// Accepts connections and obeys commands until the handle is dropped.
async fn run(
    upstream: SocketAddr,
    mut door: Door,
    mut inbox: mpsc::UnboundedReceiver<(Command, Done)>,
    shared: Arc<Shared>,
) {
    let fault = watch::Sender::new(Fault::None);
    let mut shut_out = Vec::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            command = inbox.recv() => {
                let Some((command, done)) = command else { return };
                let result = match &command {
                    Command::Set(next) => {
                        fault.send_replace(*next);
                        if *next == Fault::Refuse { door.close() } else { door.reopen() }
                    }
                    Command::Cut => {
                        door.reset_waiting();
                        Ok(())
                    }
                    Command::ShutOut(sources) => {
                        shut_out.clone_from(sources);
                        door.reset_waiting();
                        Ok(())
                    }
                };
                if matches!(command, Command::Cut | Command::ShutOut(_) | Command::Set(Fault::Refuse)) {
                    // A connection that is dropped before its end is reset.
                    connections.shutdown().await;
                }
                let _ = done.send(result);
            }
            Ok(client) = door.accept() => {
                // One that is dropped is reset.
                if client.comes_from(&shut_out) {
                    continue;
                }
                connections.spawn(connection::serve(client, upstream, fault.subscribe(), Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn through(url: &str, proxy: SocketAddr) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL with a scheme and a host");
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let user = authority.rfind('@').map_or("", |at| &authority[..=at]);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let overrides = |pair: &&str| {
        ["host", "hostaddr", "port", "socket"].contains(&pair.split_once('=').map_or(*pair, |(key, _)| key))
    };
    let query: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !overrides(pair)).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{user}{proxy}{path}{mark}{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(url: &str) -> String {
        through(url, (Ipv4Addr::LOCALHOST, 9).into())
    }

    #[test]
    fn a_url_keeps_all_but_its_host_and_port() {
        assert_eq!(proxied("postgres://localhost"), "postgres://127.0.0.1:9");
        assert_eq!(
            proxied("postgres://a:b%40c@[::1]:5432/db?sslmode=disable"),
            "postgres://a:b%40c@127.0.0.1:9/db?sslmode=disable"
        );
        assert_eq!(proxied("redis://:p@ss@h/0"), "redis://:p@ss@127.0.0.1:9/0");
        assert_eq!(proxied("mysql://root@h:1?a=@x"), "mysql://root@127.0.0.1:9?a=@x");
    }

    #[test]
    fn a_url_cannot_lead_past_the_proxy() {
        assert_eq!(proxied("postgres:///db?host=/tmp/s&port=5&user=u"), "postgres://127.0.0.1:9/db?user=u");
        assert_eq!(proxied("mysql://u@h/db?socket=/tmp/s"), "mysql://u@127.0.0.1:9/db");
    }
}
