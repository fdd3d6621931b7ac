//! [`IdentityMap`]: the face of the library.

use std::fmt;
use std::sync::Arc;

use crate::{AcsId, Answers, Error, Identity, IdentityType, MappingStore, Resolution, Resolver, Result};

/// Makes identities and resolves them. The draft's `identityMap`.
///
/// Over a [`Resolver`] it is read only; over a [`MappingStore`] it also knows the ACS IDs of a customer. It has no cache of its
/// own: put one in front of the resolver. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use acs_identity_core::{IdentityMap, IdentityType, IdentityValue, Link, MappingStore, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new());
/// store.link(Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?)).await?;
/// let map = IdentityMap::with_store(store);
///
/// let sender = map.from_acs_id("8:acs:r_1".parse()?);
/// let Some(IdentityValue::Customer(bob)) = sender.identity().await? else { panic!("not mapped") };
/// assert_eq!(bob.as_str(), "bob@contoso.com");
///
/// let bob = map.from_identity("bob@contoso.com", IdentityType::User)?;
/// assert_eq!(bob.acs_ids().await?[0].as_str(), "8:acs:r_1");
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct IdentityMap {
    resolver: Arc<dyn Resolver>,
    store: Option<Arc<dyn MappingStore>>,
}

impl IdentityMap {
    /// A map that only reads.
    pub fn new(resolver: impl Resolver + 'static) -> Self {
        Self { resolver: Arc::new(resolver), store: None }
    }

    /// A map over a store, in both directions.
    pub fn with_store(store: Arc<dyn MappingStore>) -> Self {
        Self { resolver: store.clone(), store: Some(store) }
    }

    /// The store, if the map has one.
    pub fn store(&self) -> Option<&Arc<dyn MappingStore>> {
        self.store.as_ref()
    }

    /// An identity as the application names it: a user by customer ID, a phone number, or a bot by application ID.
    ///
    /// # Errors
    /// `InvalidInput` if the text is not legal for that type, or the type is Unknown.
    pub fn from_identity(&self, identity: &str, identity_type: IdentityType) -> Result<Identity> {
        let made = match identity_type {
            IdentityType::User => Identity::user(identity),
            IdentityType::Pstn => Identity::pstn(identity),
            IdentityType::Bot => Identity::bot(identity),
            IdentityType::Unknown => Err(Error::invalid_input("an identity is made for a User, a Pstn or a Bot")),
        };
        Ok(made?.bound_to(self))
    }

    /// An identity as ACS hands it out, in an event or a roster.
    pub fn from_acs_id(&self, id: AcsId) -> Identity {
        Identity::from_acs_id(id).bound_to(self)
    }

    /// Which customer is behind an ACS ID; `None` if it is not mapped.
    ///
    /// The resolver is asked whatever the ID's kind: a phone number may be mapped to a customer, too. May be cancelled
    /// at any point.
    ///
    /// # Errors
    /// The resolver's.
    #[inline]
    pub async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        // Asked first, since `resolve` of a trait object has to box its future.
        match self.resolver.resolve_now(id) {
            Some(known) => Ok(known),
            None => self.resolver.resolve(id).await,
        }
    }

    /// One answer for each ID, in order, duplicates kept; in one round trip where the resolver can. May be cancelled at
    /// any point.
    ///
    /// The resolver's answers are matched by ID, whatever their order. If one is missing, all are `Internal` errors.
    pub async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let answers = self.resolver.resolve_many(ids).await.in_order_of(ids);
        answers.unwrap_or_else(|error| Answers::failed(ids, &error))
    }
}

impl fmt::Debug for IdentityMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdentityMap").field(&self.resolver).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::{CloudEnvironment, CustomerId, ErrorKind, IdentityValue};

    /// Knows one user and counts what it is asked.
    #[derive(Debug, Default)]
    struct OneUser(Mutex<u32>);

    #[async_trait]
    impl Resolver for OneUser {
        async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
            *self.0.lock().unwrap() += 1;
            Ok((id.as_str() == "8:acs:r_1").then(|| CustomerId::new("bob").unwrap().into()))
        }
    }

    #[tokio::test]
    async fn only_users_and_unknown_kinds_cost_a_question() {
        let resolver = Arc::new(OneUser::default());
        let map = IdentityMap::new(resolver.clone());
        let who = async |id: &str| map.from_acs_id(id.parse().unwrap()).identity().await.unwrap();
        assert_eq!(who("4:+1425").await, Some(IdentityValue::Phone("+1425".into())));
        assert_eq!(who("4:anonymous").await, None);
        let bot = IdentityValue::Bot { app_id: "app".into(), cloud: CloudEnvironment::Dod };
        assert_eq!(who("28:dod:app").await, Some(bot));
        assert_eq!(
            map.from_identity("bob", IdentityType::User).unwrap().identity().await.unwrap().unwrap().as_str(),
            "bob"
        );
        assert_eq!(*resolver.0.lock().unwrap(), 0);
        assert_eq!(who("8:acs:r_1").await.unwrap().as_str(), "bob");
        assert_eq!(who("8:acs:r_2").await, None);
        assert_eq!(who("48:new-kind").await, None);
        assert_eq!(*resolver.0.lock().unwrap(), 3);
    }

    /// Sorts what it is asked, asks for nothing twice, and forgets to say so.
    #[derive(Debug)]
    struct Sorting;

    #[async_trait]
    impl Resolver for Sorting {
        async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
            Ok(Some(CustomerId::new(id.as_str())?.into()))
        }

        async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
            let mut sorted = ids.to_vec();
            sorted.sort();
            sorted.dedup();
            sorted.retain(|id| id.as_str() != "lost");
            let found = sorted.iter().map(|id| (id.as_str(), CustomerId::new(id.as_str()).unwrap().into()));
            Answers::by_id(&sorted, found)
        }
    }

    #[tokio::test]
    async fn nobody_gets_anothers_answer_from_a_resolver_that_sorts_what_it_is_asked() {
        let map = IdentityMap::new(Sorting);
        let or = IdentityMap::new(crate::ResolverExt::or(OneUser::default(), Sorting));
        for map in [map, or] {
            for asked in [&["c", "a", "b", "a"][..], &["b", "a"], &["lost", "b", "a"]] {
                let ids = crate::resolver::tests::ids(asked);
                let answers = map.resolve_many(&ids).await;
                assert_eq!(answers.len(), ids.len());
                for (id, answer) in ids.iter().zip(&answers) {
                    match answer {
                        Ok(found) => assert_eq!(found.as_ref().unwrap().customer_id().as_str(), id.as_str()),
                        Err(error) => assert!(error.kind() == ErrorKind::Internal && asked.contains(&"lost")),
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_customers_acs_ids_need_a_store() {
        let map = IdentityMap::new(OneUser::default());
        let bob = map.from_identity("bob", IdentityType::User).unwrap();
        assert_eq!(bob.acs_ids().await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(Identity::user("bob").unwrap().acs_ids().await.unwrap_err().kind(), ErrorKind::Unsupported);
        let phone = Identity::pstn("+1425").unwrap();
        assert_eq!(phone.acs_ids().await.unwrap(), ["4:+1425".parse().unwrap()]);
        let unbound = Identity::from_acs_id("8:acs:r_1".parse().unwrap());
        assert_eq!(unbound.identity().await.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn bad_input_is_refused_for_each_type() {
        let map = IdentityMap::new(OneUser::default());
        for (text, identity_type) in [
            ("", IdentityType::User),
            ("", IdentityType::Pstn),
            ("", IdentityType::Bot),
            ("a:b", IdentityType::Bot),
            ("a\n", IdentityType::Pstn),
            ("bob", IdentityType::Unknown),
        ] {
            assert_eq!(map.from_identity(text, identity_type).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn an_identity_is_its_key() {
        let map = IdentityMap::new(OneUser::default());
        assert_eq!(map.from_acs_id("28:orgid:app".parse().unwrap()), Identity::bot("app").unwrap());
        assert_eq!(Identity::user(7_u64).unwrap(), Identity::user("7").unwrap());
        assert_ne!(Identity::user("bob").unwrap(), Identity::user("Bob").unwrap());
        let json = serde_json::to_string(&[Identity::user("bob").unwrap(), Identity::bot("app").unwrap()]).unwrap();
        assert_eq!(json, r#"[{"type":"User","customerId":"bob"},{"type":"Bot","acsId":"28:orgid:app"}]"#);
        assert!(!format!("{:?}", Identity::user("bob@contoso.com").unwrap()).contains("bob"));
    }
}
