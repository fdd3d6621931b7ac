//! What the wrappers share: the names of the calls, and the forwarding of each.

/// A call of a resolver or a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// [`resolve`](acs_identity_core::Resolver::resolve).
    Resolve,
    /// [`resolve_many`](acs_identity_core::Resolver::resolve_many).
    ResolveMany,
    /// [`resolve_now`](acs_identity_core::Resolver::resolve_now).
    ResolveNow,
    /// [`link`](acs_identity_core::MappingStore::link).
    Link,
    /// [`link_many`](acs_identity_core::MappingStore::link_many).
    LinkMany,
    /// [`import`](acs_identity_core::MappingStore::import).
    Import,
    /// [`unlink`](acs_identity_core::MappingStore::unlink).
    Unlink,
    /// [`unlink_customer`](acs_identity_core::MappingStore::unlink_customer).
    UnlinkCustomer,
    /// [`mappings_of`](acs_identity_core::MappingStore::mappings_of).
    MappingsOf,
    /// [`scan`](acs_identity_core::MappingStore::scan).
    Scan,
    /// [`purge_expired`](acs_identity_core::MappingStore::purge_expired).
    PurgeExpired,
    /// [`ping`](acs_identity_core::MappingStore::ping).
    Ping,
    /// [`close`](acs_identity_core::MappingStore::close).
    Close,
}

impl Call {
    pub(super) const COUNT: usize = Self::Close as usize + 1;

    /// Whether this call changes mappings.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Link | Self::LinkMany | Self::Import | Self::Unlink | Self::UnlinkCustomer | Self::PurgeExpired
        )
    }
}

/// Implements `Resolver` and `MappingStore` for a wrapper with a field `inner`: each call goes through the wrapper's
/// `before` and `after`, whose errors are the call's; `resolve_now` is forwarded if `at_once` says so.
macro_rules! wrap_store {
    ($wrapper:ident) => {
        const _: () = {
            use acs_identity_core::{
                AcsId, Answers, Capabilities, CustomerId, Error, Expect, Imported, Link, Linked, Mapping, MappingStore,
                Page, PageRequest, Resolution, Resolver, Result,
            };

            fn failed<I, T>(items: &[I], error: &Error) -> Vec<Result<T>> {
                items.iter().map(|_| Err(error.clone())).collect()
            }

            /// `before`, the call, `after`.
            macro_rules! around {
                ($self:ident, $call:ident, $inner:expr) => {
                    async {
                        $self.before(Call::$call).await?;
                        let answer = $inner.await;
                        $self.after(Call::$call).await?;
                        Ok(answer)
                    }
                    .await
                };
            }

            #[async_trait::async_trait]
            #[deny(clippy::missing_trait_methods)]
            impl<S: Resolver> Resolver for $wrapper<S> {
                async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
                    around!(self, Resolve, self.inner.resolve(id)).flatten()
                }

                async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
                    around!(self, ResolveMany, self.inner.resolve_many(ids))
                        .unwrap_or_else(|error| Answers::failed(ids, &error))
                }

                fn resolve_now(&self, id: &AcsId) -> Option<Option<Resolution>> {
                    if self.at_once() { self.inner.resolve_now(id) } else { None }
                }
            }

            #[async_trait::async_trait]
            #[deny(clippy::missing_trait_methods)]
            impl<S: MappingStore> MappingStore for $wrapper<S> {
                fn capabilities(&self) -> Capabilities {
                    self.inner.capabilities()
                }

                async fn link(&self, link: Link) -> Result<Linked> {
                    around!(self, Link, self.inner.link(link)).flatten()
                }

                async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
                    around!(self, LinkMany, self.inner.link_many(links)).unwrap_or_else(|error| failed(links, &error))
                }

                async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
                    around!(self, Import, self.inner.import(mappings)).unwrap_or_else(|error| failed(mappings, &error))
                }

                async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
                    around!(self, Unlink, self.inner.unlink(id, expect)).flatten()
                }

                async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
                    around!(self, UnlinkCustomer, self.inner.unlink_customer(customer)).flatten()
                }

                async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
                    around!(self, MappingsOf, self.inner.mappings_of(customer, page)).flatten()
                }

                async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
                    around!(self, Scan, self.inner.scan(page)).flatten()
                }

                async fn purge_expired(&self, limit: u32) -> Result<u64> {
                    around!(self, PurgeExpired, self.inner.purge_expired(limit)).flatten()
                }

                async fn ping(&self) -> Result<()> {
                    around!(self, Ping, self.inner.ping()).flatten()
                }

                async fn close(&self) {
                    // Closing can't fail, so an error on the way is nobody's.
                    let _: Result<()> = around!(self, Close, self.inner.close());
                }
            }
        };
    };
}

pub(super) use wrap_store;
