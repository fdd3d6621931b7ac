//! [`Gated`]: holds a call of a store at a known point.

use std::sync::{Arc, Mutex, PoisonError};

use acs_identity_core::Result;
use tokio::sync::Semaphore;

use super::wrap::{Call, wrap_store};

/// Holds calls of a resolver or a store at a known point, so that a test can do something else meanwhile. Never answers at
/// once.
///
/// ```
/// use std::sync::Arc;
/// use acs_identity_core::{Link, MappingStore, MemoryStore, Resolver};
/// use acs_identity_testkit::{Call, Gated, Point};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let id = "8:acs:r_1".parse()?;
/// let store = Arc::new(Gated::new(MemoryStore::new()));
/// let hold = store.hold(Call::Resolve, Point::After);
/// let load = tokio::spawn({
///     let (store, id) = (store.clone(), "8:acs:r_1".parse()?);
///     async move { store.resolve(&id).await }
/// });
/// hold.reached().await;
/// store.link(Link::create(id, "bob".parse()?)).await?;
/// hold.release();
/// // The load had read before the link, and answers after it.
/// assert_eq!(load.await.unwrap()?, None);
/// # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Gated<S> {
    inner: S,
    holds: Mutex<Vec<Arc<Place>>>,
}

/// Where a call is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before it reaches the store.
    Before,
    /// When the store has answered, before the caller gets the answer.
    After,
}

/// One call that is to be held, or is. Dropping it lets the call go on.
#[derive(Debug)]
pub struct Hold(Arc<Place>);

#[derive(Debug)]
struct Place {
    call: Call,
    point: Point,
    reached: Semaphore,
    released: Semaphore,
}

impl<S> Gated<S> {
    /// Holds calls of this one, but none until it is told to.
    pub fn new(inner: S) -> Self {
        Self { inner, holds: Mutex::default() }
    }

    /// Holds the next call of this sort that comes to this point. Several holds take one call each, in order.
    pub fn hold(&self, call: Call, point: Point) -> Hold {
        let place = Arc::new(Place { call, point, reached: Semaphore::new(0), released: Semaphore::new(0) });
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).push(place.clone());
        Hold(place)
    }

    async fn pass(&self, call: Call, point: Point) -> Result<()> {
        let place = {
            let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
            let first = holds.iter().position(|place| (place.call, place.point) == (call, point));
            first.map(|first| holds.remove(first))
        };
        if let Some(place) = place {
            place.reached.close();
            // Opened by closing: there is no permit to wait for.
            let _ = place.released.acquire().await;
        }
        Ok(())
    }

    async fn before(&self, call: Call) -> Result<()> {
        self.pass(call, Point::Before).await
    }

    async fn after(&self, call: Call) -> Result<()> {
        self.pass(call, Point::After).await
    }

    fn at_once(&self) -> bool {
        false
    }
}

impl Hold {
    /// Waits until a call is held here.
    pub async fn reached(&self) {
        let _ = self.0.reached.acquire().await;
    }

    /// Lets the call go on; one that has not come yet is not held at all.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.released.close();
    }
}

wrap_store!(Gated);

#[cfg(test)]
mod tests {
    use acs_identity_core::{MappingStore, MemoryStore};
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_the_next_call_of_that_sort_is_held() {
        let store = Gated::new(MemoryStore::new());
        let hold = store.hold(Call::Ping, Point::Before);
        store.purge_expired(1).await.unwrap();
        let mut held = store.ping();
        assert!((&mut held).now_or_never().is_none());
        hold.reached().await;
        store.ping().await.unwrap();
        hold.release();
        held.await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_hold_holds_nothing() {
        let store = Gated::new(MemoryStore::new());
        drop(store.hold(Call::Ping, Point::After));
        store.ping().await.unwrap();
    }
}
