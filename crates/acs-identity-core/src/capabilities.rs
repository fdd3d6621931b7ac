//! What a store can do beyond what every store must.

/// Something that not every store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// What was written is still there when the process ends and another opens the store.
    Durable,
    /// `scan` lists each mapping exactly once, not just at least once.
    ScanExactlyOnce,
    /// The store has a change feed.
    ChangeFeed,
}

impl Capability {
    const COUNT: usize = 3;
}

/// What a store says of itself. What it lacks, it lacks for a reason that can be shown to people.
///
/// A store lists what it has. What is not listed it lacks, also what is added to [`Capability`] later.
///
/// ```
/// use acs_identity_core::{Capabilities, Capability};
/// const MINE: Capabilities = Capabilities::none()
///     .with(Capability::ChangeFeed)
///     .without(Capability::Durable, "mappings live in this process only");
/// assert_eq!(MINE.lacks(Capability::ChangeFeed), None);
/// assert_eq!(MINE.lacks(Capability::Durable), Some("mappings live in this process only"));
/// assert_eq!(MINE.lacks(Capability::ScanExactlyOnce), Some("the store does not declare it"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// For each capability why it is lacking.
pub struct Capabilities([Option<&'static str>; Capability::COUNT]);

impl Capabilities {
    /// None of them.
    pub const fn none() -> Self {
        Self([Some("the store does not declare it"); Capability::COUNT])
    }

    /// The same and this one.
    #[must_use]
    pub const fn with(mut self, capability: Capability) -> Self {
        self.0[capability as usize] = None;
        self
    }

    /// The same without this one, and why.
    #[must_use]
    pub const fn without(mut self, capability: Capability, reason: &'static str) -> Self {
        self.0[capability as usize] = Some(reason);
        self
    }

    /// Why the store lacks this; `None` if it has it.
    pub const fn lacks(&self, capability: Capability) -> Option<&'static str> {
        self.0[capability as usize]
    }
}
