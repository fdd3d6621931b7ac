//! Commands to private servers of Redis.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::redis::{Client, Cmd, FromRedisValue, RedisError, RedisResult};

/// The longest time that servers take to agree on anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs one command on a connection of its own.
pub(crate) fn ask<T: FromRedisValue>(port: u16, command: &Cmd) -> Result<T, String> {
    let answer = || -> RedisResult<T> {
        let patience = Duration::from_secs(5);
        let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
        let mut connection = client.get_connection_with_timeout(patience)?;
        connection.set_read_timeout(Some(patience))?;
        connection.set_write_timeout(Some(patience))?;
        command.query(&mut connection)
    };
    // A signal, such as that a server was stopped or goes on, ends a read that has a time limit.
    let mut answered = answer();
    while answered.as_ref().is_err_and(is_interrupted) {
        answered = answer();
    }
    answered.map_err(|error| {
        let name = command.args_iter().next().map(|arg| match arg {
            ::redis::Arg::Simple(name) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        });
        format!("Redis on port {port} does not do {}: {error}", name.unwrap_or_default())
    })
}

fn is_interrupted(error: &RedisError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let cause = source.and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::Interrupted)
}

/// Runs one command whose answer is `OK`.
pub(crate) fn tell(port: u16, command: &Cmd) -> Result<(), String> {
    ask(port, command)
}

/// The same of a command that can be given only once, where this is what the second time is answered: one whose answer a signal has
/// interrupted is given twice.
pub(crate) fn tell_once(port: u16, command: &Cmd, done: &str) -> Result<(), String> {
    tell(port, command).or_else(|error| if error.contains(done) { Ok(()) } else { Err(error) })
}

/// Whether a server is the replica of the one at this port, with all that was written up to now.
pub(crate) fn follows(port: u16, primary: u16) -> Result<bool, String> {
    let info: String = ask(port, ::redis::cmd("INFO").arg("replication"))?;
    let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let is = |name, value: &str| fields.get(name).is_some_and(|field| *field == value);
    Ok(is("role", "slave") && is("master_link_status", "up") && is("master_port", &primary.to_string()))
}

/// Waits until all is well.
///
/// # Errors
/// After a minute: what is not.
pub(crate) fn wait_for(mut check: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    loop {
        match check() {
            Err(problem) if started.elapsed() >= DEADLINE => return Err(format!("still after a minute: {problem}")),
            Err(_) => thread::sleep(Duration::from_millis(20)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Runs a job for each number below `count`, all at once.
pub(crate) fn at_once<T: Send>(
    count: usize,
    job: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    thread::scope(|scope| {
        let job = &job;
        let jobs: Vec<_> = (0..count).map(|number| scope.spawn(move || job(number))).collect();
        let done = jobs.into_iter().map(|job| job.join().unwrap_or_else(|_| Err("a start panicked".to_owned())));
        done.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_is_told_from_other_failures() {
        let interrupted = |kind: io::ErrorKind| is_interrupted(&io::Error::from(kind).into());
        assert!(interrupted(io::ErrorKind::Interrupted) && !interrupted(io::ErrorKind::TimedOut));
    }
}
