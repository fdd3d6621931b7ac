//! What the errors of MySQL and MariaDB mean to a caller.

use acs_identity_core::ErrorKind;
use sqlx::mysql::MySqlDatabaseError;

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
        sqlx::Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => number(error.number()),
            None => Failure::Driver,
        },
        _ => Failure::Driver,
    }
}

/// The failure of a commit. Only some errors say for certain that it was not carried out.
pub(super) fn commit_failure(error: sqlx::Error) -> Failure {
    match failure(error) {
        // Deadlocks, also those that a cluster of servers finds out about only now.
        contended @ Failure::Contended { .. } => contended,
        _ => Failure::OutcomeUnknown,
    }
}

// https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
fn number(number: u16) -> Failure {
    let source = Code::MySql(number);
    let (kind, what) = match number {
        // A key that somebody else has inserted since it was looked for; two transactions that can't both go on.
        1062 | 1213 => return Failure::Contended { source },
        // The server ends the connection: it is stopped, or an administrator kills it.
        1053 | 1077 | 1079 | 1080 | 1158..=1161 | 1184 | 1317 | 1927 | 2006 | 2013 | 4031 => {
            return Failure::Cut { source: Some(source) };
        }
        1205 => return Failure::Locked { source },
        1969 | 3024 => (ErrorKind::Timeout, "the server gave the statement up"),
        1290 | 1792 | 1836 => (ErrorKind::Unavailable, "the server takes no writes now"),
        1040 | 1203 | 1226 => (ErrorKind::Unavailable, "the server has no room for the connection"),
        1021 | 1114 => (ErrorKind::Unavailable, "the disk is full"),
        // MariaDB says the same to a client without TLS where that is demanded.
        1045 | 1698 => (ErrorKind::Denied, "the server refuses the credentials, or a connection without TLS"),
        3159 => (ErrorKind::Denied, "the server takes no connections without TLS"),
        1044 | 1130 | 1142 | 1143 | 1227 | 1370 | 1419 => {
            (ErrorKind::Denied, "the server refuses the user, or what it wants to do")
        }
        1049 => (ErrorKind::Misconfigured, "there is no such database"),
        1046 => (ErrorKind::Misconfigured, "the URL names no database"),
        1665 => (ErrorKind::Misconfigured, "the server's binlog_format does not allow READ COMMITTED"),
        1054 | 1146 | 1136 | 1364 | 1406 | 1048 => {
            (ErrorKind::Misconfigured, "the tables are not there, or not the ones that this store made")
        }
        1194 | 1712 | 126..=127 => (ErrorKind::Corrupt, "the server says that data or an index is damaged"),
        _ => (ErrorKind::Internal, "the server refused the statement"),
    };
    Failure::Database { kind, what, source }
}

#[cfg(test)]
mod tests {
    use acs_identity_core::Error;

    use super::*;

    #[test]
    fn each_number_has_the_kind_that_tells_what_to_do() {
        for (code, kind) in [
            (1213, ErrorKind::Unavailable),
            (1205, ErrorKind::Unavailable),
            (1927, ErrorKind::Unavailable),
            (1969, ErrorKind::Timeout),
            (1045, ErrorKind::Denied),
            (3159, ErrorKind::Denied),
            (1049, ErrorKind::Misconfigured),
            (1146, ErrorKind::Misconfigured),
            (1040, ErrorKind::Unavailable),
            (1105, ErrorKind::Internal),
        ] {
            assert_eq!(Error::from(number(code)).kind(), kind, "{code}");
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
