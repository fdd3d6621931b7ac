//! [`Check`]: one thing that the suite checks, as data.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::runtime;

use crate::checks::*;
use crate::{Fixture, Verdict};

/// How long one check may take, on any store.
const LIMIT: Duration = Duration::from_secs(120);

/// One check of one promise.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// The promise, `P1` to `P14`.
    pub promise: &'static str,
    /// What is checked, as a name for a test.
    pub name: &'static str,
    /// The check itself; it panics if the promise does not hold.
    pub run: for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, Verdict>,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The promise held.
    Kept,
    /// It does not apply to this store, and why.
    Ignored(&'static str),
    /// The promise did not hold: the store, the promise and what went wrong.
    Broken(String),
}

impl Check {
    /// Makes the check on a runtime of its own and waits for it, for two minutes at most. Not for use in async code.
    pub fn outcome(&self, fixture: Arc<dyn Fixture>) -> Outcome {
        let name = fixture.name().to_owned();
        let broken = |what: &str| Outcome::Broken(format!("{name} does not keep {}: {what}", self.promise));
        // More threads than most machines that test have cores: writers are to meet.
        let runtime = match runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return broken(&format!("no runtime: {error}")),
        };
        let run = self.run;
        let outcome = runtime.block_on(async {
            // In a task of its own, so that a panic comes back as a value.
            let task = tokio::spawn(async move { run(&*fixture).await });
            match tokio::time::timeout(LIMIT, task).await {
                Ok(Ok(Ok(()))) => Outcome::Kept,
                Ok(Ok(Err(reason))) => Outcome::Ignored(reason.0),
                Ok(Err(error)) => match error.try_into_panic() {
                    Ok(payload) => broken(message(&*payload)),
                    Err(error) => broken(&error.to_string()),
                },
                Err(_) => broken(&format!("{} took longer than {LIMIT:?}", self.name)),
            }
        });
        runtime.shutdown_background();
        outcome
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without a message",
    }
}

macro_rules! checks {
    ($($promise:literal: $($name:ident),+;)+) => {
        &[$($(Check { promise: $promise, name: stringify!($name), run: |fixture| Box::pin($name(fixture)) }),+),+]
    };
}

/// Every check, by promise.
pub fn checks() -> &'static [Check] {
    checks! {
        "P1": p01_a_failure_is_never_reported_as_absent, p01_an_unreachable_backend_is_a_failure;
        "P2": p02_an_acs_id_has_one_customer_at_most;
        "P3": p03_each_condition_of_a_link_is_one_atomic_step;
        "P3": p03_each_link_of_a_batch_has_its_own_condition;
        "P4": p04_forward_and_reverse_agree, p04_a_half_done_write_is_never_shown,
            p04_an_erasure_leaves_nothing_that_was_there;
        "P5": p05_a_revision_rises_with_every_write;
        "P6": p06_ids_are_compared_byte_for_byte;
        "P7": p07_namespaces_never_see_each_other;
        "P8": p08_a_batch_answers_each_id_in_order;
        "P9": p09_an_expired_mapping_is_absent_everywhere;
        "P10": p10_a_failed_write_did_nothing, p10_a_write_that_failed_while_cut_off_did_nothing,
            p10_an_acknowledged_write_survives_a_restart;
        "P11": p11_a_scan_lists_what_was_there_throughout, p11_a_scan_lists_each_mapping_once;
        "P12": p12_bad_input_is_refused_and_changes_nothing;
        "P13": p13_every_change_is_reported, p13_a_cut_feed_says_what_it_may_have_missed,
            p13_a_slow_subscriber_misses_nothing_unsaid;
        "P14": p14_a_dropped_call_leaks_and_corrupts_nothing, p14_a_call_without_an_answer_ends_at_its_deadline;
    }
}
