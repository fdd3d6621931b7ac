//! The conformance suite of `acs-identity`.
