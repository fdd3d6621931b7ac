//! The change feed of the made-up store, which also notes what the cache has heeded.

use std::task::Poll;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, LostReason, Revision};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::super::oracle::{Order, Since, Step, What};
use super::{Feed, State, Subscription, World};

/// For how many microseconds it is believed that somebody listens.
const BELIEVED: u64 = 5_000_000;

impl Subscription {
    fn tell(&mut self, change: Change, step: Step, order: Option<Order>) {
        if self.begun {
            self.news.push_back((change, step, order));
            self.wake();
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Feed {
    pub(super) fn tell(&mut self, change: Change, step: Step, order: Option<Order>) {
        for subscription in &mut self.subscriptions {
            subscription.tell(change.clone(), step, order);
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
    /// Nobody may believe any more that somebody listens who has not asked for so long.
    pub(super) fn is_heard(&self, state: &State) {
        if state.feed.subscriptions.last().is_some_and(|last| state.clock > last.asked + BELIEVED) {
            self.oracle().deaf(true);
        }
    }

    /// What the follower was told last, it has heeded when it asks for more.
    fn heeded(&self, told: Option<(Change, Step, Option<Order>)>, is_last: bool) {
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
            (Change::All, _) => know(What::All, Since::Moment(step)),
            // Of no account if another one follows.
            (Change::Live, _) if is_last => know(What::Fresh, Since::Moment(step)),
            (Change::Lost(reason), _) if is_last => {
                if reason == LostReason::Flushed {
                    know(What::All, Since::Moment(step));
                }
                self.oracle().deaf(true);
            }
            _ => {}
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
        // Whoever subscribes again knows that the last subscription is over. Who began to read before may not have known.
        self.oracle().step("the feed is to be subscribed to");
        self.oracle().deaf(true);
        let number = {
            let mut state = self.state();
            let asked = state.clock;
            state.feed.subscriptions.push(Subscription { asked, ..Subscription::default() });
            state.feed.subscriptions.len()
        };
        let news = stream::poll_fn(move |context| {
            let (told, is_last) = {
                let subscriptions = &mut world.state().feed.subscriptions;
                (subscriptions[number - 1].told.take(), subscriptions.len() == number)
            };
            world.heeded(told, is_last);
            let mut state = world.state();
            let (clock, is_last) = (state.clock, state.feed.subscriptions.len() == number);
            let is_lost = state.feed.is_lost;
            let own = &mut state.feed.subscriptions[number - 1];
            own.asked = clock;
            if std::mem::take(&mut own.ends) {
                return Poll::Ready(None);
            }
            if !own.begun && !is_lost {
                own.begun = true;
                let step = world.oracle().step("the feed is subscribed to");
                own.tell(Change::Live, step, None);
            }
            let Some((change, mut step, order)) = own.news.pop_front() else {
                own.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            if change == Change::Live {
                step = world.oracle().step(format!("told {number}: Live"));
                if is_last {
                    world.oracle().deaf(false);
                }
            }
            own.told = Some((change.clone(), step, order));
            Poll::Ready(Some(change))
        });
        news.boxed()
    }
}
