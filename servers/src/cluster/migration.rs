//! A slot on its way from one master to another.

use ::redis::cmd;

use crate::control::{ask, tell};

/// A slot that is being moved, in the steps of <https://redis.io/docs/latest/commands/cluster-setslot/>: a test may stand
/// between any two of them.
///
/// From the beginning on, the old master answers `ASK` for keys that it does not have, and the new one takes them only
/// after `ASKING`. Without [`finish`](Self::finish) it stays so.
#[derive(Debug)]
#[must_use = "the slot stays half-way"]
pub struct Migration {
    slot: u16,
    from: u16,
    to: u16,
    target: String,
}

impl Migration {
    /// From the master on one port to the one on another.
    pub(super) fn begin(slot: u16, from: u16, to: u16) -> Result<Self, String> {
        let id = |port| ask::<String>(port, cmd("CLUSTER").arg("MYID"));
        let (source, target) = (id(from)?, id(to)?);
        set_slot(to, slot, &["IMPORTING", &source])?;
        set_slot(from, slot, &["MIGRATING", &target])?;
        Ok(Self { slot, from, to, target })
    }

    /// Moves at most so many keys, and returns how many: 0 if none is left.
    ///
    /// # Errors
    /// If one of the two masters does not do it.
    pub fn move_keys(&self, at_most: usize) -> Result<usize, String> {
        let keys: Vec<Vec<u8>> = ask(self.from, cmd("CLUSTER").arg("GETKEYSINSLOT").arg(self.slot).arg(at_most))?;
        if !keys.is_empty() {
            let mut migrate = cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.to).arg("").arg(0).arg(5_000).arg("KEYS").arg(&keys);
            tell(self.from, &migrate)?;
        }
        Ok(keys.len())
    }

    /// Moves the keys that are left, and gives the slot to the new master. The other nodes learn of it within moments.
    ///
    /// # Errors
    /// If one of the two masters does not do it.
    pub fn finish(self) -> Result<(), String> {
        while self.move_keys(100)? > 0 {}
        // The new one first: a slot that neither has would be nobody's.
        for port in [self.to, self.from] {
            set_slot(port, self.slot, &["NODE", &self.target])?;
        }
        Ok(())
    }
}

fn set_slot(port: u16, slot: u16, state: &[&str]) -> Result<(), String> {
    tell(port, cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(state))
}
