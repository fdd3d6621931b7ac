//! Which addresses a host name has.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// The system's resolver, but for `localhost`: that is this machine, whoever else the system takes it for. Requests without
/// encryption go there, with all that is in them. [Source](https://www.rfc-editor.org/rfc/rfc6761#section-6.3).
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) GaiResolver);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if name.as_str().trim_end_matches('.') == "localhost" {
            // The connector puts in the port.
            let addresses = vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
            return Box::pin(async { Ok(addresses.into_iter()) });
        }
        let asked = self.0.call(name);
        Box::pin(async { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_not_asked_for() {
        let mut names = Names(GaiResolver::new());
        let mut found = async |name: &str| names.call(name.parse().unwrap()).await.unwrap().collect::<Vec<_>>();
        let here: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        assert_eq!(found("localhost").await, here);
        assert_eq!(found("127.0.0.1").await, here[..1]);
    }
}
