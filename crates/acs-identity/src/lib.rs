//! The facade of `acs-identity`.
