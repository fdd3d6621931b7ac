//! Which licences a dependency may have.

use spdx::{Expression, ParseMode};

use crate::metadata::Package;

/// Permissive licences that ask for no more than a notice; a user of this workspace can ship any of them.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The packages that may not be depended on, each with the reason.
pub(crate) fn violations<'a>(packages: impl Iterator<Item = &'a Package>) -> Vec<String> {
    packages
        .filter_map(|package| {
            let reason = refusal(package.license.as_deref())?;
            Some(format!("{} {}: {reason}", package.name, package.version))
        })
        .collect()
}

/// Why a licence is refused; `None` if it is fine.
fn refusal(licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else {
        return Some("declares no SPDX licence".into());
    };
    // Lax: old packages write `MIT/Apache-2.0`.
    match Expression::parse_mode(licence, ParseMode::LAX) {
        Err(error) => Some(format!("licence `{licence}` is no SPDX expression: {}", error.reason)),
        Ok(expression) if expression.evaluate(is_allowed) => None,
        Ok(_) => Some(format!("licence `{licence}` is not satisfied by the allowed ones: {}", ALLOWED.join(", "))),
    }
}

/// An exception (`WITH …`) only ever adds rights, so it needs no list of its own.
fn is_allowed(requirement: &spdx::LicenseReq) -> bool {
    requirement.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_side_of_an_or_is_enough() {
        for fine in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert_eq!(refusal(Some(fine)), None, "{fine}");
        }
    }

    #[test]
    fn both_sides_of_an_and_are_needed() {
        let reason = refusal(Some("MIT AND GPL-3.0-only")).expect("must be refused");
        assert!(reason.contains("`MIT AND GPL-3.0-only` is not satisfied"), "{reason}");
    }

    #[test]
    fn a_missing_or_unreadable_licence_is_refused() {
        assert_eq!(refusal(None).as_deref(), Some("declares no SPDX licence"));
        assert!(refusal(Some("my own words")).is_some_and(|reason| reason.contains("no SPDX expression")));
        assert!(refusal(Some("LicenseRef-Mine")).is_some_and(|reason| reason.contains("not satisfied")));
    }

    #[test]
    fn a_refused_package_is_named_with_its_version() {
        let package = Package { name: "odd".into(), version: "1.2.3".into(), ..Package::default() };
        assert_eq!(violations([&package].into_iter()), ["odd 1.2.3: declares no SPDX licence"]);
    }

    #[test]
    fn every_allowed_licence_is_a_known_one() {
        for name in ALLOWED {
            assert!(spdx::license_id(name).is_some_and(|id| id.name == name), "{name}");
        }
    }
}
