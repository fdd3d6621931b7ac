//! The change feed of the in-memory store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::space::Space;
use crate::{AcsId, Change, LostReason, Mapping, Revision};

/// How many changes are kept for a slow subscriber.
const KEPT: usize = 4096;

/// Where writes report. `None` on the channel asks the subscribers to look whether their handle was closed.
#[derive(Default)]
// Made by the first subscriber: a store that nobody listens to pays nothing.
pub(super) struct Sender(OnceLock<broadcast::Sender<Option<Change>>>);

impl Sender {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Option<Change>> {
        self.0.get_or_init(|| broadcast::Sender::new(KEPT)).subscribe()
    }

    /// Reports a change of an ACS ID and of the customers that had it or have it.
    pub(super) fn send(&self, id: &AcsId, revision: Revision, mappings: [Option<&Mapping>; 2]) {
        let Some(sender) = self.0.get() else { return };
        let customers = mappings.map(|mapping| mapping.map(|mapping| &mapping.customer_id));
        let second = customers[1].filter(|customer| Some(*customer) != customers[0]);
        let changed = customers[0].into_iter().chain(second).map(|customer| Change::Customer(customer.clone()));
        for change in std::iter::once(Change::Acs(id.clone(), Some(revision))).chain(changed) {
            // An error says that nobody listens at the moment.
            let _ = sender.send(Some(change));
        }
    }

    pub(super) fn wake(&self) {
        if let Some(sender) = self.0.get() {
            let _ = sender.send(None);
        }
    }
}

enum State {
    New(Arc<Space>),
    Live(broadcast::Receiver<Option<Change>>),
    Lagged(broadcast::Receiver<Option<Change>>),
}

pub(super) fn subscribe(space: Arc<Space>, closed: Arc<AtomicBool>) -> BoxStream<'static, Change> {
    let changes = stream::unfold(State::New(space), move |state| {
        let closed = closed.clone();
        async move {
            let mut receiver = match state {
                State::New(space) => {
                    let receiver = space.subscribe();
                    // Looked at after the subscription: a later close is then seen on the channel.
                    let open = !closed.load(Ordering::Acquire);
                    return open.then_some((Change::Live, State::Live(receiver)));
                }
                State::Lagged(receiver) => return Some((Change::Live, State::Live(receiver))),
                State::Live(receiver) => receiver,
            };
            loop {
                match receiver.recv().await {
                    Ok(_) if closed.load(Ordering::Acquire) => return None,
                    Ok(Some(change)) => return Some((change, State::Live(receiver))),
                    Ok(None) => {}
                    Err(RecvError::Lagged(_)) => {
                        return Some((Change::Lost(LostReason::Lagged), State::Lagged(receiver)));
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        }
    });
    // An application may poll once too often.
    Box::pin(changes.fuse())
}
