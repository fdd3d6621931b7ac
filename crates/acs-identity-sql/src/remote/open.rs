//! Opening a store on a server.

use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Capabilities, Capability, Error, Result};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Database, SqlSafeStr};

use super::options::Source;
use super::{Remote, RemoteOptions, tls};
use crate::error::Failure;
use crate::handover::Handover;
use crate::remote;
use crate::run::run;
use crate::schema;
use crate::store::{Shared, SqlStore};
use crate::sweep::Sweeper;

pub(super) async fn open<R: Remote>(options: RemoteOptions<R>) -> Result<SqlStore<R>> {
    let named = |failure: Failure| Error::from(failure).in_operation("open").in_backend(R::BACKEND);
    let pool = pool(&options).map_err(named)?;
    if let Err(failure) = prepare(&options, &pool).await {
        // An application's own pool stays as it is.
        if let Source::Url(_) = options.source {
            let _ = tokio::time::timeout(options.call_deadline, pool.close()).await;
        }
        return Err(named(failure));
    }
    let durable = Capabilities::none().with(Capability::Durable);
    let shared = Shared {
        reader: pool,
        writer: None,
        handover: Handover::default(),
        clock: None,
        deadline: options.call_deadline,
        poll_interval: options.poll_interval,
        notifications: options.notifications,
        capabilities: durable.with(Capability::ScanExactlyOnce).with(Capability::ChangeFeed),
        sweeper: Sweeper::default(),
    };
    Ok(SqlStore::new(shared, options.namespace))
}

fn pool<R: Remote>(options: &RemoteOptions<R>) -> Result<R::Pool, Failure> {
    let url = match &options.source {
        Source::Pool(pool) => return Ok(pool.clone()),
        Source::Url(url) => url,
    };
    tls::check_files(url)?;
    let deadline = options.call_deadline;
    let pool = PoolOptions::<R::Database>::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        // A connection that died while it was idle is found out by the first statement, which is then made again on another.
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(set_up::<R>(connection, deadline)));
    Ok(pool.connect_lazy_with(R::connect_options(url).map_err(remote::failure::<R>)?))
}

async fn prepare<R: Remote>(options: &RemoteOptions<R>, pool: &R::Pool) -> Result<(), Failure> {
    let deadline = options.call_deadline;
    let own = matches!(options.source, Source::Url(_));
    let current = run(2 * deadline, R::REMOTE, {
        let pool = pool.clone();
        move |_| {
            let pool = pool.clone();
            async move {
                if own {
                    try_to_connect::<R>(pool.connect_options(), deadline).await?;
                }
                let mut connection = R::acquire(&pool).await?;
                R::check(&mut connection).await?;
                schema::is_current::<R>(&mut connection).await
            }
        }
    });
    match (current.await?, options.migrate) {
        (true, _) => Ok(()),
        (false, false) => Err(Failure::Setup("the tables are not there, or not of this release")),
        (false, true) => {
            let (pool, limit) = (pool.clone(), options.migration_deadline);
            run(limit, R::REMOTE, move |_| {
                let pool = pool.clone();
                async move { schema::migrate::<R>(&pool, limit).await }
            })
            .await
        }
    }
}

async fn set_up<R: Remote>(
    connection: &mut <R::Database as Database>::Connection,
    deadline: Duration,
) -> Result<(), sqlx::Error> {
    R::say(connection, AssertSqlSafe(R::set_up(deadline)).into_sql_str()).await.map(drop)
}

type ConnectOptions<R> = <<<R as Remote>::Database as Database>::Connection as Connection>::Options;

/// Makes a first connection and closes it. The pool would say no more of what is wrong with one than that it took too long.
async fn try_to_connect<R: Remote>(options: Arc<ConnectOptions<R>>, deadline: Duration) -> Result<(), Failure> {
    let mut connection = match options.connect().await {
        Ok(connection) => connection,
        Err(sqlx::Error::Protocol(_)) => {
            return Err(Failure::Setup(
                "the server does not speak this protocol, or demands an authentication that is not supported",
            ));
        }
        Err(sqlx::Error::Database(error)) if error.is_transient_in_connect_phase() => {
            return Err(match remote::failure::<R>(sqlx::Error::Database(error)) {
                Failure::Database { source, .. } => Failure::Cut { source: Some(source) },
                failure => failure,
            });
        }
        Err(error) => return Err(remote::failure::<R>(error)),
    };
    set_up::<R>(&mut connection, deadline).await.map_err(remote::failure::<R>)?;
    // What matters is that it was there.
    let _ = connection.close().await;
    Ok(())
}
