//! The proxy in front of servers of the tests' own, with each of its faults.
#![allow(clippy::unwrap_used)]

mod cuts;
mod faults;
mod forwarding;
mod support;
