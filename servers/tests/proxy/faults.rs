//! The faults that last until the proxy heals.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Peer, SHORT, eventually, listening, pair};

#[test]
fn refused_clients_are_reset_and_turned_away_until_it_heals_on_the_same_port() {
    let (_echo, proxy) = pair();
    let port = proxy.port();
    let mut clients = [Peer::connect(&proxy), Peer::connect(&proxy)];
    clients[0].echo(b"before");
    for _ in 0..3 {
        proxy.refuse();
        assert_eq!(proxy.connections(), 0);
        for client in &mut clients {
            client.expect_reset();
        }
        for _ in 0..50 {
            let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| error.kind());
            assert_eq!(refused.unwrap_err(), ErrorKind::ConnectionRefused);
        }
        proxy.heal();
        assert_eq!(proxy.port(), port);
        clients = [Peer::connect(&proxy), Peer::connect(&proxy)];
        clients[0].echo(b"after");
        clients[1].echo(b"after");
        assert_eq!(proxy.connections(), 2);
    }
}

#[test]
fn a_stalled_proxy_takes_everything_and_delivers_it_when_healed() {
    let (echo, proxy) = pair();
    let mut old = Peer::connect(&proxy);
    old.echo(b"before ");
    proxy.stall();
    let mut new = Peer::connect(&proxy);
    old.send(b"one ");
    old.send(b"two ");
    new.send(b"three ");
    old.expect_silence();
    new.expect_silence();
    assert_eq!(echo.received(), b"before ");
    proxy.heal();
    old.expect(b"one two ");
    new.expect(b"three ");
    old.echo(b"after");
}

#[test]
fn a_new_connection_reaches_the_server_only_when_the_stall_ends() {
    let (listener, proxy) = listening();
    proxy.stall();
    let mut client = Peer::connect(&proxy);
    client.send(b"hello");
    client.expect_silence();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
    proxy.heal();
    Peer(listener.accept().unwrap().0).expect(b"hello");
}

#[test]
fn what_was_stalled_is_delivered_even_if_the_client_has_hung_up() {
    let (echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    client.echo(b"before ");
    proxy.stall();
    client.send(b"COMMIT");
    drop(client);
    thread::sleep(SHORT);
    assert_eq!((echo.received(), proxy.connections()), (b"before ".to_vec(), 1));
    proxy.heal();
    eventually("the request arrives", || echo.received() == b"before COMMIT");
    eventually("the connection ends", || proxy.connections() == 0);
}

#[test]
fn stalled_answers_wait_while_requests_go_on() {
    let (echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    proxy.stall_answers();
    client.send(b"one ");
    eventually("the server sees the first", || echo.received() == b"one ");
    client.send(b"two");
    eventually("the server sees both", || echo.received() == b"one two");
    client.expect_silence();
    proxy.heal();
    client.expect(b"one two");
}

#[test]
fn a_half_closed_client_reads_the_end_and_is_still_heard() {
    let (echo, proxy) = pair();
    let mut old = Peer::connect(&proxy);
    old.echo(b"before ");
    proxy.half_close();
    old.expect_end();
    old.send(b"old ");
    eventually("the server hears the old", || echo.received() == b"before old ");
    old.send(b"again ");
    eventually("the server hears it again", || echo.received() == b"before old again ");

    let mut new = Peer::connect(&proxy);
    new.expect_end();
    new.send(b"new ");
    eventually("the server hears the new", || echo.received() == b"before old again new ");

    proxy.heal();
    old.expect_end();
    assert_eq!(proxy.connections(), 2);
    Peer::connect(&proxy).echo(b"healed");
    drop((old, new));
    eventually("the half-closed connections end", || proxy.connections() == 0);
}

#[test]
fn a_half_closed_server_can_answer_without_end() {
    let (echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    proxy.half_close();
    client.expect_end();
    // Nobody takes as much as this unread: the server would stop listening if its echo went nowhere.
    let length = 32 << 20;
    client.send(&vec![7; length]);
    eventually("the server hears it all", || echo.received.lock().unwrap().len() == length);
}

#[test]
fn a_delay_holds_every_chunk_back_in_both_directions() {
    let (_echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    let by = Duration::from_millis(15);
    proxy.delay(by);
    let start = Instant::now();
    client.echo(b"there and back");
    assert!(start.elapsed() >= 2 * by, "{:?}", start.elapsed());
}

#[test]
fn a_delay_is_counted_from_the_arrival_of_each_chunk() {
    let (echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    proxy.delay(Duration::from_millis(200));
    eventually("a chunk arrives while others follow it", || {
        client.send(b".");
        !echo.received().is_empty()
    });
}

#[test]
fn healing_ends_a_delay_that_has_begun() {
    let (echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    for by in [Duration::from_secs(3600), Duration::MAX] {
        proxy.delay(by);
        client.send(b"late");
        client.expect_silence();
        proxy.heal();
        client.expect(b"late");
    }
    assert_eq!(echo.received(), b"latelate");
}

#[test]
fn a_fault_takes_the_place_of_the_one_before() {
    let (_echo, proxy) = pair();
    proxy.refuse();
    proxy.delay(Duration::from_millis(1));
    let mut client = Peer::connect(&proxy);
    client.echo(b"one");
    proxy.stall();
    client.send(b"two");
    client.expect_silence();
    proxy.delay(Duration::from_millis(1));
    client.expect(b"two");
}
