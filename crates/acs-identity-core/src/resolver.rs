//! [`Resolver`]: anything that answers "which customer is this ACS ID?".

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use crate::{AcsId, Answer, Answers, Resolution, Result};

/// Answers which customer is behind an ACS ID.
///
/// One method is enough. Absence is a value, `Ok(None)`; an `Err` means that the question could not be
/// answered, and is never to be taken for absence.
///
/// # Cancellation
/// Every method may be dropped at any point without harm, and implementors must keep that so.
///
/// # Deadlines
/// Every call of the built-in resolvers ends within a deadline. An implementor should do the same.
///
/// ```
/// use acs_identity_core::{AcsId, CustomerId, Resolution, Resolver, Result};
///
/// #[derive(Debug)]
/// struct Directory;
///
/// #[async_trait::async_trait]
/// impl Resolver for Directory {
///     async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
///         let known = id.as_str() == "8:acs:r_1";
///         Ok(if known { Some(CustomerId::new("bob")?.into()) } else { None })
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert!(Directory.resolve(&"8:acs:r_2".parse()?).await?.is_none());
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The customer behind an ACS ID; `Ok(None)` if it has none.
    ///
    /// # Errors
    /// Any kind but `OutcomeUnknown`: a failure is never reported as absent. A `Conflict` says that the backend holds
    /// two different answers.
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>>;

    /// One answer for each ID, in order, duplicates kept.
    ///
    /// As it stands it asks [`resolve`](Self::resolve) for each distinct ID, sixteen at a time. A resolver that can
    /// ask for many in one round trip should say so here, and build its [`Answers`] by ID. Whoever asks matches them by ID again,
    /// if [in another order](Answers::in_order_of) than asked.
    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let mut distinct: Vec<&AcsId> = ids.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        // Collected before they are buffered: a lazy `map` over borrows does not fit into `async_trait`'s boxed future.
        let calls: Vec<_> =
            distinct.into_iter().map(|id| async move { (id.as_str(), self.resolve(id).await) }).collect();
        let answers: Vec<(&str, Answer)> = stream::iter(calls).buffer_unordered(16).collect().await;
        Answers::each_by_id(ids, answers, &Ok(None))
    }

    /// The answer, if it is at hand without any I/O: `Some(None)` says that the ID is known to be absent, `None` that
    /// [`resolve`](Self::resolve) has to be asked.
    fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
        let _ = id;
        None
    }
}

macro_rules! forward_resolver {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<R: Resolver + ?Sized> Resolver for $pointer {
            async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
                (**self).resolve(id).await
            }

            async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
                (**self).resolve_many(ids).await
            }

            fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
                (**self).resolve_now(id)
            }
        }
    )*};
}

forward_resolver!(&R, Box<R>, Arc<R>);

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{CustomerId, Error, ErrorKind};

    pub(crate) fn ids(texts: &[&str]) -> Vec<AcsId> {
        texts.iter().map(|text| AcsId::new(*text).unwrap()).collect()
    }

    /// Knows the IDs with a prefix, fails for "down", and notes what it was asked.
    #[derive(Debug)]
    pub(crate) struct Known(&'static str, Mutex<Vec<String>>);

    impl Known {
        pub(crate) fn new(prefix: &'static str) -> Self {
            Self(prefix, Mutex::default())
        }

        pub(crate) fn asked(&self) -> Vec<String> {
            self.1.lock().unwrap().clone()
        }
    }

    #[async_trait]
    impl Resolver for Known {
        async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
            self.1.lock().unwrap().push(id.as_str().to_owned());
            if id.as_str() == "down" {
                return Err(Error::new(ErrorKind::Unavailable, "down"));
            }
            Ok(id.as_str().starts_with(self.0).then(|| CustomerId::new(id.as_str()).unwrap().into()))
        }
    }

    #[tokio::test]
    async fn the_default_batch_asks_each_id_once_and_answers_each() {
        let known = Known::new("a");
        let answers = known.resolve_many(&ids(&["a1", "b", "a1", "down", "a2"])).await;
        let names: Vec<_> = answers
            .iter()
            .map(|answer| {
                answer.as_ref().map(|found| found.as_ref().map(|it| it.customer_id().as_str())).map_err(Error::kind)
            })
            .collect();
        assert_eq!(names, [Ok(Some("a1")), Ok(None), Ok(Some("a1")), Err(ErrorKind::Unavailable), Ok(Some("a2"))]);
        assert_eq!(known.asked().len(), 4);
    }
}
