//! Connections that are reset once: all of them, or one at a certain request.

use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::support::{LONG, Peer, eventually, listening, pair};

#[test]
fn a_cut_resets_every_connection_once() {
    let (_echo, proxy) = pair();
    for round in 0..100 {
        let (mut old, mut waiting) = (Peer::connect(&proxy), Peer::connect(&proxy));
        if round % 2 == 0 {
            old.echo(b"old");
        }
        proxy.cut();
        assert_eq!(proxy.connections(), 0);
        old.expect_reset();
        // Perhaps not even accepted at the time.
        waiting.expect_reset();
        Peer::connect(&proxy).echo(b"new");
    }
}

#[test]
fn who_is_shut_out_is_reset_again_and_again_and_others_are_not() {
    let (_echo, proxy) = pair();
    let mut old = Peer::connect(&proxy);
    old.echo(b"old");
    proxy.shut_out(&[Ipv4Addr::LOCALHOST.into()]);
    old.expect_reset();
    Peer::connect(&proxy).expect_reset();
    proxy.heal();
    Peer::connect(&proxy).expect_reset();
    proxy.shut_out(&[Ipv4Addr::new(127, 0, 0, 9).into()]);
    Peer::connect(&proxy).echo(b"new");
}

#[test]
fn a_cut_resets_the_server_too() {
    let (listener, proxy) = listening();
    let mut client = Peer::connect(&proxy);
    client.send(b"hello");
    let mut server = Peer(listener.accept().unwrap().0);
    server.expect(b"hello");
    proxy.cut();
    server.expect_reset();
    client.expect_reset();
}

#[test]
fn a_cut_after_a_request_lets_the_server_act_and_hides_its_answer() {
    let (echo, proxy) = pair();
    let (mut client, mut other) = (Peer::connect(&proxy), Peer::connect(&proxy));
    for _ in 0..20 {
        echo.received.lock().unwrap().clear();
        // Even though the echo comes at once, long before the cut.
        proxy.cut_after_request(b"COMMIT", Duration::from_millis(10));
        client.echo(b"BEGIN;");
        other.echo(b"x;");
        client.send(b"COMMIT;");
        client.expect_reset();
        assert_eq!(echo.received(), b"BEGIN;x;COMMIT;");
        client = Peer::connect(&proxy);
        client.echo(b"COMMIT;");
        other.echo(b"COMMIT;");
    }
    assert_eq!(proxy.requests_with(b"COMMIT"), 60);
}

#[test]
fn a_cut_after_a_request_forwards_a_long_one_whole() {
    let (echo, proxy) = pair();
    proxy.cut_after_request(b"END", Duration::from_millis(50));
    let mut client = Peer::connect(&proxy);
    let mut long = vec![b'.'; 100_000];
    long.extend_from_slice(b"END");
    // Its first chunks are ordinary, and so are their echoes.
    client.send(&long);
    let mut answer = Vec::new();
    client.0.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(client.0.read_to_end(&mut answer).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(!answer.ends_with(b"END"));
    assert_eq!(echo.received(), long);
}

#[test]
fn a_cut_before_a_request_keeps_it_from_the_server() {
    let (echo, proxy) = pair();
    let (mut client, mut other) = (Peer::connect(&proxy), Peer::connect(&proxy));
    for _ in 0..20 {
        echo.received.lock().unwrap().clear();
        proxy.cut_before_request(b"COMMIT");
        client.echo(b"BEGIN;");
        client.send(b"COMMIT;");
        client.expect_reset();
        other.echo(b"COMMIT;");
        assert_eq!(echo.received(), b"BEGIN;COMMIT;");
        client = Peer::connect(&proxy);
    }
    assert_eq!(proxy.requests_with(b"COMMIT"), 40);
}

#[test]
fn a_request_split_over_two_chunks_is_cut_at_the_second() {
    let (echo, proxy) = pair();
    proxy.cut_before_request(b"COMMIT");
    let mut client = Peer::connect(&proxy);
    client.echo(b"COM");
    client.send(b"MIT");
    client.expect_reset();
    assert_eq!(echo.received(), b"COM");
}

#[test]
fn a_request_that_is_held_back_is_cut_when_its_turn_comes() {
    let (echo, proxy) = pair();
    let mut client = Peer::connect(&proxy);
    client.echo(b"first ");
    proxy.stall();
    proxy.cut_before_request(b"COMMIT");
    client.send(b"second ");
    eventually("the second is taken", || proxy.requests_with(b"second") == 1);
    client.send(b"COMMIT");
    client.expect_silence();
    proxy.heal();
    eventually("the second arrives", || echo.received() == b"first second ");
    eventually("the connection is cut", || proxy.connections() == 0);
}

#[test]
fn a_cut_after_a_request_happens_even_if_the_server_is_gone() {
    let (listener, proxy) = listening();
    for round in 1..=10 {
        let mut client = Peer::connect(&proxy);
        let server = Peer(listener.accept().unwrap().0);
        client.send(b"unread");
        proxy.cut_after_request(b"COMMIT", Duration::ZERO);
        // The end of the server's direction is held back, that of the client's is found by the COMMIT.
        proxy.stall_answers();
        server.reset();
        client.send(b"COMMIT");
        eventually("the request is taken", || proxy.requests_with(b"COMMIT") == round);
        proxy.heal();
        client.expect_reset();
    }
}
