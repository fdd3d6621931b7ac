//! The read-through cache of `acs-identity`.
