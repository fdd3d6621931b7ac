//! The change feed of the made-up store, which also notes what the cache has heeded.

use std::task::Poll;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, Revision};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::super::oracle::{Order, Since, Step, What};
use super::{Feed, World};

impl Feed {
    pub(super) fn tell(&mut self, change: Change, step: Step, order: Option<Order>) {
        if self.subscribed {
            self.news.push_back((change, step, order));
            self.wake();
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn tell_of(&mut self, id: &AcsId, customers: [Option<&CustomerId>; 2], step: Step, order: Order) {
        if self.is_lost {
            return;
        }
        // As revisions rise, that of an unlinking is above that of what was there.
        let revision = Revision::new(order.0 + u64::from(order.1));
        self.tell(Change::Acs(id.clone(), Some(revision)), step, Some(order));
        for customer in customers.into_iter().flatten() {
            self.tell(Change::Customer(customer.clone()), step, None);
        }
    }
}

impl World {
    /// What the follower was told last, it has heeded when it asks for more.
    fn heeded(&self, told: Option<(Change, Step, Option<Order>)>) {
        let Some((change, step, order)) = told else { return };
        self.oracle().step(format!("heeded: {}", said(&change)));
        let know = |what, since| self.oracle().know(what, since);
        match (change, order) {
            (Change::Acs(id, _), Some(order)) => {
                know(What::Id(id.clone()), Since::Version(id.clone(), order));
                know(What::Shown(id.clone()), Since::Version(id, order));
            }
            (Change::Customer(customer), _) => {
                know(What::Page(customer.clone()), Since::Moment(step));
                know(What::Named(customer), Since::Moment(step));
            }
            (Change::Live, _) => know(What::Fresh, Since::Moment(step)),
            (Change::All, _) => know(What::All, Since::Moment(step)),
            _ => self.oracle().deaf(true),
        }
    }
}

fn said(change: &Change) -> String {
    match change {
        Change::Acs(id, revision) => format!("{:?} is at {revision:?}", id.as_str()),
        Change::Customer(customer) => format!("{:?} has changed", customer.as_str()),
        other => format!("{other:?}"),
    }
}

impl ChangeFeed for World {
    fn changes(&self) -> BoxStream<'static, Change> {
        let world = self.clone();
        // Whoever subscribes again knows that the last subscription is over.
        self.oracle().deaf(true);
        let news = stream::poll_fn(move |context| {
            let told = world.state().feed.told.take();
            world.heeded(told);
            let mut state = world.state();
            if std::mem::take(&mut state.feed.ends) {
                return Poll::Ready(None);
            }
            if !state.feed.subscribed && !state.feed.is_lost {
                state.feed.subscribed = true;
                let step = world.oracle().step("the feed is subscribed to");
                state.feed.tell(Change::Live, step, None);
            }
            let Some((change, mut step, order)) = state.feed.news.pop_front() else {
                state.feed.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            if change == Change::Live {
                step = world.oracle().step("told: Live");
                world.oracle().deaf(false);
            }
            state.feed.told = Some((change.clone(), step, order));
            Poll::Ready(Some(change))
        });
        news.boxed()
    }
}
