//! The latest events, in memory.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use acs_identity::{AcsId, Event};

/// How many events are kept.
const CAPACITY: usize = 1000;

/// The latest events. Of each it keeps who takes part, by ACS ID: which customers these are is asked when somebody looks, so that
/// nobody is named who has left since.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<VecDeque<Event>>);

impl Inbox {
    /// Keeps an event, unless it is there already: Event Grid may deliver one twice. Says whether it was new.
    pub(crate) fn keep(&self, event: Event) -> bool {
        let mut events = self.events();
        if event.id().is_some() && events.iter().any(|one| one.id() == event.id()) {
            return false;
        }
        if events.len() == CAPACITY {
            events.pop_front();
        }
        events.push_back(event);
        true
    }

    /// The events in which one of these takes part, the oldest first.
    pub(crate) fn of(&self, ids: &[AcsId]) -> Vec<Event> {
        let ids = ids.iter().collect();
        self.events().iter().filter(|event| concerns(event, &ids)).cloned().collect()
    }

    /// Forgets the events in which one of these takes part.
    pub(crate) fn forget(&self, ids: &[AcsId]) {
        let ids = ids.iter().collect();
        self.events().retain(|event| !concerns(event, &ids));
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn concerns(event: &Event, ids: &HashSet<&AcsId>) -> bool {
    event.participants().iter().any(|participant| ids.contains(participant.acs_id()))
}
