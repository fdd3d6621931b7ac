//! One server.

use acs_identity_servers::{Kind, Server, url};

use crate::support::{answers, connect, get, set, setting};

#[test]
fn the_server_of_a_process_is_shared() {
    let url = url(Kind::Redis);
    set(&url, "acs-identity-servers:shared", "1").unwrap();
    assert_eq!(get(&acs_identity_servers::url(Kind::Redis), "acs-identity-servers:shared").unwrap().unwrap(), "1");
}

#[test]
fn a_killed_server_comes_back_with_its_append_only_file() {
    let mut server = Server::start_with(Kind::Redis, &[("appendonly", "yes"), ("appendfsync", "always")]).unwrap();
    let (url, port) = (server.url(), server.port());
    for round in 1..=3 {
        set(&url, &format!("key {round}"), "kept").unwrap();
        server.kill();
        assert!(!answers(port));
        server.restart().unwrap();
        assert_eq!(server.url(), url);
        for kept in 1..=round {
            assert_eq!(get(&url, &format!("key {kept}")).unwrap().as_deref(), Some("kept"));
        }
    }
    server.restart_empty().unwrap();
    assert_eq!(get(&url, "key 1").unwrap(), None);
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!answers(port) && !folder.exists());
}

#[test]
fn a_killed_server_comes_back_empty_without_one() {
    let mut server = Server::start(Kind::Redis).unwrap();
    set(&server.url(), "key", "lost").unwrap();
    server.restart().unwrap();
    assert_eq!(get(&server.url(), "key").unwrap(), None);
}

#[test]
fn settings_reach_the_server() {
    let mut server = Server::start_with(Kind::Redis, &[("maxmemory-policy", "allkeys-lru")]).unwrap();
    assert_eq!(setting(&server.url(), "maxmemory-policy"), "allkeys-lru");
    server.set("maxmemory-policy", "volatile-ttl");
    server.set("client-output-buffer-limit", "pubsub 1mb 1mb 10");
    server.restart().unwrap();
    assert_eq!(setting(&server.url(), "maxmemory-policy"), "volatile-ttl");
    assert!(setting(&server.url(), "client-output-buffer-limit").ends_with("pubsub 1048576 1048576 10"));

    let error = Server::start_with(Kind::Redis, &[("no-such-setting", "1")]).unwrap_err();
    assert!(error.starts_with("cannot start Redis: ") && error.contains("no-such-setting"), "{error}");
}

#[test]
fn a_server_has_the_users_of_a_file() {
    let mut server = Server::start(Kind::Redis).unwrap();
    let users = "user default off\nuser reader on >secret ~mine:* +get\n";
    let users = server.write("users.acl", users).unwrap();
    server.set("aclfile", users.to_str().unwrap());
    server.restart().unwrap();
    let denied = get(&server.url(), "mine:1").unwrap_err();
    assert_eq!(denied.code(), Some("NOAUTH"), "{denied}");
    let reader = server.url().replace("redis://", "redis://reader:secret@");
    assert_eq!(get(&reader, "mine:1").unwrap(), None);
    assert_eq!(get(&reader, "other").unwrap_err().code(), Some("NOPERM"));
    assert_eq!(set(&reader, "mine:1", "").unwrap_err().code(), Some("NOPERM"));
}

#[test]
fn a_connection_ends_with_its_server() {
    let mut server = Server::start(Kind::Redis).unwrap();
    let mut connection = connect(&server.url()).unwrap();
    server.kill();
    redis::cmd("PING").query::<String>(&mut connection).unwrap_err();
    assert!(connect(&server.url()).is_err());
}
