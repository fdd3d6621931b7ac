//! A stored mapping.

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::unquoted;
use crate::{AcsId, CustomerId, Properties, Revision, Timestamp};

/// One stored link between an ACS ID and a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mapping {
    /// The ACS ID; has one mapping at most.
    pub acs_id: AcsId,
    /// The customer whose ACS ID it is; may have several.
    pub customer_id: CustomerId,
    /// Custom properties.
    pub properties: Properties,
    /// When it expires by the store's clock; `None` if it does not.
    pub expires_at: Option<Timestamp>,
    /// Its version.
    pub revision: Revision,
    /// When this ACS ID was linked to this customer by the store's clock. Kept when the same pair is linked again.
    pub created_at: Timestamp,
}

impl Mapping {
    /// A mapping without properties that does not expire.
    pub fn new(acs_id: AcsId, customer_id: CustomerId, revision: Revision, created_at: Timestamp) -> Self {
        Self { acs_id, customer_id, properties: Properties::default(), expires_at: None, revision, created_at }
    }

    /// Whether it has expired at this time of the store's clock.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// `properties` and `expires_at` may be missing, and other fields are passed over.
impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(remote = "Mapping", rename = "Mapping")]
        struct Form {
            acs_id: AcsId,
            customer_id: CustomerId,
            #[serde(default)]
            properties: Properties,
            #[serde(default)]
            expires_at: Option<Timestamp>,
            revision: Revision,
            created_at: Timestamp,
        }
        Form::deserialize(deserializer).map_err(unquoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_id() {
        let mapping =
            Mapping::new("8:acs:secret_1".parse().unwrap(), "bob".parse().unwrap(), Revision::new(1), Timestamp::MAX);
        let shown = format!("{mapping:?}");
        assert!(!shown.contains("secret") && !shown.contains("bob"), "{shown}");
    }

    #[test]
    fn a_mapping_is_gone_at_the_moment_of_its_expiry() {
        let mut mapping =
            Mapping::new("a".parse().unwrap(), "b".parse().unwrap(), Revision::new(1), Timestamp::from_micros(1));
        mapping.expires_at = Some(Timestamp::from_micros(5));
        assert!(!mapping.is_expired(Timestamp::from_micros(4)) && mapping.is_expired(Timestamp::from_micros(5)));
    }
}
