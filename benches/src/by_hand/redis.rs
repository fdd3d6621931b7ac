//! Hand-written lookups and writes with plain redis-rs, over one multiplexed connection as the store.

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands, Client, IntoConnectionInfo, RedisError, RedisResult, pipe};

use super::store::{ByHand, New};

/// A connection.
#[derive(Clone, Debug)]
pub struct Redis(MultiplexedConnection);

/// A connection to the server at a URL.
pub async fn open(url: &str) -> RedisResult<Redis> {
    // As the store has it.
    let tcp = TcpSettings::default().set_nodelay(true);
    let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
    Ok(Redis(client.get_multiplexed_async_connection().await?))
}

fn key(acs_id: &str) -> String {
    format!("byhand:{acs_id}")
}

impl ByHand for Redis {
    type Found = String;
    type Error = RedisError;

    async fn resolve(mut self, acs_id: String) -> RedisResult<Option<String>> {
        self.0.get(key(&acs_id)).await
    }

    async fn resolve_many(mut self, acs_ids: Vec<String>) -> RedisResult<Vec<Option<String>>> {
        self.0.mget(acs_ids.iter().map(|id| key(id)).collect::<Vec<_>>()).await
    }

    /// Both directions: the customer of each ACS ID, and the ACS IDs of each customer.
    async fn insert_many(mut self, new: Vec<New>) -> RedisResult<()> {
        let mut commands = pipe();
        for (id, customer) in &new {
            commands.set(key(id), customer).ignore().sadd(format!("byhand-of:{customer}"), id).ignore();
        }
        commands.query_async(&mut self.0).await
    }
}
