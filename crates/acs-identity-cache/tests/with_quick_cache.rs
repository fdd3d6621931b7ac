//! The tests that are targets of their own with `moka`'s table, once more with that of `quick_cache`.
#![cfg(feature = "quick-cache")]
// As targets of their own, they have each a `common` of their own.
#![allow(clippy::duplicate_mod)]

#[path = "batches.rs"]
mod batches;
#[path = "breaker.rs"]
mod breaker;
mod common;
#[path = "feed.rs"]
mod feed;
#[path = "flights.rs"]
mod flights;
#[path = "freshness.rs"]
mod freshness;
#[path = "pages.rs"]
mod pages;
#[path = "races.rs"]
mod races;
#[path = "writes.rs"]
mod writes;

#[test]
fn the_caches_of_these_tests_have_the_table_of_quick_cache() {
    assert_eq!(common::table(), acs_identity_cache::TableKind::QuickCache);
}
