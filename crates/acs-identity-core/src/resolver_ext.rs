//! Resolvers put together.

use async_trait::async_trait;

use crate::{AcsId, Answers, Resolution, Resolver, Result};

/// What every resolver can do besides answering.
pub trait ResolverExt: Resolver + Sized {
    /// Asks this resolver first and `next` about what is absent here. A failure here is the answer: `next` is asked
    /// only about what this one says is absent.
    fn or<R: Resolver>(self, next: R) -> Or<Self, R> {
        Or { first: self, next }
    }
}

impl<R: Resolver> ResolverExt for R {}

/// One resolver in front of another; made by [`ResolverExt::or`].
#[derive(Debug, Clone)]
pub struct Or<A, B> {
    first: A,
    next: B,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Resolver, B: Resolver> Resolver for Or<A, B> {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        match self.first.resolve(id).await? {
            Some(found) => Ok(Some(found)),
            None => self.next.resolve(id).await,
        }
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let first = match self.first.resolve_many(ids).await.in_order_of(ids) {
            Ok(first) => first,
            Err(error) => return Answers::failed(ids, &error),
        };
        let absent: Vec<AcsId> =
            ids.iter().zip(&first).filter(|(_, answer)| matches!(answer, Ok(None))).map(|(id, _)| id.clone()).collect();
        if absent.is_empty() {
            return first;
        }
        let next = self.next.resolve_many(&absent).await.in_order_of(&absent);
        let next = next.unwrap_or_else(|error| Answers::failed(&absent, &error));
        let settled = ids.iter().zip(first).filter(|(_, answer)| !matches!(answer, Ok(None)));
        Answers::each_by_id(
            ids,
            settled.chain(absent.iter().zip(next)).map(|(id, answer)| (id.as_str(), answer)),
            &Ok(None),
        )
    }

    fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
        match self.first.resolve_now(id)? {
            Some(found) => Some(Some(found)),
            None => self.next.resolve_now(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::tests::{Known, ids};

    #[tokio::test]
    async fn the_next_resolver_is_asked_only_about_the_absent() {
        let both = Known::new("a").or(Known::new("b"));
        let answers = both.resolve_many(&ids(&["b1", "a1", "c", "down"])).await;
        assert!(matches!(&answers[0], Ok(Some(_))) && matches!(&answers[1], Ok(Some(_))));
        assert!(matches!(&answers[2], Ok(None)) && answers[3].is_err());
        assert_eq!(both.next.asked(), ["b1", "c"]);
        assert!(both.resolve(&ids(&["down"])[0]).await.is_err());
    }
}
