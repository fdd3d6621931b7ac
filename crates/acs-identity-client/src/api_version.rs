//! Which version of the service's interface is spoken.

use acs_identity_core::{Error, Result};

use crate::text::extensible;

extensible! {
    /// A version of the Identity service's REST interface; the query parameter `api-version`.
    ///
    /// What a version lacks is refused before any I/O, with `Unsupported`. Of a version that is not known here everything is
    /// expected.
    ///
    /// | | adds |
    /// |---|---|
    /// | [`V2021_03_07`](Self::V2021_03_07) | create, delete, issue, revoke |
    /// | [`V2022_06_01`](Self::V2022_06_01) | exchange of a Teams user's token |
    /// | [`V2022_10_01`](Self::V2022_10_01) | how long a token lasts |
    /// | [`V2023_10_01`](Self::V2023_10_01) | the scopes `chat.join`, `chat.join.limited` and `voip.join` |
    /// | [`V2025_03_02_PREVIEW`](Self::V2025_03_02_PREVIEW) | custom IDs and the detail of a user |
    ///
    /// [Source](https://github.com/Azure/azure-rest-api-specs/tree/main/specification/communication/data-plane/Identity): the
    /// specifications of the versions. A preview may be withdrawn by ACS.
    ApiVersion, "an api-version", {
        /// Of March 2021, the first stable one.
        V2021_03_07 = "2021-03-07",
        /// Of June 2022.
        V2022_06_01 = "2022-06-01",
        /// Of October 2022.
        V2022_10_01 = "2022-10-01",
        /// Of October 2023: the default.
        V2023_10_01 = "2023-10-01",
        /// The preview of March 2025: the only known one with custom IDs.
        V2025_03_02_PREVIEW = "2025-03-02-preview",
    }
}

/// [`V2023_10_01`](Self::V2023_10_01), as in the official SDKs.
impl Default for ApiVersion {
    fn default() -> Self {
        Self::V2023_10_01
    }
}

/// What not every version has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Feature {
    TeamsExchange,
    Expiry,
    JoinScopes,
    /// With the detail of a user, in which they are read back.
    CustomIds,
}

impl ApiVersion {
    /// That this version has it.
    pub(crate) fn require(&self, feature: Feature) -> Result<()> {
        // 2025-06-30, stable, is known to have no custom IDs.
        let (what, without): (_, &[&str]) = match feature {
            Feature::TeamsExchange => ("exchange of Teams users' tokens", &["2021-03-07"]),
            Feature::Expiry => ("choice of how long a token lasts", &["2021-03-07", "2022-06-01"]),
            Feature::JoinScopes => ("scopes with join", &["2021-03-07", "2022-06-01", "2022-10-01"]),
            Feature::CustomIds => (
                "custom IDs and no detail of a user",
                &["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01", "2025-06-30"],
            ),
        };
        if without.contains(&self.as_str()) {
            return Err(Error::unsupported(format!("api-version {self} has no {what}; choose another in the options")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::ErrorKind;

    use super::*;

    #[test]
    fn what_a_version_lacks_is_unsupported_and_an_unknown_one_may_have_all() {
        let has = |version: ApiVersion| {
            [Feature::TeamsExchange, Feature::Expiry, Feature::JoinScopes, Feature::CustomIds]
                .map(|feature| version.require(feature).map_err(|error| error.kind()))
        };
        let no = Err(ErrorKind::Unsupported);
        assert_eq!(has(ApiVersion::V2021_03_07), [no; 4]);
        assert_eq!(has(ApiVersion::V2022_06_01), [Ok(()), no, no, no]);
        assert_eq!(has(ApiVersion::V2022_10_01), [Ok(()), Ok(()), no, no]);
        assert_eq!(has(ApiVersion::default()), [Ok(()), Ok(()), Ok(()), no]);
        assert_eq!(has(ApiVersion::V2025_03_02_PREVIEW), [Ok(()); 4]);
        assert_eq!(has("2031-01-01".parse().unwrap()), [Ok(()); 4]);
    }

    #[test]
    fn what_would_change_the_address_is_refused() {
        for bad in ["", "2023-10-01&x=1", "2023 10 01", "ü", &"9".repeat(65)] {
            assert_eq!(ApiVersion::new(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
        assert_eq!(ApiVersion::new("2023-10-01").unwrap(), ApiVersion::V2023_10_01);
    }
}
