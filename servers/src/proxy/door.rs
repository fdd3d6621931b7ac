//! The proxy's listening socket, which can be closed and comes back on the same port.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::connection::ResetOnDrop;

pub(super) struct Door {
    address: SocketAddr,
    socket: Socket,
}

enum Socket {
    Listening {
        listener: TcpListener,
        /// The same socket, for what was connected and isn't accepted yet: the runtime's view may be a moment old.
        waiting: std::net::TcpListener,
    },
    /// Bound, not listening: connections are refused, and nobody else gets the port. Without it, a client on this machine
    /// that tries again and again would even connect to itself one day, from this port to this port.
    Reserved(TcpSocket),
    /// Between two of the others; it stays so only if the operating system denies the next.
    Missing,
}

impl Door {
    /// Listens on the address, and tells the port if it was 0.
    pub(super) fn open(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = reserve(address)?;
        let address = socket.local_addr()?;
        Ok((Self { address, socket: listen(socket)? }, address))
    }

    /// Refuses new connections and resets those that weren't accepted yet.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if matches!(self.socket, Socket::Listening { .. }) {
            self.socket = Socket::Missing;
            self.socket = Socket::Reserved(reserve_soon(self.address)?);
        }
        Ok(())
    }

    /// Listens again, if it doesn't.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Missing) {
            Socket::Reserved(socket) => listen(socket)?,
            Socket::Missing => listen(reserve(self.address)?)?,
            listening @ Socket::Listening { .. } => listening,
        };
        Ok(())
    }

    /// Resets the connections that weren't accepted yet.
    pub(super) fn reset_waiting(&self) {
        if let Socket::Listening { waiting, .. } = &self.socket {
            while let Ok((client, _)) = waiting.accept() {
                if let Ok(client) = client.set_nonblocking(true).and_then(|()| TcpStream::from_std(client)) {
                    drop(ResetOnDrop::new(client));
                }
            }
        }
    }

    /// The next connection; never while the door is closed.
    pub(super) async fn accept(&self) -> io::Result<ResetOnDrop> {
        match &self.socket {
            Socket::Listening { listener, .. } => Ok(ResetOnDrop::new(listener.accept().await?.0)),
            Socket::Reserved(_) | Socket::Missing => pending().await,
        }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the former listener may linger on the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Reserves a port whose listener was just closed. A process that another thread is starting has a copy of it, until it
/// becomes its program.
fn reserve_soon(address: SocketAddr) -> io::Result<TcpSocket> {
    let started = Instant::now();
    loop {
        match reserve(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && started.elapsed() < Duration::from_secs(5) => {
                thread::sleep(Duration::from_millis(1));
            }
            reserved => return reserved,
        }
    }
}

fn listen(socket: TcpSocket) -> io::Result<Socket> {
    let listener = socket.listen(1024)?.into_std()?;
    let waiting = listener.try_clone()?;
    Ok(Socket::Listening { listener: TcpListener::from_std(listener)?, waiting })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_closed_door_keeps_its_port() {
        let (mut door, address) = Door::open((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        for _ in 0..2 {
            door.close().unwrap();
            assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let other = TcpSocket::new_v4().unwrap();
            assert_eq!(other.bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
            door.reopen().unwrap();
            TcpStream::connect(address).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_door_closes_while_a_process_that_is_being_started_has_a_copy_of_it() {
        let (mut door, address) = Door::open((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let Socket::Listening { waiting, .. } = &door.socket else { panic!("it is open") };
        let copy = waiting.try_clone().unwrap();
        let started = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(copy);
        });
        door.close().unwrap();
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        started.join().unwrap();
    }
}
