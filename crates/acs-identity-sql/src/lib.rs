//! The SQL store of `acs-identity`.
