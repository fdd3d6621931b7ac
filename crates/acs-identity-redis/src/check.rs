//! Whether servers can keep the store's promises.

use std::time::Duration;

use redis::{Cmd, cmd};
use tokio::time::Instant;

use crate::answer;
use crate::error::Failure;
use crate::nodes::{Ask, Nodes, Sort};

/// Checks each server once, when a store is opened.
pub(crate) async fn servers(nodes: &Nodes, allow_eviction: bool, deadline: Duration) -> Result<(), Failure> {
    let topology = nodes.topology();
    let info = |part: &str| -> Cmd { cmd("INFO").arg(part).take() };
    for slot in topology.slot_of_each() {
        let ask = |command| Ask { slot, command, script: None };
        let asks = [ask(info("server")), ask(info("memory"))];
        let mut answers = nodes.each(&asks, Sort::Read, Instant::now() + deadline).await;
        let (memory, server) =
            (answers.pop().unwrap_or(Err(Failure::Answer))?, answers.pop().unwrap_or(Err(Failure::Answer))?);
        let version = field(answer::text(&server)?, "redis_version").ok_or(Failure::Answer)?;
        if !is_known(version) {
            return Err(Failure::Setup("Redis 7.0 or Valkey 7.2, or later, is needed"));
        }
        match field(answer::text(&memory)?, "maxmemory_policy") {
            Some("noeviction") => {}
            Some(_) if allow_eviction => {}
            Some(_) => {
                return Err(Failure::Setup(
                    "the server may throw mappings away when its memory is full: its maxmemory-policy is not noeviction",
                ));
            }
            None => return Err(Failure::Answer),
        }
    }
    Ok(())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Valkey says the version of Redis that it is like.
fn is_known(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= 7)
}
