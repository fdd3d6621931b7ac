//! The servers' times, asked for along with something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use acs_identity_core::Timestamp;
use redis::{Value, cmd};

use crate::answer;
use crate::error::Failure;
use crate::nodes::{Ask, Topology};

/// Where among some answers each node's time is.
#[derive(Debug)]
pub(crate) struct Clocks {
    topology: Arc<Topology>,
    /// By the node.
    places: BTreeMap<Option<usize>, usize>,
}

impl Clocks {
    /// Adds a question to each node that has one of the slots, behind those that are there.
    pub(crate) fn ask(topology: Arc<Topology>, slots: &[u16], asks: &mut Vec<Ask>) -> Self {
        let mut places = BTreeMap::new();
        for slot in slots {
            places.entry(topology.owner(*slot)).or_insert_with(|| {
                asks.push(Ask { slot: *slot, command: cmd("TIME"), script: None });
                asks.len() - 1
            });
        }
        Self { topology, places }
    }

    /// The time of the node that has a slot.
    pub(crate) fn read(&self, slot: u16, answers: &[Result<Value, Failure>]) -> Result<Timestamp, Failure> {
        match self.places.get(&self.topology.owner(slot)).and_then(|place| answers.get(*place)) {
            Some(Ok(time)) => answer::server_time(time),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::Answer),
        }
    }
}
