//! What PostgreSQL's errors mean to a caller.

use acs_identity_core::ErrorKind;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::error::{Code, Failure};

pub(super) fn refused(error: &dyn DatabaseError) -> Failure {
    let Some(state) = error.code() else { return Failure::Driver };
    match error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine) {
        // A prepared statement whose columns have other types now. The state is that of any feature that is not there; which one
        // it is can't be told but by the place in the server's source, as the text is in the server's language.
        Some("RevalidateCachedQuery" | "RevalidateCachedPlan") if state == UNSUPPORTED => {
            Failure::Stale { source: Code::Postgres(state.into_owned()) }
        }
        _ => sql_state(&state),
    }
}

/// The server has no such feature, or not now.
pub(super) const UNSUPPORTED: &str = "0A000";

pub(super) fn commit_refused(error: &dyn DatabaseError) -> Option<Failure> {
    // Serialisation failures and deadlocks, broken constraints, transactions that had failed before.
    let state = error.code().filter(|state| state != "40003" && ["40", "23", "25"].contains(&class(state)))?;
    Some(sql_state(&state))
}

fn class(state: &str) -> &str {
    state.get(..2).unwrap_or_default()
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
fn sql_state(state: &str) -> Failure {
    let source = Code::Postgres(state.to_owned());
    let (kind, what) = match (class(state), state) {
        // Two transactions that can't both go on.
        (_, "40001" | "40P01") => return Failure::Contended { source },
        (_, UNSUPPORTED) => (ErrorKind::Misconfigured, "the database lacks a feature that the store needs"),
        // The server ends the connection: it is stopped, restarts, or crashed.
        ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "25P03") => {
            return Failure::Cut { source: Some(source) };
        }
        (_, "55P03") => return Failure::Locked { source },
        (_, "57014") => (ErrorKind::Timeout, "the server gave the statement up"),
        (_, "25006") => return Failure::ReadOnly { source },
        (_, "28000") => (
            ErrorKind::Denied,
            "the server takes no such connection: TLS, another host, user or database may be demanded",
        ),
        ("28", _) => (ErrorKind::Denied, "the server refuses the credentials"),
        (_, "42501") => (ErrorKind::Denied, "the role may not do that"),
        ("3D" | "3F", _) => (ErrorKind::Misconfigured, "there is no such database or schema"),
        (_, "23505") => (ErrorKind::Misconfigured, "a row breaks a unique key that this store did not make"),
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
            ("25006", ErrorKind::Unavailable),
            ("XX001", ErrorKind::Corrupt),
            ("0A000", ErrorKind::Misconfigured),
        ] {
            assert_eq!(Error::from(sql_state(state)).kind(), kind, "{state}");
        }
    }
}
