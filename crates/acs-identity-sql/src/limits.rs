//! The limits of options, which all databases share.

use std::time::Duration;

use acs_identity_core::{Error, Result};

/// The longest deadline and the longest interval: one hour.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Refuses a deadline or an interval that makes no sense.
pub(crate) fn check_wait(name: &str, wait: Duration) -> Result<()> {
    if wait < Duration::from_millis(1) || wait > MAX_WAIT {
        return Err(Error::invalid_input(format!("the {name} is 1 ms to 1 hour, not {wait:?}")));
    }
    Ok(())
}
