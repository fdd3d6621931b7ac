//! What PostgreSQL's errors mean to a caller.

use acs_identity_core::ErrorKind;

use crate::error::{Code, Failure};
use crate::remote::tls;

/// A driver's error as a failure. Only its code is kept.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::PoolClosed => Failure::Closed,
        sqlx::Error::PoolTimedOut => Failure::NoConnection,
        sqlx::Error::Io(error) => tls::broken(&error),
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Failure::Cut { source: None },
        sqlx::Error::Tls(_) => tls::UNUSABLE,
        sqlx::Error::Configuration(_) => Failure::Setup("the connection's options cannot be used"),
        sqlx::Error::Database(error) => match error.code() {
            Some(state) => sql_state(&state),
            None => Failure::Driver,
        },
        _ => Failure::Driver,
    }
}

/// The failure of a commit. Only some errors say for certain that it was not carried out.
pub(super) fn commit_failure(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // Serialisation failures and deadlocks, broken constraints, transactions that had failed before.
            Some(state) if state != "40003" && ["40", "23", "25"].contains(&class(state)) => sql_state(state),
            _ => Failure::OutcomeUnknown,
        },
        _ => Failure::OutcomeUnknown,
    }
}

fn class(state: &str) -> &str {
    state.get(..2).unwrap_or_default()
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
fn sql_state(state: &str) -> Failure {
    let source = Code::Postgres(state.to_owned());
    let (kind, what) = match (class(state), state) {
        // A key that somebody else has inserted since it was looked for; two transactions that can't both go on.
        (_, "23505" | "40001" | "40P01") => return Failure::Contended { source },
        // The server ends the connection: it is stopped, restarts, or crashed.
        ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "25P03") => {
            return Failure::Cut { source: Some(source) };
        }
        (_, "55P03") => return Failure::Locked { source },
        (_, "57014") => (ErrorKind::Timeout, "the server gave the statement up"),
        (_, "25006") => (ErrorKind::Unavailable, "the server takes no writes now"),
        (_, "28000") => (
            ErrorKind::Denied,
            "the server takes no such connection: TLS, another host, user or database may be demanded",
        ),
        ("28", _) => (ErrorKind::Denied, "the server refuses the credentials"),
        (_, "42501") => (ErrorKind::Denied, "the role may not do that"),
        ("3D" | "3F", _) => (ErrorKind::Misconfigured, "there is no such database or schema"),
        ("42" | "23" | "22", _) => {
            (ErrorKind::Misconfigured, "the tables are not there, or not the ones that this store made")
        }
        (_, "53100") => (ErrorKind::Unavailable, "the disk is full"),
        ("53", _) => (ErrorKind::Unavailable, "the server has no room for the statement or the connection"),
        ("57" | "58", _) => (ErrorKind::Unavailable, "the server is in trouble"),
        ("XX", _) => (ErrorKind::Corrupt, "the server says that data or an index is damaged"),
        _ => (ErrorKind::Internal, "PostgreSQL refused the statement"),
    };
    Failure::Database { kind, what, source }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::Error;

    use super::*;

    #[test]
    fn each_state_has_the_kind_that_tells_what_to_do() {
        for (state, kind) in [
            ("40001", ErrorKind::Unavailable),
            ("57P01", ErrorKind::Unavailable),
            ("55P03", ErrorKind::Unavailable),
            ("57014", ErrorKind::Timeout),
            ("28000", ErrorKind::Denied),
            ("28P01", ErrorKind::Denied),
            ("42501", ErrorKind::Denied),
            ("3D000", ErrorKind::Misconfigured),
            ("42P01", ErrorKind::Misconfigured),
            ("53300", ErrorKind::Unavailable),
            ("XX001", ErrorKind::Corrupt),
            ("0A000", ErrorKind::Internal),
        ] {
            assert_eq!(Error::from(sql_state(state)).kind(), kind, "{state}");
        }
        assert_eq!(Error::from(failure(sqlx::Error::PoolTimedOut)).kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_commit_that_broke_off_is_unknown() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(commit_failure(sqlx::Error::Io(broken)), Failure::OutcomeUnknown));
    }

    #[test]
    fn a_drivers_text_goes_nowhere() {
        let error = Error::from(failure(sqlx::Error::Protocol("bob@contoso.com".into())));
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("bob"));
    }
}
