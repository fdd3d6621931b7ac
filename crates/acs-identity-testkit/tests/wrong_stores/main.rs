//! The suite bites: for each promise there is a store that breaks it, and only it, and the suite says so.

mod defect;
mod fixture;
mod store;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use acs_identity_testkit::{Outcome, checks};

use defect::Defect;
use fixture::Model;

/// What the suite makes of a store: the promises that it finds broken, and every message.
fn broken(defect: Option<Defect>) -> (BTreeSet<&'static str>, Vec<String>) {
    let mut found = (BTreeSet::new(), Vec::new());
    for check in checks() {
        match check.outcome(Arc::new(Model::new(defect))) {
            Outcome::Kept => {}
            Outcome::Ignored(reason) => panic!("{} is ignored: {reason}", check.name),
            Outcome::Broken(what) => {
                found.0.insert(check.promise);
                found.1.push(format!("{}: {what}", check.name));
            }
        }
    }
    found
}

#[test]
fn the_right_store_keeps_every_promise() {
    let (promises, messages) = broken(None);
    assert!(promises.is_empty(), "{messages:#?}");
}

#[test]
fn each_wrong_store_breaks_its_own_promise_and_no_other() {
    let (next, unproven) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some((promise, defect)) = Defect::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (promises, messages) = broken(Some(*defect));
            let named = messages.iter().all(|message| message.contains(&format!("wrong does not keep {promise}:")));
            if promises != BTreeSet::from([*promise]) || !named {
                unproven.lock().unwrap().push((defect, messages));
            }
        }
    };
    // Some of the time is spent in waiting for what a wrong store never does.
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(worker))));
    let unproven = unproven.into_inner().unwrap();
    assert!(unproven.is_empty(), "{unproven:#?}");
}

#[test]
fn there_is_a_wrong_store_for_every_promise() {
    let checked: BTreeSet<_> = checks().iter().map(|check| check.promise).collect();
    let proven: BTreeSet<_> = Defect::ALL.iter().map(|(promise, _)| *promise).collect();
    let all: BTreeSet<_> = (1..=14).map(|n| format!("P{n}")).collect();
    assert_eq!(checked, all.iter().map(String::as_str).collect());
    assert_eq!(proven, checked);
}

#[test]
fn a_check_is_named_after_its_promise() {
    for check in checks() {
        let number: u32 = check.promise[1..].parse().unwrap();
        assert!(check.name.starts_with(&format!("p{number:02}_")), "{}", check.name);
    }
}
