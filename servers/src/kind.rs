//! The kinds of servers, and what tells one from another.

use std::env;
use std::fmt;
use std::path::PathBuf;

use crate::{mariadb, postgres};

/// A kind of database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB, which speaks MySQL's protocol.
    MariaDb,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Postgres, Self::MariaDb];

    /// The environment variable with the URL of a server to use in place of a private one.
    pub fn variable(self) -> &'static str {
        self.recipe().variable
    }

    /// The URL in [`variable`](Self::variable), if it is set and not empty.
    pub fn given(self) -> Option<String> {
        env::var(self.variable()).ok().filter(|url| !url.is_empty())
    }

    pub(crate) fn recipe(self) -> &'static Recipe {
        match self {
            Self::Postgres => &postgres::RECIPE,
            Self::MariaDb => &mariadb::RECIPE,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.recipe().name)
    }
}

/// How servers of one kind are found, set up, started and asked.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
    /// The executable of the server.
    pub(crate) server: &'static str,
    /// The executable that makes a data folder.
    pub(crate) init: &'static str,
    /// The oldest version that is good enough.
    pub(crate) at_least: (u32, u32),
    /// Where executables may be besides `PATH`; one `*` stands for any name, the highest number first.
    pub(crate) folders: &'static [&'static str],
    /// Packages of Debian and Ubuntu; if a release does not have the first ones, the next are tried.
    pub(crate) packages: &'static [&'static [&'static str]],
    /// Arguments of `init`.
    pub(crate) init_args: fn(&Place) -> Vec<String>,
    /// Arguments of the server, besides the settings of its user.
    pub(crate) server_args: fn(&Place) -> Vec<String>,
    /// A setting as arguments.
    pub(crate) setting: fn(&str, &str) -> Vec<String>,
    /// A file that the server and `init` read: its name, and its content for a password.
    pub(crate) secret: (&'static str, fn(&str) -> String),
    /// Files in the data folder that a killed server leaves and that hinder the next start.
    pub(crate) stale: &'static [&'static str],
    /// What it writes into its log when it takes connections. An answer on its port could be another server's.
    pub(crate) ready: &'static str,
    /// The scheme, user and database of its URL.
    pub(crate) url: (&'static str, &'static str, &'static str),
}

/// Where a server lives.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Place {
    /// A path in the folder, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The folder with the server's data.
    pub(crate) fn data(&self) -> String {
        self.path("data")
    }
}
