//! Test doubles: a clock and a change feed that are moved by hand, and wrappers that count, delay, fail or hold the calls of a store.

mod clock;
mod counting;
mod faulty;
mod feed;
mod gated;
mod slow;
mod wrap;

pub use clock::ManualClock;
pub use counting::Counting;
pub use faulty::Faulty;
pub use feed::ManualFeed;
pub use gated::{Gated, Hold, Point};
pub use slow::Slow;
pub use wrap::Call;
