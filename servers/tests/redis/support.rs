//! Commands to servers.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisResult, cmd};

/// What no test waits for, unless it fails.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn connect(url: &str) -> RedisResult<Connection> {
    let connection = Client::open(url)?.get_connection_with_timeout(LONG)?;
    connection.set_read_timeout(Some(LONG))?;
    Ok(connection)
}

pub(crate) fn set(url: &str, key: &str, value: &str) -> RedisResult<()> {
    cmd("SET").arg(key).arg(value).query(&mut connect(url)?)
}

pub(crate) fn get(url: &str, key: &str) -> RedisResult<Option<String>> {
    cmd("GET").arg(key).query(&mut connect(url)?)
}

/// The value of a setting.
pub(crate) fn setting(url: &str, name: &str) -> String {
    let pair: (String, String) = cmd("CONFIG").arg("GET").arg(name).query(&mut connect(url).unwrap()).unwrap();
    pair.1
}

/// Waits until replicas have acknowledged what this connection wrote.
pub(crate) fn replicated(connection: &mut Connection) {
    let replicas: i64 = cmd("WAIT").arg(1).arg(10_000).query(connection).unwrap();
    assert_eq!(replicas, 1);
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
