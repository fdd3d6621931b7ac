//! What the errors of MySQL and MariaDB mean to a caller.

use acs_identity_core::ErrorKind;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use crate::error::{Code, Failure};

pub(super) fn refused(error: &dyn DatabaseError) -> Failure {
    let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else { return Failure::Driver };
    match error.number() {
        // A key that somebody else has inserted since it was looked for. Only the text names the index: MySQL with its table, and
        // each in the server's language, but the name in these quotes. The text has the value, too: one that ends so, in a unique
        // key that somebody added, is taken for ours, and begun again until the deadline.
        1062 if error.message().contains("PRIMARY'") => Failure::Contended { source: Code::MySql(1062) },
        code => number(code),
    }
}

pub(super) fn commit_refused(error: &dyn DatabaseError) -> Option<Failure> {
    // Deadlocks, also those that a cluster of servers finds out about only now.
    Some(refused(error)).filter(|failure| matches!(failure, Failure::Contended { .. }))
}

// https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
fn number(number: u16) -> Failure {
    let source = Code::MySql(number);
    let (kind, what) = match number {
        // Two transactions that can't both go on, which a group of servers may find out only at the commit; a lock on the next
        // number of the log that could not be had.
        1213 | 1467 | 3101 => return Failure::Contended { source },
        // The server ends the connection: it is stopped, or an administrator kills it.
        1053 | 1077 | 1079 | 1080 | 1158..=1161 | 1184 | 1927 | 4031 => {
            return Failure::Cut { source: Some(source) };
        }
        1205 | 3572 => return Failure::Locked { source },
        1290 | 1792 | 1836 => return Failure::ReadOnly { source },
        1969 | 3024 => (ErrorKind::Timeout, "the server gave the statement up"),
        // By an administrator; the connection stays.
        1317 => (ErrorKind::Unavailable, "the statement was interrupted"),
        1047 => (ErrorKind::Unavailable, "the server is not ready: its cluster may not be whole"),
        1129 => (ErrorKind::Unavailable, "the server takes no connections of this host after many errors"),
        1040 | 1203 | 1226 => (ErrorKind::Unavailable, "the server has no room for the connection"),
        1461 => (ErrorKind::Unavailable, "the server has no room for another prepared statement"),
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
        1062 => (ErrorKind::Misconfigured, "a row breaks a unique key that this store did not make"),
        1048 | 1054 | 1136 | 1146 | 1356 | 1364 | 1406 | 4078 | 4079 => {
            (ErrorKind::Misconfigured, "the tables are not there, or not the ones that this store made")
        }
        1194 | 1712 => (ErrorKind::Corrupt, "the server says that data or an index is damaged"),
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
            (1047, ErrorKind::Unavailable),
            (1129, ErrorKind::Unavailable),
            (1290, ErrorKind::Unavailable),
            (1317, ErrorKind::Unavailable),
            (1356, ErrorKind::Misconfigured),
            (4079, ErrorKind::Misconfigured),
            (1969, ErrorKind::Timeout),
            (1045, ErrorKind::Denied),
            (3159, ErrorKind::Denied),
            (1049, ErrorKind::Misconfigured),
            (1146, ErrorKind::Misconfigured),
            (1062, ErrorKind::Misconfigured),
            (1461, ErrorKind::Unavailable),
            (1040, ErrorKind::Unavailable),
            (1105, ErrorKind::Internal),
        ] {
            assert_eq!(Error::from(number(code)).kind(), kind, "{code}");
        }
    }

    #[test]
    fn only_what_tells_that_the_connection_or_the_transaction_is_gone_is_tried_again() {
        for (code, again) in [
            (3101, true),
            (1213, true),
            (1467, true),
            (1062, false),
            (1927, true),
            (1317, false),
            (1290, false),
            (1205, false),
        ] {
            assert_eq!(number(code).is_repeatable(), again, "{code}");
        }
    }
}
