//! Why a call on Redis failed, and what the caller is told.

use std::sync::Arc;

use acs_identity_core::{Error, ErrorKind};
use redis::{RedisError, ServerErrorKind, Value};

use crate::tls;

/// Everything that can go wrong between this crate and a server.
///
/// The driver's own error is not kept, only the server's code: its text may quote keys.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{what}")]
    Server { kind: ErrorKind, what: &'static str, code: Code },
    #[error("no connection to the server could be made")]
    NoConnection,
    #[error(
        "the server takes connections and ends them at once; it may take only those with TLS (`rediss://`), or have too many (`maxclients`)"
    )]
    Rejected,
    #[error("no connection with TLS could be made in time; the server may not speak TLS on this port")]
    Silent,
    #[error("the connection to the server is lost")]
    Cut,
    #[error("no node of the cluster serves this key now")]
    Uncovered,
    #[error("the server is a replica, and takes no writes")]
    Replica,
    /// To a command about several keys, which nobody but a read has.
    #[error("some of the keys have been moved to another node, and some have not")]
    Divided,
    #[error("no answer within the deadline")]
    NoAnswer,
    #[error("the store is closed")]
    Closed,
    #[error("the write was sent, and its answer is lost")]
    OutcomeUnknown,
    /// With the server's answer.
    #[error("the write is done, and too few replicas have acknowledged it")]
    Unacknowledged(Arc<Value>),
    #[error("too few replicas have acknowledged what comes before the write, so nothing is written")]
    Unprepared,
    #[error("the write was on its way for so long that it was not done")]
    TooLate,
    #[error("not tried, as an earlier part of the batch failed")]
    NotTried,
    #[error(
        "the mappings are unlinked, and entries of the index stay that a write may be about to need; call again, at the latest after ten minutes"
    )]
    Intended,
    #[error("the task of the call ended without an answer")]
    Task,
    #[error("a stored record cannot be read")]
    Unreadable,
    #[error("the server's answer is not of the expected form")]
    Answer,
    #[error("the properties cannot be written as JSON")]
    Properties,
    #[error("the cluster or its server has changed since the scan began, which has to begin anew")]
    Moved,
    #[error("{0}")]
    Setup(&'static str),
    /// A decision of the rules.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// The code in front of a server's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Redis error {0}")]
pub(crate) struct Code(String);

/// What an error means for whoever sent the command.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The command was not carried out, and may be later or elsewhere.
    NotDone(Failure, Elsewhere),
    /// Whether the command was carried out is unknown.
    Lost(Failure),
    /// It makes no sense to ask again. A write was not carried out.
    Final(Failure),
}

/// Where a command may be carried out that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Here, a little later.
    Here,
    /// Here, once the server has been given the script.
    WithScript,
    /// At this address, this time only; an empty host is that of the server that says so.
    Ask(String, u16),
    /// The nodes have to be looked for anew.
    Unknown,
}

impl Trouble {
    /// What a server's error means.
    pub(crate) fn of(error: redis::ServerError) -> Self {
        trouble(&error.into())
    }

    /// What the error means of a command that only a server of some kind knows; that it is not one, in these words.
    pub(crate) fn unless_unknown(error: redis::ServerError, what: &'static str) -> Failure {
        match Self::of(error) {
            Self::Final(Failure::Server { kind: ErrorKind::Internal, .. }) => Failure::Setup(what),
            trouble => trouble.into_failure(),
        }
    }

    /// For whoever does not send again.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::NotDone(failure, _) | Self::Lost(failure) | Self::Final(failure) => failure,
        }
    }
}

/// What an error of a connection that was there, or of the server, means.
pub(crate) fn trouble(error: &RedisError) -> Trouble {
    if let redis::ErrorKind::Server(kind) = error.kind() {
        let here = |what| Trouble::NotDone(unavailable(what, error), Elsewhere::Here);
        let unknown = |what| Trouble::NotDone(unavailable(what, error), Elsewhere::Unknown);
        return match kind {
            ServerErrorKind::Moved => Trouble::NotDone(Failure::Uncovered, Elsewhere::Unknown),
            ServerErrorKind::Ask => match error.redirect_node().and_then(|(node, _)| address(node)) {
                Some((host, port)) => Trouble::NotDone(Failure::Uncovered, Elsewhere::Ask(host, port)),
                None => Trouble::Final(Failure::Answer),
            },
            ServerErrorKind::TryAgain => Trouble::Final(Failure::Divided),
            ServerErrorKind::BusyLoading => here("the server is still loading its data"),
            ServerErrorKind::ClusterDown => unknown("the cluster is down"),
            ServerErrorKind::MasterDown => unknown("the server's primary is down"),
            ServerErrorKind::ReadOnly => Trouble::NotDone(Failure::Replica, Elsewhere::Unknown),
            ServerErrorKind::NoScript => Trouble::NotDone(Failure::Answer, Elsewhere::WithScript),
            ServerErrorKind::NoPerm => {
                final_server(ErrorKind::Denied, "the user may not do that; see the list of commands and keys", error)
            }
            _ => Trouble::Final(other(error)),
        };
    }
    match error.kind() {
        redis::ErrorKind::Io if error.is_timeout() => Trouble::Lost(Failure::NoAnswer),
        redis::ErrorKind::Io => Trouble::Lost(Failure::Cut),
        redis::ErrorKind::Extension => Trouble::Final(other(error)),
        redis::ErrorKind::AuthenticationFailed => {
            final_server(ErrorKind::Denied, "the server refuses the credentials", error)
        }
        _ => Trouble::Lost(Failure::Answer),
    }
}

/// Why a connection could not be made.
pub(crate) fn connect_failure(error: &RedisError) -> Failure {
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed => {
            server(ErrorKind::Denied, "the server refuses the credentials", error)
        }
        redis::ErrorKind::InvalidClientConfig => Failure::Setup("the connection's options cannot be used"),
        redis::ErrorKind::Io => match tls::refused(error) {
            Some(what) => Failure::Setup(what),
            None if error.is_connection_dropped() && !error.is_connection_refusal() => Failure::Rejected,
            None => Failure::NoConnection,
        },
        _ => other(error),
    }
}

// https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors; the first word is the code.
fn other(error: &RedisError) -> Failure {
    // In a script the code is the same for all. https://redis.io/docs/latest/develop/interact/programmability/lua-api/
    let denied = |detail: &str| {
        ["The user executing the script", "ACL failure in script"].iter().any(|of| detail.starts_with(of))
    };
    let code = match error.code() {
        Some("ERR") if error.detail().is_some_and(denied) => "NOPERM",
        code => code.unwrap_or_default(),
    };
    let (kind, what) = match code {
        "WRONGPASS" | "NOAUTH" => (ErrorKind::Denied, "the server refuses the credentials"),
        "NOPERM" => (ErrorKind::Denied, "the user may not do that; see the list of commands and keys"),
        "OOM" => (ErrorKind::Unavailable, "the server has no memory left"),
        "MISCONF" => (ErrorKind::Unavailable, "the server cannot write to its disk, and takes no writes"),
        "NOREPLICAS" => (ErrorKind::Unavailable, "the server has too few replicas, and takes no writes"),
        "BUSY" => (ErrorKind::Unavailable, "the server is busy with somebody's script"),
        "CROSSSLOT" => (ErrorKind::Misconfigured, "the server is part of a cluster; name it as one"),
        "ERR" if error.detail().is_some_and(|detail| detail.starts_with("max number of clients")) => {
            (ErrorKind::Unavailable, "the server has as many connections as it may (`maxclients`)")
        }
        "WRONGTYPE" => (ErrorKind::Corrupt, "a key of the store holds something else"),
        _ => (ErrorKind::Internal, "the server refused the command"),
    };
    server(kind, what, error)
}

fn unavailable(what: &'static str, error: &RedisError) -> Failure {
    server(ErrorKind::Unavailable, what, error)
}

fn final_server(kind: ErrorKind, what: &'static str, error: &RedisError) -> Trouble {
    Trouble::Final(server(kind, what, error))
}

fn server(kind: ErrorKind, what: &'static str, error: &RedisError) -> Failure {
    Failure::Server { kind, what, code: Code(error.code().unwrap_or("without a code").to_owned()) }
}

/// A host and a port, as a cluster writes them. A node that does not know the host leaves it out, or writes `?`.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = if host == "?" { "" } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}

impl Failure {
    /// The same, where what is unknown is only whether an index has too much in it.
    pub(crate) fn before_the_write(self) -> Self {
        match self {
            Self::OutcomeUnknown => Self::NoAnswer,
            Self::Unacknowledged(_) => Self::Unprepared,
            failure => failure,
        }
    }

    /// Whether it only tells that somebody could not be reached.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self, Self::NoConnection | Self::Rejected | Self::Silent | Self::Cut | Self::NoAnswer)
    }

    /// Whether something is stored that cannot be read.
    pub(crate) fn is_corruption(&self) -> bool {
        self.kind() == ErrorKind::Corrupt
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Server { kind, .. } => *kind,
            Self::NoConnection
            | Self::Rejected
            | Self::Silent
            | Self::Cut
            | Self::Uncovered
            | Self::Divided
            | Self::Replica
            | Self::Closed
            | Self::Unprepared
            | Self::NotTried
            | Self::Intended
            | Self::Moved => ErrorKind::Unavailable,
            Self::NoAnswer | Self::TooLate => ErrorKind::Timeout,
            Self::OutcomeUnknown | Self::Unacknowledged(_) => ErrorKind::OutcomeUnknown,
            Self::Unreadable => ErrorKind::Corrupt,
            Self::Task | Self::Answer | Self::Properties => ErrorKind::Internal,
            Self::Setup(_) => ErrorKind::Misconfigured,
            Self::Refused(error) => error.kind(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Error::new(failure.kind(), failure.to_string());
        match failure {
            Failure::Refused(error) => error,
            Failure::Server { code, .. } => error.with_source(code),
            _ => error,
        }
    }
}
