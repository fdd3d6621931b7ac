//! What SQLite's result codes mean to a caller.

use acs_identity_core::ErrorKind;

use crate::error::{Code, Failure};

/// A driver's error as a failure. Only its code is kept.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::PoolClosed => Failure::Closed,
        sqlx::Error::PoolTimedOut => Failure::NoConnection,
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => Failure::Disconnected,
        sqlx::Error::Database(error) => match error.code().and_then(|code| code.parse().ok()) {
            Some(code) => result_code(code),
            None => Failure::Driver,
        },
        _ => Failure::Driver,
    }
}

/// The extended code of a row that is there already.
const PRIMARY_KEY: i32 = 1555;

// https://sqlite.org/rescode.html
fn result_code(code: i32) -> Failure {
    let source = Code::Sqlite(code);
    // The low byte is the primary code, the others tell more about it.
    let (kind, what) = match code & 0xff {
        // The rows of an insert that was tried without looking first.
        _ if code == PRIMARY_KEY => return Failure::Contended { source },
        5 | 6 => return Failure::Locked { source },
        1 | 17 | 19 | 20 => {
            (ErrorKind::Misconfigured, "the tables are not there, or not the ones that this store made")
        }
        3 | 8 | 23 => (ErrorKind::Denied, "the database may not be written by this process"),
        4 | 9 => (ErrorKind::Unavailable, "the statement was interrupted"),
        7 => (ErrorKind::Unavailable, "there is not enough memory"),
        10 => (ErrorKind::Unavailable, "the database file cannot be read or written"),
        11 => (ErrorKind::Corrupt, "the database file is damaged"),
        13 => (ErrorKind::Unavailable, "the disk is full"),
        14 => (ErrorKind::Unavailable, "the database file cannot be opened"),
        15 => (ErrorKind::Unavailable, "the lock of the database file cannot be had"),
        26 => (ErrorKind::Misconfigured, "the file is not an SQLite database"),
        _ => (ErrorKind::Internal, "SQLite refused the statement"),
    };
    Failure::Database { kind, what, source }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::Error;

    use super::*;

    #[test]
    fn each_code_has_the_kind_that_tells_what_to_do() {
        for (code, kind) in [
            (5, ErrorKind::Unavailable),
            (517, ErrorKind::Unavailable),
            (262, ErrorKind::Unavailable),
            (1, ErrorKind::Misconfigured),
            (1032, ErrorKind::Denied),
            (778, ErrorKind::Unavailable),
            (11, ErrorKind::Corrupt),
            (13, ErrorKind::Unavailable),
            (26, ErrorKind::Misconfigured),
            (21, ErrorKind::Internal),
        ] {
            assert_eq!(Error::from(result_code(code)).kind(), kind, "{code}");
        }
        assert_eq!(Error::from(failure(sqlx::Error::PoolTimedOut)).kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_drivers_text_goes_nowhere() {
        let error = Error::from(failure(sqlx::Error::Protocol("bob@contoso.com".into())));
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("bob"));
    }
}
