//! Test doubles: a clock that is set by hand, and wrappers that count, delay, fail or hold the calls of a store.

mod clock;
mod counting;
mod faulty;
mod gated;
mod slow;
mod wrap;

pub use clock::ManualClock;
pub use counting::Counting;
pub use faulty::Faulty;
pub use gated::{Gated, Hold, Point};
pub use slow::Slow;
pub use wrap::Call;
