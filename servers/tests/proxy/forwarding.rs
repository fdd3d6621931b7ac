//! What the proxy does without a fault, and what no fault may break.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use acs_identity_servers::proxy::Proxy;

use crate::support::{Peer, SHORT, eventually, listening, pair};

/// A random generator (xorshift) with a seed of the test's own: bytes and chunk sizes that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn random_bytes(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next() as u8).collect()
}

/// Sends random bytes in chunks of random sizes on some connections at once and compares what comes back.
fn shuttle(proxy: &Proxy, total: usize) {
    thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || {
                let mut random = Random(seed);
                let bytes = random_bytes(&mut random, total);
                let mut client = Peer::connect(proxy);
                let mut sender = client.0.try_clone().unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut rest = &bytes[..];
                        while !rest.is_empty() {
                            let bound = if random.next().is_multiple_of(4) { 100_000 } else { 300 };
                            let (chunk, after) = rest.split_at((random.next() as usize % bound + 1).min(rest.len()));
                            sender.write_all(chunk).unwrap();
                            rest = after;
                        }
                        sender.shutdown(Shutdown::Write).unwrap();
                    });
                    client.expect(&bytes);
                    client.expect_end();
                });
            });
        }
    });
    eventually("every connection has ended", || proxy.connections() == 0);
}

#[test]
fn without_a_fault_nothing_is_lost_or_reordered() {
    let (_echo, proxy) = pair();
    shuttle(&proxy, 1 << 20);
}

#[test]
fn a_slow_reader_loses_nothing_and_slows_the_writer() {
    let (listener, proxy) = listening();
    let mut client = Peer::connect(&proxy);
    let mut server = Peer(listener.accept().unwrap().0);
    // More than the proxy and all sockets on the way hold.
    let answer = random_bytes(&mut Random(9), 48 << 20);
    let mut sent = 0;
    server.0.set_write_timeout(Some(SHORT)).unwrap();
    while let Ok(length) = server.0.write(&answer[sent..]) {
        sent += length;
        assert!(sent < answer.len(), "somebody takes it all");
    }
    client.expect(&answer[..sent]);
}

#[test]
fn a_delay_loses_and_reorders_nothing() {
    let (_echo, proxy) = pair();
    proxy.delay(Duration::from_millis(3));
    shuttle(&proxy, 1 << 18);
}

#[test]
fn faults_that_come_and_go_lose_and_reorder_nothing() {
    let (_echo, proxy) = pair();
    let done = Arc::new(Mutex::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !*done.lock().unwrap() {
                for fault in [Proxy::stall, Proxy::heal, Proxy::stall_answers, Proxy::heal] {
                    fault(&proxy);
                    thread::sleep(Duration::from_micros(300));
                }
            }
        });
        shuttle(&proxy, 1 << 19);
        *done.lock().unwrap() = true;
    });
}

#[test]
fn round_trips_are_the_turns_of_all_connections() {
    let (echo, proxy) = pair();
    let (mut one, mut two) = (Peer::connect(&proxy), Peer::connect(&proxy));
    assert_eq!(proxy.round_trips(), 0);
    for turn in 1..=5 {
        one.echo(b"one");
        two.echo(b"two");
        assert_eq!(proxy.round_trips(), 2 * turn);
    }
    // Two chunks and no answer between them are one turn.
    proxy.stall_answers();
    let before = echo.received().len();
    one.send(b"a");
    eventually("the first half arrives", || echo.received().len() == before + 1);
    one.send(b"b");
    eventually("the second half arrives", || echo.received().len() == before + 2);
    assert_eq!(proxy.round_trips(), 11);
    proxy.heal();
    one.expect(b"ab");
    one.echo(b"c");
    assert_eq!(proxy.round_trips(), 12);
}

#[test]
fn the_end_of_each_direction_is_forwarded_by_itself() {
    let (listener, proxy) = listening();
    for client_first in [true, false] {
        let mut client = Peer::connect(&proxy);
        let mut server = Peer(listener.accept().unwrap().0);
        let (first, last) = if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
        first.0.shutdown(Shutdown::Write).unwrap();
        last.expect_end();
        last.send(b"still here");
        first.expect(b"still here");
        last.0.shutdown(Shutdown::Write).unwrap();
        first.expect_end();
        eventually("the connection has ended", || proxy.connections() == 0);
    }
}

#[test]
fn a_reset_of_either_end_is_forwarded() {
    let (listener, proxy) = listening();
    for client_first in [true, false] {
        let client = Peer::connect(&proxy);
        let server = Peer(listener.accept().unwrap().0);
        let (first, mut last) = if client_first { (client, server) } else { (server, client) };
        last.send(b"unread");
        first.reset();
        last.expect_reset();
        eventually("the connection has ended", || proxy.connections() == 0);
    }
}

#[test]
fn a_connection_that_has_ended_still_delivers_what_the_client_has_not_read() {
    let (listener, proxy) = listening();
    let mut client = Peer::connect(&proxy);
    client.0.shutdown(Shutdown::Write).unwrap();
    // More than a client's socket takes that isn't read, less than the proxy's takes in addition.
    let answer = vec![7; 512 << 10];
    Peer(listener.accept().unwrap().0).send(&answer);
    eventually("the connection has ended", || proxy.connections() == 0);
    client.expect(&answer);
    client.expect_end();
}

#[test]
fn a_server_that_is_not_there_resets_the_client_until_it_comes() {
    let (_echo, server) = pair();
    server.refuse();
    let proxy = Proxy::start((Ipv4Addr::LOCALHOST, server.port()).into()).unwrap();
    Peer::connect(&proxy).expect_reset();
    server.heal();
    Peer::connect(&proxy).echo(b"hello");
}

#[test]
fn a_dropped_proxy_is_gone() {
    let (_echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    client.echo(b"before");
    let port = proxy.port();
    drop(proxy);
    client.expect_reset();
    // The port is free, so another test may have it for a moment.
    eventually("nobody listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn debug_output_shows_no_request() {
    let (_echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    client.echo(b"secret");
    let shown = format!("{proxy:?}");
    assert!(shown.contains("connections: 1") && !shown.contains("secret") && !shown.contains("115"), "{shown}");
}
