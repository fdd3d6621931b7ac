//! The identity service of Azure Communication Services (ACS), for tests and local development, without a server and
//! without a cloud account.
//!
//! [`Emulator`] starts in a test within a few milliseconds, on a free port of 127.0.0.1, and checks what the service
//! is known to check: signatures, dates, hashes of bodies, API versions, scopes, lifetimes, owners of IDs, and rates.
//! Its answers have the service's bodies, codes and messages, as far as these are known. Tests can look at users,
//! tokens and calls, and order [faults](Fault): a connection that is cut after a user was created, for instance. The
//! same as a program: `acs-identity-emulator --help`.
//!
//! ```
//! use acs_identity_emulator::{Emulator, Fault, Operation, RateLimits};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let emulator = Emulator::builder()
//!     .rate_limits(RateLimits::unlimited().with(Operation::CreateUser, 10))
//!     .start()
//!     .await?;
//! emulator.faults().next_of(Operation::CreateUser, Fault::CutAfter);
//! # Ok::<(), acs_identity_core::Error>(()) }).unwrap();
//! ```
//!
//! Never put it where others can reach it: its key and the key of its tokens are known to everybody.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod assignments;
mod auth;
mod builder;
mod call;
mod dates;
mod emulator;
mod faults;
mod identities;
mod keys;
mod limits;
mod operation;
mod random;
mod refusal;
mod reply;
mod request;
mod seed;
mod server;
mod service;
mod stop;
mod token;
mod user;
mod version;
mod world;

pub use builder::EmulatorBuilder;
pub use call::Call;
pub use emulator::Emulator;
pub use faults::{Fault, Faults};
pub use keys::KeyType;
pub use limits::RateLimits;
pub use operation::Operation;
pub use seed::Seed;
pub use stop::stop_signal;
pub use user::{IssuedToken, TokenState, User};

/// The access key of an emulator that is given no other, in base64. It is known to everybody.
pub const DEFAULT_KEY: &str = "UHVibGljIGtleSBvZiB0aGUgYWNzLWlkZW50aXR5LWVtdWxhdG9yLCBub3QgYSBzZWNyZXQ=";

/// The immutable ID of the resource of an emulator that is given no other.
pub const DEFAULT_RESOURCE_ID: &str = "ac5e0000-0000-4000-8000-00000000e3a1";
