//! The kinds of servers, and what tells one from another.

use std::env;
use std::fmt;
use std::path::PathBuf;

use crate::{mariadb, postgres, redis};

/// A kind of database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB, which speaks MySQL's protocol.
    MariaDb,
    /// Redis: one server, not a cluster.
    Redis,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::MariaDb, Self::Redis];

    /// Those that make a `database` for each test. On the others, each test uses keys with a prefix of its own.
    pub const SQL: [Self; 2] = [Self::Postgres, Self::MariaDb];

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
            Self::Redis => &redis::RECIPE,
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
    /// What a test can use in place of a private server.
    pub(crate) elsewhere: &'static str,
    /// The executable of the server.
    pub(crate) server: &'static str,
    /// A name under which the same executable is installed without the server's: it is the server if it is called so.
    pub(crate) alias: Option<&'static str>,
    /// The executable that makes a data folder, and its arguments; `None` if an empty one will do.
    pub(crate) init: Option<Init>,
    /// The oldest version that is good enough.
    pub(crate) at_least: (u32, u32),
    /// Where executables may be besides `PATH`; one `*` stands for any name, the highest number first.
    pub(crate) folders: &'static [&'static str],
    /// Packages of Debian and Ubuntu; if a release does not have the first ones, the next are tried.
    pub(crate) packages: &'static [&'static [&'static str]],
    /// Arguments of the server, besides the settings of its user.
    pub(crate) server_args: fn(&Place) -> Vec<String>,
    /// A setting as arguments.
    pub(crate) setting: fn(&str, &str) -> Vec<String>,
    /// A file that the server or `init` reads: its name, and its content for a password.
    pub(crate) file: Option<(&'static str, Content)>,
    /// Files in the data folder that a killed server leaves and that hinder the next start.
    pub(crate) stale: &'static [&'static str],
    /// What it writes into its log when it takes connections. An answer on its port could be another server's.
    pub(crate) ready: &'static str,
    /// Its URL, for a password and a port.
    pub(crate) url: fn(&str, u16) -> String,
}

/// What is in a file, for a password.
pub(crate) type Content = fn(&str) -> String;

/// How a data folder is made.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) program: &'static str,
    pub(crate) args: fn(&Place) -> Vec<String>,
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
