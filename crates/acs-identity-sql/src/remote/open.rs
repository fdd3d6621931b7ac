//! Opening a store on a server.

use acs_identity_core::{Capabilities, Capability, Error, Result};
use sqlx::pool::PoolOptions;

use super::options::Source;
use super::{Remote, RemoteOptions, tls};
use crate::error::Failure;
use crate::run::run;
use crate::schema;
use crate::store::{Shared, SqlStore};
use crate::sweep::Sweeper;

pub(super) async fn open<R: Remote>(options: RemoteOptions<R>) -> Result<SqlStore<R>> {
    let named = |failure: Failure| Error::from(failure).in_operation("open").in_backend(R::BACKEND);
    let pool = pool(&options).map_err(named)?;
    let prepared = run(2 * options.call_deadline, R::REMOTE, {
        let (pool, migrate) = (pool.clone(), options.migrate);
        move |_| {
            let pool = pool.clone();
            async move { prepare::<R>(&pool, migrate).await }
        }
    });
    if let Err(failure) = prepared.await {
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
        .after_connect(move |connection, _| Box::pin(R::set_up(connection, deadline)));
    Ok(pool.connect_lazy_with(R::connect_options(url).map_err(R::failure)?))
}

async fn prepare<R: Remote>(pool: &R::Pool, migrate: bool) -> Result<(), Failure> {
    let mut connection = R::acquire(pool).await?;
    R::check(&mut connection).await?;
    drop(connection);
    match migrate {
        true => schema::migrate::<R>(pool).await,
        false => schema::check::<R>(pool).await,
    }
}
