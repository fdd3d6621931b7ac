//! The one error type of the workspace.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::Revision;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is; decides what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong; it was refused before any I/O and nothing was changed.
    InvalidInput,
    /// The condition of a write did not hold, and nothing was changed; see [`Error::present_revision`]. Of a read: the
    /// backend holds two different answers.
    Conflict,
    /// The backend could not be reached or could not serve; nothing was changed.
    Unavailable,
    /// No answer within the deadline; nothing was changed.
    Timeout,
    /// A write was sent and its answer was lost: it may or may not have been applied. A conditional
    /// write may be repeated to find out; an unconditional one may not be repeated blindly.
    OutcomeUnknown,
    /// This backend, or this handle, cannot do that.
    Unsupported,
    /// The backend refused the credentials or the right to do that.
    Denied,
    /// The backend is set up in a way in which the promises cannot be kept, for instance with a newer schema.
    Misconfigured,
    /// The backend holds a record that cannot be read.
    Corrupt,
    /// A fault in a resolver or in this library, such as a panic.
    Internal,
}

impl ErrorKind {
    const fn sentence(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid input",
            Self::Conflict => "conflict",
            Self::Unavailable => "backend unavailable",
            Self::Timeout => "deadline passed",
            Self::OutcomeUnknown => "outcome of the write unknown",
            Self::Unsupported => "not supported",
            Self::Denied => "denied by the backend",
            Self::Misconfigured => "backend misconfigured",
            Self::Corrupt => "unreadable record",
            Self::Internal => "internal fault",
        }
    }
}

/// Why a call failed.
///
/// Cheap to clone, so that one failure can be handed to everyone who waited for it. `Display` names
/// the kind, what is wrong, the operation and the backend, but not the text of the
/// [`source`](StdError::source): an error reporter prints that once by itself. No secret or token is in it, and no ID
/// but the first 32 escaped bytes of one that was refused.
///
/// ```
/// use acs_identity_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Unavailable, "connection refused").in_operation("resolve").in_backend("directory");
/// assert!(error.is_transient());
/// assert_eq!(error.to_string(), "backend unavailable: connection refused (resolve, directory)");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Box<str>,
    operation: Option<&'static str>,
    backend: Option<&'static str>,
    present: Option<Revision>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of a kind, with one sentence that says what is wrong. The sentence must hold no private text.
    pub fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            operation: None,
            backend: None,
            present: None,
            source: None,
        }))
    }

    /// An [`ErrorKind::InvalidInput`] error.
    pub fn invalid_input(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// An [`ErrorKind::Unsupported`] error.
    pub fn unsupported(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An [`ErrorKind::Conflict`] error: the condition of a write did not hold. `present` is the
    /// revision of the mapping that is there, `None` if there is none.
    pub fn conflict(message: impl Into<Box<str>>, present: Option<Revision>) -> Self {
        let mut error = Self::new(ErrorKind::Conflict, message);
        error.edit().present = present;
        error
    }

    /// The same error with the operation that failed.
    #[must_use]
    pub fn in_operation(mut self, operation: &'static str) -> Self {
        self.edit().operation = Some(operation);
        self
    }

    /// The same error with the backend in which it happened.
    #[must_use]
    pub fn in_backend(mut self, backend: &'static str) -> Self {
        self.edit().backend = Some(backend);
        self
    }

    /// The same error with its cause. What the cause prints is the caller's to answer for.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.edit().source = Some(Arc::new(source));
        self
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without any change, and may be repeated safely.
    ///
    /// True of [`ErrorKind::Unavailable`] and [`ErrorKind::Timeout`], which both say that nothing was
    /// changed. Not of [`ErrorKind::OutcomeUnknown`]: only a conditional write may follow that.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::Timeout)
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The operation that failed, if it is known.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The backend in which it happened, if it is known.
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// Of a conflict, the revision of the mapping that is there; `None` if there is none.
    pub fn present_revision(&self) -> Option<Revision> {
        self.0.present
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.sentence(), self.0.message)?;
        match (self.0.operation, self.0.backend) {
            (Some(operation), Some(backend)) => write!(f, " ({operation}, {backend})"),
            (Some(one), None) | (None, Some(one)) => write!(f, " ({one})"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("operation", &self.0.operation)
            .field("backend", &self.0.backend)
            .field("present_revision", &self.0.present)
            // A driver's own Debug may hold the values of a row, so the source is only said to be there.
            .field("has_source", &self.0.source.is_some())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Lets a conversion that cannot fail stand where one that can is asked for.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_the_source_to_the_reporter() {
        let error =
            Error::new(ErrorKind::Unavailable, "no connection").with_source(std::io::Error::other("secret detail"));
        assert_eq!(error.to_string(), "backend unavailable: no connection");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("secret detail"));
    }

    #[test]
    fn an_unknown_outcome_is_not_transient() {
        assert!(!Error::new(ErrorKind::OutcomeUnknown, "cut").is_transient());
        assert!(Error::new(ErrorKind::Timeout, "slow").is_transient());
    }

    #[test]
    fn a_clone_is_edited_alone() {
        let error = Error::conflict("taken", Some(Revision::new(7)));
        let named = error.clone().in_operation("link");
        assert_eq!((error.operation(), named.operation()), (None, Some("link")));
        assert_eq!(named.present_revision(), Some(Revision::new(7)));
    }
}
