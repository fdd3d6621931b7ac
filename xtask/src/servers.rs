//! `cargo xtask servers`: the servers that the tests need, for as long as one works with them.

use std::io;

use acs_identity_servers::Running;

use crate::Result;

/// Starts a server of each kind and a Redis Cluster, prints the environment variables that point tests at them, and keeps them
/// until standard input ends or this process is ended, for instance by Ctrl-C.
pub(crate) fn run() -> Result {
    let running = Running::start_all()?;
    for (variable, url) in running.env() {
        println!("export {variable}={url}");
    }
    eprintln!("These servers run until Ctrl-C, or until standard input ends. Then all of their data is removed.");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
