//! Whether servers can keep the store's promises.

use redis::cmd;
use tokio::time::Instant;

use crate::answer;
use crate::error::Failure;
use crate::nodes::{Ask, Nodes, Sort};

/// Checks each server once, when a store is opened: one that joins the cluster or is promoted later is not checked.
pub(crate) async fn servers(nodes: &Nodes, allow_eviction: bool, waits: bool, end: Instant) -> Result<(), Failure> {
    let slots = nodes.topology().slot_of_each();
    let ask = |words: &[&str]| -> Vec<Ask> {
        slots
            .iter()
            .map(|slot| Ask { slot: *slot, command: cmd(words[0]).arg(&words[1..]).take(), script: None })
            .collect()
    };
    for info in nodes.each(&ask(&["INFO", "server", "memory", "replication"]), Sort::Read, end).await {
        server(answer::text(&info?)?, nodes.is_whole(), allow_eviction)?;
    }
    if waits {
        // For nobody: whether the user may. Later it would be said only after a write is done.
        let waited = nodes.each(&ask(&["WAIT", "0", "1"]), Sort::Read, end).await;
        waited.into_iter().try_for_each(|answer| answer.map(drop))?;
    }
    Ok(())
}

fn server(info: &str, is_whole: bool, allow_eviction: bool) -> Result<(), Failure> {
    match answer::field(info, "redis_mode") {
        Some("cluster") if is_whole => {
            return Err(Failure::Setup("the server is part of a cluster; name it as one"));
        }
        Some("sentinel") => return Err(Failure::Setup("the server is a sentinel; name it as one")),
        _ => {}
    }
    if !is_supported(answer::field(info, "redis_version").ok_or(Failure::Answer)?) {
        return Err(Failure::Setup("Redis 7.0 or Valkey 7.2, or later, is needed"));
    }
    if is_whole && answer::field(info, "role") == Some("slave") {
        return Err(Failure::Replica);
    }
    match answer::field(info, "maxmemory_policy").ok_or(Failure::Answer)? {
        "noeviction" => Ok(()),
        _ if allow_eviction => Ok(()),
        _ => Err(Failure::Setup(
            "the server may throw mappings away when its memory is full: its maxmemory-policy is not noeviction",
        )),
    }
}

/// Valkey says the version of Redis that it is like.
fn is_supported(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= 7)
}
