//! Which server has which keys.

use std::sync::Arc;

use super::Node;
use crate::keys;

const SLOTS: usize = 16_384;
/// In place of a node's number: nobody has the slot.
const NOBODY: u16 = u16::MAX;

/// The servers that take writes, and which of them has which slot.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    /// Rises with each change.
    pub(crate) number: u64,
    /// In the order of their addresses.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The place among the nodes of each slot's; empty if the first node has all.
    owners: Vec<u16>,
}

impl Topology {
    /// Of one server.
    pub(super) fn single(number: u64, node: Arc<Node>) -> Self {
        Self { number, nodes: vec![node], owners: Vec::new() }
    }

    /// Of a cluster: ranges of slots with the node that has them.
    pub(super) fn cluster(number: u64, nodes: Vec<Arc<Node>>, ranges: &[(u16, u16, usize)]) -> Self {
        let mut owners = vec![NOBODY; SLOTS];
        for (first, last, node) in ranges {
            let slots = owners.get_mut(usize::from(*first)..=usize::from(*last)).unwrap_or_default();
            slots.fill(u16::try_from(*node).unwrap_or(NOBODY));
        }
        Self { number, nodes, owners }
    }

    /// The node that has a slot.
    pub(crate) fn owner(&self, slot: u16) -> Option<usize> {
        match self.owners.get(usize::from(slot)) {
            Some(owner) => Some(usize::from(*owner)).filter(|owner| *owner < self.nodes.len()),
            None => (!self.nodes.is_empty()).then_some(0),
        }
    }

    /// A slot of each node that has one.
    pub(crate) fn slot_of_each(&self) -> Vec<u16> {
        let first = |node: usize| (0..SLOTS as u16).find(|slot| self.owner(*slot) == Some(node));
        (0..self.nodes.len()).filter_map(first).collect()
    }

    /// Whether a node has just these slots: first and last of each range.
    pub(crate) fn has_slots(&self, node: usize, ranges: &[(u16, u16)]) -> bool {
        let mut mine = vec![false; SLOTS];
        for (first, last) in ranges {
            mine.get_mut(usize::from(*first)..=usize::from(*last)).unwrap_or_default().fill(true);
        }
        self.owners.iter().zip(mine).all(|(owner, mine)| (usize::from(*owner) == node) == mine)
    }

    /// Whether the same servers have the same slots.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let addresses = |topology: &Self| -> Vec<(String, u16)> {
            topology.nodes.iter().map(|node| (node.host.clone(), node.port)).collect()
        };
        other.number != 0 && self.owners == other.owners && addresses(self) == addresses(other)
    }

    /// Stands for who has which slots.
    pub(crate) fn fingerprint(&self) -> u64 {
        let nodes: Vec<String> = self.nodes.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        let owners: Vec<u8> = self.owners.iter().flat_map(|owner| owner.to_be_bytes()).collect();
        keys::fingerprint(nodes.iter().map(String::as_bytes).chain([&*owners]))
    }
}
