//! News of changed mappings.

use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;

use crate::{AcsId, CustomerId, Revision};

/// A store's news of changed mappings, whichever process changed them.
///
/// What a backend's feed cannot see is listed with that backend. Expiry is no change.
///
/// # What a cache relies on
/// - A change is readable before it is told: who hears of it and asks then is answered with it, or with a later one.
/// - Each change of a mapping is told as [`Change::Acs`], and also as [`Change::Customer`] of whoever gains the ACS ID. Without the
///   latter, that customer's list as it was before would be kept, since nothing in it names the ID. Whoever loses the ID may be
///   told of, too: a list that is kept and holds the ID is known by the ID to be out of date.
/// - The revision of a `Change::Acs` rises with each change: that of an unlinking is above that of the mapping it removes. The
///   cache does not rely on it: a row that was changed by hand may be told with the revision that it still has.
pub trait ChangeFeed: fmt::Debug + Send + Sync {
    /// A subscription, which begins when the stream is first polled.
    ///
    /// The stream says [`Change::Live`] as soon as it works: a change that is written after that is reported. It says
    /// [`Change::Lost`] whenever something may have been missed, and `Live` again when it works again. It ends when
    /// the store is closed. A change may be reported more than once. Dropping the stream ends the subscription.
    fn changes(&self) -> BoxStream<'static, Change>;
}

macro_rules! forward_feed {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<F: ChangeFeed + ?Sized> ChangeFeed for $pointer {
            fn changes(&self) -> BoxStream<'static, Change> {
                (**self).changes()
            }
        }
    )*};
}

forward_feed!(&F, Box<F>, Arc<F>);

/// One piece of news of a [`ChangeFeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// From here on changes are reported.
    Live,
    /// The mapping of this ACS ID changed: to this revision, if the feed knows it.
    Acs(AcsId, Option<Revision>),
    /// The list of this customer's ACS IDs, or something in it, changed.
    Customer(CustomerId),
    /// Anything may have changed.
    All,
    /// Changes may have been missed; until the next `Live`, further ones may be too.
    Lost(LostReason),
}

/// Why a feed may have missed changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// The subscriber was too slow for what the feed keeps.
    Lagged,
    /// The connection to the backend was lost.
    Disconnected,
    /// The backend has thrown away all that it had, and does not tell of each mapping.
    Flushed,
}
