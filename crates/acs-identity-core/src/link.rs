//! What is asked of a write, and what a write answers.

use std::time::Duration;

use crate::{AcsId, CustomerId, Mapping, Properties, Revision, Timestamp};

/// When a [`Link`] may be written. An expired mapping counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Only if the ACS ID has no mapping. The same pair again succeeds and changes nothing, so this may be repeated.
    CreateOnly,
    /// Whatever is there. The last one wins, so after an unknown outcome it should not be repeated blindly.
    Replace,
    /// Only if the present mapping has this revision. May be repeated: if it was written the first time, the
    /// repeat is a conflict that shows a newer revision.
    IfRevision(Revision),
}

/// A request to map an ACS ID to a customer.
///
/// ```
/// use std::time::Duration;
/// use acs_identity_core::Link;
/// let link = Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?).expiring_in(Duration::from_secs(3600));
/// # Ok::<(), acs_identity_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// The ACS ID to map.
    pub acs_id: AcsId,
    /// The customer to map it to.
    pub customer_id: CustomerId,
    /// Custom properties; they replace those that were there.
    pub properties: Properties,
    /// How long the mapping lasts, by the store's clock, to the microsecond; `None` for ever. Zero has expired at once.
    pub expires: Option<Duration>,
    /// When it may be written.
    pub when: When,
}

impl Link {
    fn new(acs_id: AcsId, customer_id: CustomerId, when: When) -> Self {
        Self { acs_id, customer_id, properties: Properties::default(), expires: None, when }
    }

    /// A link that is written only if the ACS ID has none.
    pub fn create(acs_id: AcsId, customer_id: CustomerId) -> Self {
        Self::new(acs_id, customer_id, When::CreateOnly)
    }

    /// A link that is written whatever is there.
    pub fn replace(acs_id: AcsId, customer_id: CustomerId) -> Self {
        Self::new(acs_id, customer_id, When::Replace)
    }

    /// A link that is written only if the present mapping has this revision.
    pub fn if_revision(acs_id: AcsId, customer_id: CustomerId, revision: Revision) -> Self {
        Self::new(acs_id, customer_id, When::IfRevision(revision))
    }

    /// The same with custom properties.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// The same, for so long.
    #[must_use]
    pub fn expiring_in(mut self, lifetime: Duration) -> Self {
        self.expires = Some(lifetime);
        self
    }
}

/// What a successful link did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Linked {
    /// The revision of the mapping that is there now.
    pub revision: Revision,
    /// The mapping that was there before; `None` if there was none, or it had expired.
    pub previous: Option<Mapping>,
    /// The customer who had the ACS ID before, if that was another one; also where his mapping had expired and was still
    /// there. Who keeps answers about customers has to forget those about this one.
    pub displaced: Option<CustomerId>,
    /// Whether anything was written. False only where create-only found the same pair.
    pub changed: bool,
}

impl Linked {
    /// The answer of a store that has written the mapping of a customer in place of what was `present`. For implementors
    /// of a store.
    pub fn written(revision: Revision, customer: &CustomerId, present: Option<Mapping>, now: Timestamp) -> Self {
        let displaced =
            present.as_ref().map(|mapping| &mapping.customer_id).filter(|before| *before != customer).cloned();
        Self { revision, previous: present.filter(|mapping| !mapping.is_expired(now)), displaced, changed: true }
    }

    /// The answer of a store that has found the same pair, and written nothing. For implementors of a store.
    pub fn kept(present: Mapping) -> Self {
        Self { revision: present.revision, previous: Some(present), displaced: None, changed: false }
    }
}

/// What must be there for an unlink to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// Any mapping. The last writer wins: after an unknown outcome this should not be repeated blindly.
    Any,
    /// A mapping to this customer. May be repeated.
    Customer(CustomerId),
    /// A mapping of this revision. May be repeated.
    Revision(Revision),
}

/// What became of one mapping in an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Imported {
    /// It was written as it is, revision and times included.
    Written,
    /// The store already had this revision of the ACS ID or a newer one, which was kept.
    Kept,
    /// It has expired by the store's clock; nothing was written.
    Expired,
}
