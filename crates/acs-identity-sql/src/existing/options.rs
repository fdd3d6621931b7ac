//! Which table an application keeps its users in.

use std::time::Duration;

use acs_identity_core::Result;

use crate::limits::{MAX_WAIT, check_wait};

/// Which table, or view, a [`TableResolver`](super::TableResolver) reads, and which of its columns.
///
/// Names are those that the database has in its catalogue, letter by letter, without quotes: PostgreSQL has `users` where
/// an unquoted `Users` was created. Any name that the database can have will do, and none is taken for SQL.
#[derive(Debug, Clone)]
#[must_use]
pub struct TableOptions {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) acs_id: String,
    pub(super) customer_id: String,
    pub(super) call_deadline: Duration,
}

impl TableOptions {
    /// The longest deadline: one hour.
    pub const MAX_WAIT: Duration = MAX_WAIT;

    /// A table or a view. Both columns have to be named, too.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            schema: None,
            table: table.into(),
            acs_id: String::new(),
            customer_id: String::new(),
            call_deadline: Duration::from_secs(5),
        }
    }

    /// The schema that the table is in; for MySQL and MariaDB the database; for SQLite, the name under which its file is
    /// attached. By default the one in which the connection looks for it.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// The column of the ACS IDs, of a text type.
    pub fn acs_id_column(mut self, name: impl Into<String>) -> Self {
        self.acs_id = name.into();
        self
    }

    /// The column of the application's own users, of any type whose text is what the application knows them by; no type of
    /// floating-point numbers.
    pub fn customer_id_column(mut self, name: impl Into<String>) -> Self {
        self.customer_id = name.into();
        self
    }

    /// How long a call may take in all, also waiting for a connection, before it is a `Timeout`; by default five seconds.
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        check_wait("call deadline", self.call_deadline)
    }
}
