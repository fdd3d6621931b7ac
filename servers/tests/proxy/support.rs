//! A server that echoes and keeps what it received, and either end of a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use acs_identity_servers::proxy::Proxy;

/// What no test waits for, unless it fails.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// How long a test looks for something that must not come.
pub(crate) const SHORT: Duration = Duration::from_millis(40);

/// Echoes on every connection, and keeps what it received on all of them, in the order of arrival.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    pub(crate) received: Arc<Mutex<Vec<u8>>>,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let echo = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let received = Arc::clone(&echo.received);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, received) = (stream.unwrap(), Arc::clone(&received));
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        received.lock().unwrap().extend_from_slice(&buffer[..length]);
                        if stream.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        echo
    }

    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }
}

pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.0.set_read_timeout(Some(LONG)).unwrap();
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    }

    pub(crate) fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.expect(bytes);
    }

    /// Closes the connection with a reset, by not reading what has come.
    pub(crate) fn reset(self) {
        self.0.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(self.0.peek(&mut [0]).unwrap(), 1);
    }

    pub(crate) fn expect_silence(&mut self) {
        self.0.set_read_timeout(Some(SHORT)).unwrap();
        let silence = self.0.read(&mut [0]).map_err(|error| error.kind());
        assert!(matches!(silence, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{silence:?}");
    }

    /// The connection is reset with nothing more received.
    pub(crate) fn expect_reset(&mut self) {
        self.0.set_read_timeout(Some(LONG)).unwrap();
        let reset = self.0.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(reset, Err(ErrorKind::ConnectionReset));
    }

    /// The server's direction has ended in order, with nothing more received.
    pub(crate) fn expect_end(&mut self) {
        self.0.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0);
    }
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A proxy in front of a server that the test plays itself.
pub(crate) fn listening() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
    (listener, proxy)
}

pub(crate) fn pair() -> (Echo, Proxy) {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address).unwrap();
    (echo, proxy)
}
