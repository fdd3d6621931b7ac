//! Why a call on a database failed, and what the caller is told.

use std::io;
use std::time::Duration;

use acs_identity_core::{Error, ErrorKind};

/// Everything that can go wrong between this crate and a database.
///
/// A driver's own error is not kept, only its code: its text may quote the values of a row.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{what}")]
    Database { kind: ErrorKind, what: &'static str, source: Code },
    /// Set apart, as it tells for certain that nothing was done.
    #[error("{}", locked(source))]
    Locked { source: Code },
    #[error("the connection to the database is lost")]
    Disconnected,
    /// The connection is lost, and with it the transaction if there was one: nothing was done.
    #[error("the connection to the database is lost")]
    Cut { source: Option<Code> },
    /// Somebody else was in the way. The transaction is rolled back, and may well succeed if it is begun again.
    #[error("another transaction was in the way")]
    Contended { source: Code },
    /// Somebody else has inserted a row that was not there, or was not looked for.
    #[error("another transaction was in the way")]
    Raced,
    /// What the connection had prepared does not fit the tables any more, which somebody has changed.
    #[error("the tables were changed while they were in use")]
    Stale { source: Code },
    #[error("no connection could be had in time")]
    NoConnection,
    /// None could be made, though there is room for more of them: the server may be there again soon.
    #[error("no connection could be made in time")]
    Unreachable,
    /// Another server may take them; its address may be the same.
    #[error("the server takes no writes now")]
    ReadOnly { source: Code },
    #[error("another process is changing the schema")]
    Migrating,
    #[error("the driver could not carry out the statement")]
    Driver,
    #[error("the store is closed")]
    Closed,
    /// With what had been in the way, if the work was begun more than once.
    #[error("no answer within {deadline:?}")]
    Deadline { deadline: Duration, source: Option<Box<Failure>> },
    /// Only ever seen by a task whose caller has left.
    #[error("nobody waits for the answer")]
    Abandoned,
    #[error("the commit was not acknowledged")]
    OutcomeUnknown,
    #[error("the commit failed on its way to the disk")]
    Unacknowledged { source: Code },
    #[error("the task of the call ended without an answer")]
    Task,
    #[error("column {0} of a stored row cannot be read")]
    Unreadable(&'static str),
    #[error("the properties cannot be written as JSON")]
    Properties,
    #[error("the database has schema version {found}, and this release knows only up to {known}")]
    NewerSchema { found: i64, known: i64 },
    #[error("{0}")]
    Setup(&'static str),
    /// A decision of the rules.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// A database's own code for what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Code {
    #[error("SQLite result code {0}")]
    Sqlite(i32),
    #[error("PostgreSQL SQLSTATE {0}")]
    Postgres(String),
    #[error("MySQL error {0}")]
    MySql(u16),
    /// Not the database's own: what the operating system says of the connection.
    #[error("connection: {0}")]
    Connection(io::ErrorKind),
    #[error("connection: the host's address cannot be found")]
    UnknownHost,
}

impl From<&io::Error> for Code {
    fn from(error: &io::Error) -> Self {
        // The standard library has no kind for it, only this text of its own, which is in no other language. Were it another one
        // day, the source of a `Timeout` would say less; nothing is decided by it. Of any other text only the kind is kept.
        match error.to_string().starts_with("failed to lookup address information") {
            true => Self::UnknownHost,
            false => Self::Connection(error.kind()),
        }
    }
}

/// SQLite has one lock for all.
fn locked(source: &Code) -> &'static str {
    match source {
        Code::Sqlite(_) => "the database is locked by another connection",
        _ => "another transaction holds a row or a table locked",
    }
}

impl Failure {
    /// Whether nothing was done, and the same work begun again may succeed.
    pub(crate) fn is_repeatable(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Unreachable | Self::Contended { .. } | Self::Raced | Self::Stale { .. })
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Database { kind, .. } => *kind,
            Self::Locked { .. }
            | Self::Disconnected
            | Self::Cut { .. }
            | Self::Contended { .. }
            | Self::Raced
            | Self::Stale { .. }
            | Self::ReadOnly { .. }
            | Self::Migrating
            | Self::Closed => ErrorKind::Unavailable,
            Self::NoConnection | Self::Unreachable | Self::Deadline { .. } | Self::Abandoned => ErrorKind::Timeout,
            Self::Driver | Self::Task | Self::Properties => ErrorKind::Internal,
            Self::OutcomeUnknown | Self::Unacknowledged { .. } => ErrorKind::OutcomeUnknown,
            Self::Unreadable(_) => ErrorKind::Corrupt,
            Self::NewerSchema { .. } | Self::Setup(_) => ErrorKind::Misconfigured,
            Self::Refused(error) => error.kind(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Error::new(failure.kind(), failure.to_string());
        match failure {
            Failure::Refused(error) => error,
            Failure::Database { source, .. }
            | Failure::Locked { source }
            | Failure::Unacknowledged { source }
            | Failure::ReadOnly { source }
            | Failure::Contended { source }
            | Failure::Stale { source }
            | Failure::Cut { source: Some(source) } => error.with_source(source),
            Failure::Deadline { source: Some(source), .. } => error.with_source(*source),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_code_is_the_source_and_is_not_in_the_text() {
        let source = Code::Sqlite(517);
        let error = Error::from(Failure::Locked { source });
        assert_eq!(error.to_string(), "backend unavailable: the database is locked by another connection");
        assert_eq!(error.source().unwrap().to_string(), "SQLite result code 517");
        assert!(error.is_transient());
    }

    #[test]
    fn a_deadline_before_the_commit_is_transient_and_one_in_it_is_not() {
        assert!(Error::from(Failure::Deadline { deadline: Duration::from_secs(5), source: None }).is_transient());
        assert_eq!(Error::from(Failure::OutcomeUnknown).kind(), ErrorKind::OutcomeUnknown);
    }
}
