//! Servers for all processes of a run.

use crate::{Kind, Server, install};

/// One server of each kind for all test processes of a run, told to them by environment variables; ended and
/// removed when dropped.
#[derive(Debug)]
pub struct Running {
    servers: Vec<(Kind, Server)>,
}

impl Running {
    /// Starts a server of each kind that no environment variable gives, and installs it before if there is none.
    ///
    /// # Errors
    /// If one cannot be had: what to do.
    pub fn start() -> Result<Self, String> {
        Self::start_kinds(Kind::ALL.into_iter().filter(|kind| kind.given().is_none()))
    }

    /// Starts a server of each of these kinds, and installs it before if there is none.
    ///
    /// # Errors
    /// If one cannot be had: what to do.
    pub fn start_kinds(kinds: impl IntoIterator<Item = Kind>) -> Result<Self, String> {
        let start = |kind: Kind| {
            install::ensure(kind.recipe())?;
            Ok((kind, Server::start(kind)?))
        };
        Ok(Self { servers: kinds.into_iter().map(start).collect::<Result<_, String>>()? })
    }

    /// The started servers.
    pub fn servers(&self) -> impl Iterator<Item = (Kind, &Server)> {
        self.servers.iter().map(|(kind, server)| (*kind, server))
    }

    /// The environment variables that name the started servers, with their URLs.
    pub fn env(&self) -> Vec<(String, String)> {
        self.servers().map(|(kind, server)| (kind.variable().to_owned(), server.url())).collect()
    }
}
