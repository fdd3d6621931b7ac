//! The checks themselves, one file for each promise. Each may also be called alone, from within a Tokio runtime.
//!
//! Every check works in namespaces of its own, and tests its promise alone as far as that can be done: a store that breaks one
//! promise should fail that promise's check, not the others.

mod p01;
mod p02;
mod p03;
mod p04;
mod p05;
mod p06;
mod p07;
mod p08;
mod p09;
mod p10;
mod p11;
mod p12;
mod p13;
mod p14;

pub use p01::{p01_a_failure_is_never_reported_as_absent, p01_an_unreachable_backend_is_a_failure};
pub use p02::p02_an_acs_id_has_one_customer_at_most;
pub use p03::{p03_each_condition_of_a_link_is_one_atomic_step, p03_each_link_of_a_batch_has_its_own_condition};
pub use p04::{
    p04_a_half_done_write_is_never_shown, p04_an_erasure_leaves_nothing_that_was_there, p04_forward_and_reverse_agree,
};
pub use p05::p05_a_revision_rises_with_every_write;
pub use p06::p06_ids_are_compared_byte_for_byte;
pub use p07::p07_namespaces_never_see_each_other;
pub use p08::p08_a_batch_answers_each_id_in_order;
pub use p09::p09_an_expired_mapping_is_absent_everywhere;
pub use p10::{
    p10_a_failed_write_did_nothing, p10_a_write_that_failed_while_cut_off_did_nothing,
    p10_an_acknowledged_write_survives_a_restart,
};
pub use p11::{p11_a_scan_lists_each_mapping_once, p11_a_scan_lists_what_was_there_throughout};
pub use p12::p12_bad_input_is_refused_and_changes_nothing;
pub use p13::{
    p13_a_cut_feed_says_what_it_may_have_missed, p13_a_slow_subscriber_misses_nothing_unsaid,
    p13_every_change_is_reported,
};
pub use p14::{p14_a_call_without_an_answer_ends_at_its_deadline, p14_a_dropped_call_leaks_and_corrupts_nothing};
