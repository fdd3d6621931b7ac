//! Moving house: copies every mapping of one store into another, and verifies the copy.
//!
//! [`Move`] works between any two [`MappingStore`]s. Properties, expiries, creation times and revisions are kept, by
//! [`import`](MappingStore::import). Both stores may be in use meanwhile: what is newer at the target is kept, and
//! nothing at the source is changed.
//!
//! ```
//! use acs_identity_core::moving::{Checkpoint, Move};
//! use acs_identity_core::{Link, MappingStore, MemoryStore, Resolver};
//! use futures::TryStreamExt;
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (from, to) = (MemoryStore::new(), MemoryStore::new());
//! from.link(Link::create("8:acs:r_1".parse()?, "bob@contoso.com".parse()?)).await?;
//!
//! let mut checkpoint = Checkpoint::default();
//! let mut progress = Move::new(&from, &to).run(checkpoint.clone());
//! while let Some(page) = progress.try_next().await? {
//!     // Here a program shows how far it is, and writes the checkpoint down.
//!     checkpoint = page.checkpoint;
//! }
//! assert_eq!((checkpoint.counts().copy.written, checkpoint.counts().differences()), (1, 0));
//! assert_eq!(to.resolve(&"8:acs:r_1".parse()?).await?, from.resolve(&"8:acs:r_1".parse()?).await?);
//! # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
//! ```

mod checkpoint;
mod finding;

use std::cmp::Reverse;
use std::time::Duration;

use futures::future::join;
use futures::stream::{self, BoxStream};

pub use checkpoint::{Checkpoint, Copied, Counts, Reversed, Stage, Verified};
pub use finding::{Finding, FindingKind};

use crate::{
    AcsId, Answers, Clock, Cursor, Error, ErrorKind, Imported, Mapping, MappingStore, PageRequest, Result, SystemClock,
    Timestamp,
};
use finding::{Compared, Tolerance};

/// A move of all mappings of one store into another.
///
/// The stores are asked as they are: hand in the stores themselves, not a cache in front of them, whose answers would
/// be what is verified.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    from: &'a dyn MappingStore,
    to: &'a dyn MappingStore,
    page_size: u32,
    expiry_tolerance: Duration,
}

/// What one page of a [`Move`] came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Progress {
    /// The stage to which the page belongs.
    pub stage: Stage,
    /// What is not as it should be, at most one for each mapping of the page. It is told here and only counted in the
    /// [`Checkpoint`], so that memory stays bounded however much there is.
    pub findings: Vec<Finding>,
    /// Where to go on after this page, with the counts since the beginning of the move.
    pub checkpoint: Checkpoint,
}

/// One page as it was read.
struct Read {
    /// Each ACS ID once.
    mappings: Vec<Mapping>,
    next: Option<Cursor>,
    /// The store's time at which it was read.
    at: Timestamp,
    /// The same moment on the clock of this process that never goes back.
    since: Duration,
}

impl<'a> Move<'a> {
    /// A move from one store to another, in pages of 1000 mappings.
    pub fn new(from: &'a dyn MappingStore, to: &'a dyn MappingStore) -> Self {
        Self { from, to, page_size: PageRequest::MAX_LIMIT, expiry_tolerance: Duration::from_secs(60) }
    }

    /// The same in pages of so many mappings. At most two pages are in memory at a time: one that is being written
    /// or compared, and the next one, which is read meanwhile.
    ///
    /// # Errors
    /// `InvalidInput` if it is 0 or above [`PageRequest::MAX_LIMIT`].
    pub fn page_size(mut self, mappings: u32) -> Result<Self> {
        self.page_size = PageRequest::first(mappings)?.limit();
        Ok(self)
    }

    /// How far the remaining lifetimes of a mapping in both stores may be apart when they are compared; by default a
    /// minute. Each store counts by its own clock, so this has to be more than the clocks of two servers are apart.
    #[must_use]
    pub fn expiry_tolerance(mut self, tolerance: Duration) -> Self {
        self.expiry_tolerance = tolerance;
        self
    }

    /// Goes through the [stages](Stage) from a checkpoint to the end, with one item after each page, also an empty one.
    ///
    /// Nothing is done but when the stream is asked. Who does not want the later stages stops reading when one of them
    /// begins.
    ///
    /// # Errors
    /// An error ends the stream, and the last checkpoint goes on at the page that failed. Errors are passed on as they
    /// come from the stores, without being tried again: `InvalidInput` for a checkpoint that is not one of the store's
    /// listing, and whatever would fail the other mappings as well or may pass (`Unavailable`, `Timeout`,
    /// `OutcomeUnknown`, `Denied`, `Misconfigured`, `Unsupported`). Any other failure of a single mapping is a
    /// [finding](FindingKind::Failed), and the others go on; but a page that cannot be listed, for instance because of a
    /// `Corrupt` record on it, ends the move.
    ///
    /// # Cancellation
    /// The stream may be dropped at any point, and the move gone on with later from the last checkpoint. What had been
    /// copied of a page that is repeated is then counted as kept.
    pub fn run(self, checkpoint: Checkpoint) -> BoxStream<'a, Result<Progress>> {
        let start = (checkpoint, None);
        Box::pin(stream::try_unfold(start, move |(mut checkpoint, ahead)| async move {
            let Some(stage) = checkpoint.stage else { return Ok(None) };
            let read = match ahead {
                Some(read) => read,
                None => self.read(stage, checkpoint.next.take()).await,
            }?;
            let (findings, ahead) = match read.next.clone() {
                Some(next) => {
                    let page = self.page(stage, &read, &mut checkpoint.counts);
                    let (findings, ahead) = join(page, self.read(stage, Some(next))).await;
                    // A page that could not be read is told after this one, which was done.
                    (findings?, Some(ahead))
                }
                None => (self.page(stage, &read, &mut checkpoint.counts).await?, None),
            };
            checkpoint.move_on(stage, read.next);
            let progress = Progress { stage, findings, checkpoint: checkpoint.clone() };
            Ok(Some((progress, (checkpoint, ahead))))
        }))
    }

    async fn read(&self, stage: Stage, cursor: Option<Cursor>) -> Result<Read> {
        let walked = match stage {
            Stage::Copy | Stage::Verify => self.from,
            Stage::Reverse => self.to,
        };
        let first = PageRequest::first(self.page_size)?;
        let since = SystemClock.monotonic();
        let page = walked
            .scan(match cursor {
                Some(cursor) => first.after(cursor),
                None => first,
            })
            .await?;
        let mut mappings = page.items;
        // A scan may list an ID twice, and an import refuses that.
        mappings.sort_by(|a, b| (&a.acs_id, Reverse(a.revision)).cmp(&(&b.acs_id, Reverse(b.revision))));
        mappings.dedup_by(|later, first| later.acs_id == first.acs_id);
        Ok(Read { mappings, next: page.next, at: page.read_at, since })
    }

    async fn page(&self, stage: Stage, read: &Read, counts: &mut Counts) -> Result<Vec<Finding>> {
        match stage {
            Stage::Copy => self.copy(read, &mut counts.copy).await,
            Stage::Verify => self.verify(read, &mut counts.verify).await,
            Stage::Reverse => self.reverse(read, &mut counts.reverse).await,
        }
    }

    async fn copy(&self, read: &Read, counts: &mut Copied) -> Result<Vec<Finding>> {
        let answers = self.to.import(&read.mappings).await;
        whole(answers.len(), read)?;
        let mut findings = Vec::new();
        for (mapping, answer) in read.mappings.iter().zip(answers) {
            match own_failure(answer)? {
                Ok(Imported::Written) => count(&mut counts.written),
                Ok(Imported::Kept) => count(&mut counts.kept),
                Ok(Imported::Expired) => count(&mut counts.expired),
                Err(error) => {
                    count(&mut counts.failed);
                    findings.push(Finding::new(mapping, FindingKind::Failed(error)));
                }
            }
        }
        Ok(findings)
    }

    async fn verify(&self, read: &Read, counts: &mut Verified) -> Result<Vec<Finding>> {
        let answers = ask(self.to, read).await?;
        let tolerance = self.tolerance(read);
        let mut findings = Vec::new();
        for (mapping, answer) in read.mappings.iter().zip(answers) {
            let compared = match own_failure(answer)? {
                Ok(found) => tolerance.compare(mapping, found.as_ref()),
                Err(error) => Compared::Finding(FindingKind::Failed(error)),
            };
            counts.add(&compared);
            if let Compared::Finding(kind) = compared {
                findings.push(Finding::new(mapping, kind));
            }
        }
        Ok(findings)
    }

    async fn reverse(&self, read: &Read, counts: &mut Reversed) -> Result<Vec<Finding>> {
        let answers = ask(self.from, read).await?;
        let tolerance = self.tolerance(read);
        let mut findings = Vec::new();
        for (mapping, answer) in read.mappings.iter().zip(answers) {
            match own_failure(answer)? {
                Ok(Some(_)) => count(&mut counts.present),
                Ok(None) if tolerance.is_about_to_expire(mapping) => count(&mut counts.expired),
                Ok(None) => {
                    count(&mut counts.extra);
                    findings.push(Finding::new(mapping, FindingKind::Extra));
                }
                Err(error) => {
                    count(&mut counts.failed);
                    findings.push(Finding::new(mapping, FindingKind::Failed(error)));
                }
            }
        }
        Ok(findings)
    }

    /// For comparing now with what was read then.
    fn tolerance(&self, read: &Read) -> Tolerance {
        let passed = SystemClock.monotonic().saturating_sub(read.since);
        Tolerance { read_at: read.at, passed, clocks: self.expiry_tolerance }
    }
}

async fn ask(store: &dyn MappingStore, read: &Read) -> Result<Answers> {
    let ids: Vec<AcsId> = read.mappings.iter().map(|mapping| mapping.acs_id.clone()).collect();
    let answers = store.resolve_many(&ids).await;
    whole(answers.len(), read)?;
    answers.in_order_of(&ids)
}

/// Nothing is lost silently, not even in a store that someone else wrote.
fn whole(answers: usize, read: &Read) -> Result<()> {
    if answers != read.mappings.len() {
        let message = format!("the store gave {answers} answers for {} mappings", read.mappings.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    Ok(())
}

/// Takes apart the failure of one mapping, and that of the store, which ends the move: it would fail the other mappings
/// as well, or may pass.
fn own_failure<T>(answer: Result<T>) -> Result<Result<T>> {
    use ErrorKind::{Denied, Misconfigured, OutcomeUnknown, Timeout, Unavailable, Unsupported};
    match answer {
        Err(error)
            if matches!(
                error.kind(),
                Unavailable | Timeout | OutcomeUnknown | Denied | Misconfigured | Unsupported
            ) =>
        {
            Err(error)
        }
        answer => Ok(answer),
    }
}

/// One more. A checkpoint may hold any number, for all that is known of where it was kept.
fn count(number: &mut u64) {
    *number = number.saturating_add(1);
}
