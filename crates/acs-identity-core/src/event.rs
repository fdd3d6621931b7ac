//! Being written.
/// Being written.
#[derive(Debug, Clone)]
pub struct Event;
/// Being written.
#[derive(Debug, Clone)]
pub struct Participant;
/// Being written.
#[derive(Debug, Clone)]
pub struct RejectedId;
/// Being written.
#[derive(Debug, Clone)]
pub enum Role {}
