//! The store: the in-memory one with one defect at most.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use acs_identity_core::{
    AcsId, Answers, Capabilities, Capability, CustomerId, Error, ErrorKind, Expect, Imported, Link, Linked, Mapping,
    MappingStore, MappingStoreExt, MemoryStore, Page, PageRequest, Resolution, Resolver, Result, Revision, Timestamp,
    When,
};
use async_trait::async_trait;
use tokio::task::yield_now;

use crate::defect::Defect;
use crate::fixture::Backend;

#[derive(Debug)]
pub(crate) struct WrongStore {
    inner: MemoryStore,
    backend: Arc<Backend>,
}

/// As much of a batch as some stores take at once.
fn cut<T>(batch: &[T]) -> &[T] {
    &batch[..batch.len().min(1000)]
}

/// A connection in use.
struct Connection(Arc<Backend>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::SeqCst);
    }
}

impl WrongStore {
    pub(crate) fn new(inner: MemoryStore, backend: Arc<Backend>) -> Self {
        Self { inner, backend }
    }

    fn has(&self, defect: Defect) -> bool {
        self.backend.has(defect)
    }

    /// Takes a connection, which takes a while, as it does with a server.
    async fn connect(&self) -> Result<Connection> {
        if self.backend.cut.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the backend is cut off"));
        }
        if self.backend.hung.load(Ordering::SeqCst) {
            if self.has(Defect::WaitsForEver) {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            return Err(Error::new(ErrorKind::Timeout, "no answer"));
        }
        self.backend.in_use.fetch_add(1, Ordering::SeqCst);
        let connection = (!self.has(Defect::LeaksConnections)).then(|| Connection(self.backend.clone()));
        yield_now().await;
        yield_now().await;
        Ok(connection.unwrap_or_else(|| Connection(self.backend.clone())))
    }

    fn id(&self, id: &AcsId) -> AcsId {
        if self.has(Defect::IgnoresCase) {
            AcsId::new(id.as_str().to_lowercase()).expect("a legal ACS ID")
        } else {
            id.clone()
        }
    }

    fn customer(&self, customer: &CustomerId) -> CustomerId {
        if self.has(Defect::IgnoresTrailingSpaces) {
            CustomerId::new(customer.as_str().trim_end_matches(' ')).expect("a legal customer ID")
        } else {
            customer.clone()
        }
    }

    async fn link_one(&self, mut link: Link) -> Result<Linked> {
        link.acs_id = self.id(&link.acs_id);
        link.customer_id = self.customer(&link.customer_id);
        if self.has(Defect::CutsLifetimes) {
            link.expires = link.expires.map(|lifetime| Duration::from_secs(lifetime.as_secs()));
        }
        match self.backend.defect {
            Some(Defect::FewIdsPerCustomer) if self.inner.all_mappings_of(&link.customer_id).await?.len() >= 40 => {
                return Err(Error::unsupported("the customer has enough"));
            }
            Some(Defect::CreateOnlyOverwrites) if link.when == When::CreateOnly => link.when = When::Replace,
            Some(Defect::CreateOnlyRaces)
                if link.when == When::CreateOnly && self.inner.resolve(&link.acs_id).await?.is_none() =>
            {
                yield_now().await;
                link.when = When::Replace;
            }
            _ => {}
        }
        match self.inner.link(link.clone()).await {
            Ok(linked) => Ok(self.linked(&link, linked)),
            Err(error) if error.kind() == ErrorKind::Conflict => self.conflict(&link, error).await,
            Err(error) => Err(error),
        }
    }

    fn linked(&self, link: &Link, mut linked: Linked) -> Linked {
        let mut notes = self.backend.notes();
        match link.expires {
            Some(_) => drop(notes.expiring.insert(link.acs_id.clone(), link.customer_id.clone())),
            None => drop(notes.expiring.remove(&link.acs_id)),
        }
        if self.has(Defect::ForgetsDisplaced) && linked.previous.is_none() {
            linked.displaced = None;
        }
        if self.has(Defect::ForgetsUnlinked) && notes.unlinked.contains(&link.acs_id) {
            linked.revision = Revision::new(linked.revision.get() - 1_000_000);
        }
        if self.has(Defect::StaleReverseEntry) && matches!(link.when, When::IfRevision(_)) {
            notes.ghosts.extend(linked.previous.clone().filter(|previous| previous.customer_id != link.customer_id));
        }
        linked
    }

    async fn conflict(&self, link: &Link, error: Error) -> Result<Linked> {
        if self.has(Defect::ConflictWrites)
            && !link.properties.is_empty()
            && let Some(present) = self.inner.resolve(&link.acs_id).await?
        {
            let write = Link::replace(link.acs_id.clone(), present.customer_id().clone());
            self.inner.link(write.with_properties(link.properties.clone())).await?;
        }
        Err(if self.has(Defect::ConflictWithoutRevision) { Error::conflict("taken", None) } else { error })
    }

    /// A page, with what may be wrong with one; or what a store makes of a bad cursor that doesn't look at it.
    fn page(&self, page: Result<Page<Mapping>>) -> Result<Page<Mapping>> {
        match page {
            Err(error) if self.has(Defect::TakesAnyCursor) && error.kind() == ErrorKind::InvalidInput => {
                Ok(Page::new(Vec::new(), None, Timestamp::MAX))
            }
            Ok(mut page) if self.has(Defect::PagesWithoutTime) => {
                page.read_at = Timestamp::from_micros(0);
                Ok(page)
            }
            page => page,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Resolver for WrongStore {
    async fn resolve(&self, id: &AcsId) -> Result<Option<Resolution>> {
        let connection = self.connect().await;
        if connection.is_err() && self.has(Defect::AbsentWhenCutOff) {
            return Ok(None);
        }
        let _connection = connection?;
        let id = self.id(id);
        match self.inner.resolve(&id).await {
            Ok(None) if self.has(Defect::ShowsExpired) => {
                Ok(self.backend.notes().expiring.get(&id).cloned().map(Resolution::from))
            }
            Err(_) if self.has(Defect::AbsentWhenClosed) => Ok(None),
            answer => answer,
        }
    }

    async fn resolve_many(&self, ids: &[AcsId]) -> Answers {
        let _connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return Answers::failed(ids, &error),
        };
        let asked: Vec<AcsId> = ids.iter().map(|id| self.id(id)).collect();
        let answers = self.inner.resolve_many(&asked).await;
        // A key of its own for each place, so that a wrong answer can be put there.
        let places: Vec<AcsId> =
            (0..ids.len()).map(|place| AcsId::new(place.to_string()).expect("a legal ACS ID")).collect();
        let placed = |answers: Vec<_>| {
            let keyed = places.iter().map(AcsId::as_str).zip(answers);
            Answers::each_by_id(&places, keyed, &Ok(None))
        };
        match self.backend.defect {
            Some(Defect::AnswersDuplicatesOnce) => {
                let mut seen = HashSet::new();
                let once =
                    asked.iter().zip(answers).map(|(id, answer)| if seen.insert(id) { answer } else { Ok(None) });
                placed(once.collect())
            }
            Some(Defect::MixesUpParts) => {
                let answers: Vec<_> = answers.into_iter().collect();
                placed(answers.chunks(512).rev().flatten().cloned().collect())
            }
            _ => answers,
        }
    }

    fn resolve_now(&self, _: &AcsId) -> Option<Option<Resolution>> {
        None
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MappingStore for WrongStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with(Capability::Durable).with(Capability::ScanExactlyOnce).with(Capability::ChangeFeed)
    }

    async fn link(&self, link: Link) -> Result<Linked> {
        let connection = self.connect().await;
        if connection.is_err() && self.has(Defect::WritesWhenCutOff) {
            self.link_one(link.clone()).await?;
        }
        let _connection = connection?;
        self.link_one(link).await
    }

    async fn link_many(&self, links: &[Link]) -> Vec<Result<Linked>> {
        let _connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return links.iter().map(|_| Err(error.clone())).collect(),
        };
        if self.has(Defect::TakesDuplicates) {
            let mut linked = Vec::new();
            for link in links {
                linked.push(self.link_one(link.clone()).await);
            }
            return linked;
        }
        if self.has(Defect::BatchesOverwrite) {
            let mut links = links.to_vec();
            links.iter_mut().for_each(|link| link.when = When::Replace);
            return self.inner.link_many(&links).await;
        }
        let written = if self.has(Defect::CutsLinks) { cut(links) } else { links };
        let mut answers = self.inner.link_many(written).await;
        let acknowledged = |link: &Link| Linked::written(Revision::new(1), &link.customer_id, None, Timestamp::MAX);
        answers.extend(links[written.len()..].iter().map(|link| Ok(acknowledged(link))));
        answers
    }

    async fn import(&self, mappings: &[Mapping]) -> Vec<Result<Imported>> {
        let _connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return mappings.iter().map(|_| Err(error.clone())).collect(),
        };
        let written = if self.has(Defect::CutsImports) { cut(mappings) } else { mappings };
        let mut answers = self.inner.import(written).await;
        answers.resize_with(mappings.len(), || Ok(Imported::Written));
        answers
    }

    async fn unlink(&self, id: &AcsId, expect: Expect) -> Result<Option<Mapping>> {
        let _connection = self.connect().await?;
        let id = self.id(id);
        let expect = match expect {
            Expect::Customer(customer) => Expect::Customer(self.customer(&customer)),
            expect => expect,
        };
        let removed = self.inner.unlink(&id, expect).await?;
        if removed.is_some() {
            let mut notes = self.backend.notes();
            notes.expiring.remove(&id);
            notes.unlinked.insert(id);
        }
        Ok(removed)
    }

    async fn unlink_customer(&self, customer: &CustomerId) -> Result<u64> {
        let _connection = self.connect().await?;
        let customer = self.customer(customer);
        let (found, expect) = match self.backend.defect {
            Some(Defect::UnlinksOnePage) => {
                let page = self.inner.mappings_of(&customer, PageRequest::default()).await?;
                (page.items, Expect::Customer(customer))
            }
            Some(Defect::UnlinksWhatIsTaken) => (self.inner.all_mappings_of(&customer).await?, Expect::Any),
            Some(Defect::StopsAtWhatComesBack) => {
                (self.inner.all_mappings_of(&customer).await?, Expect::Customer(customer.clone()))
            }
            _ => return self.inner.unlink_customer(&customer).await,
        };
        let mut removed = 0;
        for mapping in found {
            yield_now().await;
            if self.has(Defect::StopsAtWhatComesBack) {
                let present = self.inner.resolve(&mapping.acs_id).await?;
                let moved = present.filter(|present| present.revision() != Some(mapping.revision));
                if moved.is_some_and(|present| *present.customer_id() == mapping.customer_id) {
                    break;
                }
            }
            match self.inner.unlink(&mapping.acs_id, expect.clone()).await {
                Ok(there) => removed += u64::from(there.is_some()),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    async fn mappings_of(&self, customer: &CustomerId, page: PageRequest) -> Result<Page<Mapping>> {
        let _connection = self.connect().await?;
        let mut found = self.page(self.inner.mappings_of(&self.customer(customer), page).await)?;
        if self.has(Defect::StaleReverseEntry) || self.has(Defect::ShowsHalfDoneWrites) {
            let notes = self.backend.notes();
            found.items.extend(notes.ghosts.iter().filter(|ghost| ghost.customer_id == *customer).cloned());
        }
        Ok(found)
    }

    async fn scan(&self, page: PageRequest) -> Result<Page<Mapping>> {
        let _connection = self.connect().await?;
        let goes_on = page.cursor().is_some();
        let page = match page.cursor() {
            // Room for the repeated one.
            Some(cursor) if self.has(Defect::ScanRepeats) && page.limit() > 1 => {
                PageRequest::first(page.limit() - 1)?.after(cursor.clone())
            }
            _ => page,
        };
        let mut found = self.page(self.inner.scan(page).await)?;
        if goes_on && self.has(Defect::ScanRepeats) {
            found.items.extend(found.items.first().cloned());
        }
        if goes_on && self.has(Defect::ScanSkips) && !found.items.is_empty() {
            found.items.remove(0);
        }
        Ok(found)
    }

    async fn purge_expired(&self, limit: u32) -> Result<u64> {
        let _connection = self.connect().await?;
        if self.has(Defect::NeverPurges) {
            self.inner.ping().await.map(|()| 0)
        } else {
            self.inner.purge_expired(limit).await
        }
    }

    async fn ping(&self) -> Result<()> {
        let _connection = self.connect().await?;
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
