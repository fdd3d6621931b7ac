//! The oracle's verdict on a history: whether each read returned what it may.

use std::time::Duration;

use acs_identity_core::{AcsId, CustomerId, ErrorKind};

use super::{Answer, Asked, Bounds, Floor, History, Order, Read, Since, Step, Version, What, micros};

impl History {
    /// What is known only at the end.
    pub(super) fn settle(&mut self, bounds: &Bounds) {
        self.find_expired();
        self.find_erased();
        let mut floors = Vec::new();
        // Nothing is kept until a late write can't be applied any more, but who joined a load from before may still get its answer.
        for (id, order, task) in &self.late {
            let Some(told) = self.ended.get(task).map(|ended| self.clock_at(*ended)) else { continue };
            let at = told + micros(bounds.write_deadline) + micros(bounds.load_deadline);
            if let Some(from) = self.first_step_at(at) {
                for what in [What::Id(id.clone()), What::Shown(id.clone())] {
                    floors.push(Floor { from, what, since: Since::Version(id.clone(), *order) });
                }
            }
        }
        for (customer, (begun, end), _) in self.erasures.iter().filter(|erasure| erasure.2) {
            for (id, versions) in &self.versions {
                for pair in
                    versions.windows(2).filter(|pair| pair[1].erased && pair[0].customer.as_ref() == Some(customer))
                {
                    if *begun <= pair[1].written.0 && pair[1].written.1 <= *end {
                        // Of an ID that the cache takes for another's it can't be known.
                        for what in [What::Named(customer.clone()), What::Page(customer.clone())] {
                            floors.push(Floor { from: *end, what, since: Since::Version(id.clone(), pair[1].order) });
                        }
                    }
                }
            }
        }
        floors.extend(self.told(bounds));
        self.floors.extend(floors);
    }

    /// What a single reader was told. A stale answer is not to be older than that. Of reads that overlap, or leave loads behind, the
    /// answers may be of any order.
    fn told(&self, bounds: &Bounds) -> Vec<Floor> {
        if bounds.timers || self.reads.windows(2).any(|pair| pair[0].end >= pair[1].begun.at) {
            return Vec::new();
        }
        let told = self.reads.iter().filter_map(|read| {
            let (order, id) = match (&read.answer, &read.asked) {
                (Answer::Found { revision, stale: false, .. }, Asked::Id(id)) => ((*revision, false), id),
                // At the least, the first absence that it can have been.
                (Answer::Absent, Asked::Id(id)) => {
                    let floor = self.floor_of_absence(id, read, bounds);
                    (self.held(id, read.end, &floor).find(|version| version.customer.is_none())?.order, id)
                }
                _ => return None,
            };
            Some(Floor { from: read.end, what: What::Told(id.clone()), since: Since::Version(id.clone(), order) })
        });
        told.collect()
    }

    /// What expired where nobody saw it, unless it was gone before.
    fn find_expired(&mut self) {
        for (id, order, (from, until)) in std::mem::take(&mut self.expiring) {
            self.expired.push((id.clone(), order, until));
            let first = self.clock.iter().rev().find(|(_, shown)| *shown < from).map_or(0, |(step, _)| *step);
            let last = self.first_step_at(until).unwrap_or(Step::MAX);
            let Some(versions) = self.versions.get_mut(&id) else { continue };
            let absence = (order.0, true);
            let Err(place) = versions.binary_search_by_key(&absence, |version| version.order) else { continue };
            let (customer, written) = match versions[..place].last() {
                Some(before) => (before.customer.clone(), before.written),
                None => (None, (0, 0)),
            };
            let erasures = self.erasures.iter().filter(|erasure| Some(&erasure.0) == customer.as_ref());
            let erasures = erasures.map(|erasure| erasure.1).filter(|(_, ended)| *ended > written.0);
            let next = versions.get(place);
            // A write that began in time may have found it, and be seen later than it is over.
            if next.is_some_and(|next| next.written.1 <= first)
                || erasures.clone().any(|(begun, ended)| begun >= written.1 && ended <= first)
            {
                continue;
            }
            let last = last.min(next.map_or(Step::MAX, |next| next.written.1));
            // If it may as well have been erased, it may have been gone earlier.
            let first = erasures.map(|(begun, _)| begun).chain([first]).min().unwrap_or(first).max(written.0);
            versions.insert(place, Version { order: absence, customer: None, written: (first, last), erased: false });
        }
    }

    /// An erasure does not say what it has removed: whatever was gone, and not by an unlinking.
    fn find_erased(&mut self) {
        for (id, order) in std::mem::take(&mut self.followed_absence) {
            let Some(versions) = self.versions.get_mut(&id) else { continue };
            let place = versions.partition_point(|version| version.order < order);
            let Some(Version { order: (revision, false), customer: Some(customer), written, .. }) =
                place.checked_sub(1).map(|before| &versions[before])
            else {
                continue;
            };
            let end = versions.get(place).map_or(Step::MAX, |next| next.written.1);
            let there = |(begun, ended): &(Step, Step)| *begun < end && *ended > written.0;
            let erasures = self.erasures.iter().filter(|erasure| erasure.0 == *customer).map(|erasure| erasure.1);
            let suspects: Vec<(Step, Step)> = erasures.filter(there).collect();
            let (Some(begun), Some(ended)) =
                (suspects.iter().map(|(begun, _)| *begun).min(), suspects.iter().map(|(_, ended)| *ended).max())
            else {
                self.wrong.get_or_insert(format!("{:?} was gone and nobody had removed it", id.as_str()));
                continue;
            };
            // If it may have been one of several, it need not be one that the cache knows of.
            let erased = suspects.len() == 1;
            let erased = Version { order: (*revision, true), customer: None, written: (begun, ended), erased };
            versions.insert(place, erased);
        }
    }

    pub(super) fn clock_at(&self, step: Step) -> u64 {
        self.clock.iter().rev().find(|(from, _)| *from <= step).map_or(0, |(_, shown)| *shown)
    }

    /// The first step at which the clock showed at least this.
    fn first_step_at(&self, clock: u64) -> Option<Step> {
        self.clock.iter().find(|(_, shown)| *shown >= clock).map(|(step, _)| *step)
    }

    pub(super) fn judge(&self, read: &Read, bounds: &Bounds) -> std::result::Result<(), String> {
        let fits = match (&read.answer, &read.asked) {
            (Answer::Failed(kind), _) => self.may_fail(read, *kind, bounds),
            // Nobody claims anything of it.
            (Answer::Found { stale: true, .. }, _) if bounds.stale_source => true,
            (Answer::Found { revision, customer, stale }, Asked::Id(id)) => {
                let mut age = bounds.lifetime;
                let mut known = vec![What::All, What::Id(id.clone()), What::Named(customer.clone())];
                if *stale {
                    age += bounds.stale_for;
                    known.push(What::Told(id.clone()));
                } else {
                    known.push(What::Fresh);
                }
                let floor = self.floor(read, &known, age.max(bounds.load_deadline), *stale);
                !self.had_expired(id, *revision, read)
                    && self.held(id, read.end, &floor).any(|version| {
                        version.order == (*revision, false) && version.customer.as_ref() == Some(customer)
                    })
            }
            (Answer::Absent, Asked::Id(id)) => {
                let floor = self.floor_of_absence(id, read, bounds);
                self.held(id, read.end, &floor).any(|version| version.customer.is_none())
            }
            (Answer::Page(items), Asked::Page(customer)) => self.was_the_page(read, customer, items, bounds),
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{}: the answer may not be given: {read:?}", read.end)) }
    }

    /// Whether a mapping had expired when a read began. What it took the place of is no answer either, but only from the end of its write on.
    fn had_expired(&self, id: &AcsId, revision: u64, read: &Read) -> bool {
        let mut expired = self.expired.iter();
        expired.any(|(of, order, at)| of == id && order.0 == revision && *at <= read.begun.clock)
    }

    fn may_fail(&self, read: &Read, kind: ErrorKind, bounds: &Bounds) -> bool {
        let before = self.loads.iter().filter(|load| load.failed && load.begun <= read.end);
        let of_it = before.clone().any(|load| load.asked == read.asked && load.begun >= read.begun.joinable);
        // By the breaker, which also counts what took too long.
        let refused = kind == ErrorKind::Unavailable && (bounds.timers || before.count() >= 5);
        of_it || refused || (bounds.timers && kind == ErrorKind::Timeout)
    }

    fn floor_of_absence(&self, id: &AcsId, read: &Read, bounds: &Bounds) -> Known {
        let known = [What::All, What::Id(id.clone()), What::Fresh];
        self.floor(read, &known, bounds.absent_lifetime.max(bounds.load_deadline), false)
    }

    /// What the cache knew, of all that counts for a read, when it began.
    fn floor(&self, read: &Read, known: &[What], age: Duration, stale: bool) -> Known {
        let begun = &read.begun;
        let mut floor = Known { since: 0, versions: Vec::new() };
        for known in self.floors.iter().filter(|floor| floor.from <= begun.at && known.contains(&floor.what)) {
            match &known.since {
                Since::Moment(step) => floor.since = floor.since.max(*step),
                Since::Version(id, order) => floor.versions.push((id.clone(), *order)),
            }
        }
        if let Some(oldest) = begun.clock.checked_sub(micros(age)) {
            // Less than a lifetime ago.
            floor.since = floor.since.max(self.first_step_at(oldest + 1).unwrap_or(begun.at));
        }
        if !stale && self.deaf.iter().any(|(from, to)| (*from..*to).contains(&begun.at)) {
            floor.since = floor.since.max(begun.joinable);
        }
        floor
    }

    /// The versions of an ACS ID that may have been there at some moment from a floor to an end.
    fn held<'a>(&'a self, id: &'a AcsId, end: Step, floor: &'a Known) -> impl Iterator<Item = Version> + 'a {
        let first = Version { order: (0, false), customer: None, written: (0, 0), erased: false };
        let versions: Vec<Version> =
            std::iter::once(first).chain(self.versions.get(id).into_iter().flatten().cloned()).collect();
        (0..versions.len()).filter_map(move |at| {
            let version = &versions[at];
            let next = versions.get(at + 1).map_or(Step::MAX, |next| next.written.1);
            let known = floor.versions.iter().all(|(of, order)| of != id || *order <= version.order);
            (known && version.written.0 <= end && floor.since.max(version.written.0) < next).then(|| version.clone())
        })
    }

    fn was_the_page(&self, read: &Read, customer: &CustomerId, items: &[(AcsId, u64)], bounds: &Bounds) -> bool {
        let mut known = vec![What::All, What::Fresh, What::Page(customer.clone())];
        known.extend(items.iter().map(|(id, _)| What::Shown(id.clone())));
        let age = if items.is_empty() { bounds.absent_lifetime } else { bounds.lifetime };
        let floor = self.floor(read, &known, age.max(bounds.load_deadline), false);
        let written = self.versions.values().flatten().flat_map(|version| [version.written.0, version.written.1]);
        let mut moments = written.chain([floor.since, read.end]).filter(|at| (floor.since..=read.end).contains(at));
        moments.any(|at| {
            let floor = Known { since: at, versions: floor.versions.clone() };
            self.versions.keys().all(|id| {
                let shown = items.iter().find(|(item, _)| item == id).map(|(_, revision)| *revision);
                self.held(id, at, &floor).any(|version| match shown {
                    Some(revision) => version.order == (revision, false) && version.customer.as_ref() == Some(customer),
                    None => version.customer.as_ref() != Some(customer),
                })
            }) && items
                .iter()
                .all(|(id, revision)| self.versions.contains_key(id) && !self.had_expired(id, *revision, read))
        })
    }
}

#[derive(Debug)]
struct Known {
    since: Step,
    versions: Vec<(AcsId, Order)>,
}
