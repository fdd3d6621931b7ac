//! A resolver made from a closure.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;

use crate::{AcsId, Resolution, Resolver, Result};

/// Makes a resolver from a closure that takes the ACS ID and answers with a customer ID, or a whole [`Resolution`].
///
/// ```
/// use acs_identity_core::{AcsId, CustomerId, Resolver, resolver_fn};
/// let directory = resolver_fn(|id: AcsId| async move {
///     // Ask a directory here.
///     Ok((id.as_str() == "8:acs:r_1").then(|| CustomerId::from(42)))
/// });
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let answer = directory.resolve(&"8:acs:r_1".parse()?).await?;
/// assert_eq!(answer.unwrap().customer_id().as_str(), "42");
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
pub fn resolver_fn<F, Fut, T>(ask: F) -> ResolverFn<F>
where
    F: Fn(AcsId) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<T>>> + Send,
    T: Into<Resolution>,
{
    ResolverFn(ask)
}

/// The resolver that [`resolver_fn`] makes.
pub struct ResolverFn<F>(F);

impl<F> fmt::Debug for ResolverFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResolverFn")
    }
}

#[async_trait]
impl<F, Fut, T> Resolver for ResolverFn<F>
where
    F: Fn(AcsId) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<T>>> + Send,
    T: Into<Resolution>,
{
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        // Not kept in a variable: `T` need not be `Send`, only the answer made of it.
        (self.0)(id.clone()).await.map(|found| found.map(Into::into))
    }
}
