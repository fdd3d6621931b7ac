//! Opening a SQLite database.

use std::path::Path;
use std::time::{Duration, Instant};

use acs_identity_core::{Capabilities, Capability, Error, ErrorKind, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::{Sqlite, SqliteOptions, SqliteStore, Synchronous};
use crate::dialect::{Dialect, Row};
use crate::error::{Code, Failure};
use crate::handover::Handover;
use crate::schema;
use crate::store::Shared;
use crate::sweep::Sweeper;

/// Long enough that a writer who has the lock gets on, short against a deadline.
const RETRY: Duration = Duration::from_millis(20);

/// How many bytes of the file readers map into memory: a page in there is read without a call of the operating system and without a
/// copy. The writer reads and writes it as ever.
const MAPPED: &str = "134217728";

impl SqliteStore {
    /// Opens a database file with the default options.
    ///
    /// # Errors
    /// As [`SqliteOptions::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        SqliteOptions::file(path.as_ref()).open().await
    }

    /// Opens a new database in the memory of this process with the default options.
    ///
    /// # Errors
    /// As [`SqliteOptions::open`].
    pub async fn in_memory() -> Result<Self> {
        SqliteOptions::in_memory().open().await
    }
}

pub(super) async fn open(options: SqliteOptions) -> Result<SqliteStore> {
    let capabilities = Capabilities::none().with(Capability::ScanExactlyOnce).with(Capability::ChangeFeed);
    let capabilities = match options.path {
        Some(_) => capabilities.with(Capability::Durable),
        None => capabilities.without(Capability::Durable, "the mappings live in the memory of one process"),
    };
    let (reader, writer) = pools(&options).map_err(named)?;
    let written = writer.as_ref().unwrap_or(&reader);
    let prepared = crate::run::run(2 * options.call_deadline, Sqlite::REMOTE, {
        let (writer, in_file, deadline) = (written.clone(), options.path.is_some(), options.call_deadline);
        move |_| {
            let writer = writer.clone();
            async move { prepare(&writer, in_file, deadline).await }
        }
    });
    if let Err(failure) = prepared.await {
        written.close().await;
        return Err(named(failure));
    }
    let shared = Shared {
        reader,
        writer,
        handover: Handover::default(),
        clock: Some(options.clock),
        deadline: options.call_deadline,
        poll_interval: options.poll_interval,
        notifications: false,
        capabilities,
        sweeper: Sweeper::default(),
    };
    Ok(SqliteStore::new(shared, options.namespace))
}

fn named(failure: Failure) -> Error {
    // While the store is being opened, a file that can't be opened or made is a wrong path.
    let error = match failure {
        Failure::Database { source: source @ Code::Sqlite(code), .. } if code & 0xff == 14 => {
            Error::new(ErrorKind::Misconfigured, "the database file cannot be opened or made").with_source(source)
        }
        failure => failure.into(),
    };
    error.in_operation("open").in_backend(Sqlite::BACKEND)
}

/// The pool for reading and the one for writing; in memory there is one for both.
fn pools(options: &SqliteOptions) -> Result<(SqlitePool, Option<SqlitePool>), Failure> {
    // A connection is kept for ever: it has no peer that may vanish, and in memory it is the database.
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(options.call_deadline)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    let connect = SqliteConnectOptions::new()
        .busy_timeout(options.busy_timeout)
        // More rows than the default, so that a batch's answer comes in fewer wake-ups.
        .row_buffer_size(512);
    let Some(path) = &options.path else {
        let only = pool.max_connections(1).connect_lazy_with(connect.in_memory(true));
        return Ok((only, None));
    };
    // Absolute, so that no path is taken for a URI, and none changes its meaning with the working folder.
    let path = std::path::absolute(path).map_err(|_| Failure::Setup("the path cannot be made absolute"))?;
    let connect = connect.filename(path).synchronous(match options.synchronous {
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Normal => SqliteSynchronous::Normal,
    });
    let writer = pool.clone().max_connections(1).connect_lazy_with(connect.clone().create_if_missing(true));
    let connect = connect.pragma("query_only", "ON").pragma("mmap_size", MAPPED);
    let reader = pool.max_connections(options.readers).connect_lazy_with(connect);
    Ok((reader, Some(writer)))
}

/// Makes the database ready. Others may be doing the same, so a lock is waited for.
async fn prepare(writer: &SqlitePool, in_file: bool, deadline: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let done = async {
            if in_file {
                use_wal(writer).await?;
            }
            schema::migrate::<Sqlite>(writer, deadline).await
        };
        match done.await {
            // SQLite does not always wait for the lock by itself when the journal mode is changed.
            Err(Failure::Locked { .. }) if start.elapsed() < deadline => tokio::time::sleep(RETRY).await,
            done => return done,
        }
    }
}

async fn use_wal(writer: &SqlitePool) -> Result<(), Failure> {
    let mut connection = Sqlite::acquire(writer).await?;
    // Asked first: setting what is set already would take a lock.
    for sql in ["PRAGMA journal_mode", "PRAGMA journal_mode = WAL"] {
        let row = Sqlite::fetch_optional(&mut connection, sql, &[]).await?;
        if row.is_some_and(|row| matches!(row.text(0), Ok(Some("wal")))) {
            return Ok(());
        }
    }
    Err(Failure::Setup("the database cannot be put into WAL mode"))
}
