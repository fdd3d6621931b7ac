//! How an emulator is to be.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acs_identity_core::{Clock, Error, ErrorKind, Excerpt, Result, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::call::Calls;
use crate::faults::Faults;
use crate::keys::Keys;
use crate::limits::Windows;
use crate::random::Ids;
use crate::seed::Seed;
use crate::service::Service;
use crate::world::World;
use crate::{DEFAULT_KEY, DEFAULT_RESOURCE_ID, Emulator, RateLimits, server};

/// The clock of a client may differ by so much, as in other services of Azure with this kind of signature.
const DEFAULT_SKEW: Duration = Duration::from_secs(15 * 60);

/// Says how an [`Emulator`] is to be, and starts it; made by [`Emulator::builder`].
#[derive(Clone)]
#[must_use]
pub struct EmulatorBuilder {
    port: u16,
    key: String,
    resource_id: String,
    clock: Arc<dyn Clock>,
    clock_skew: Duration,
    bearer: bool,
    custom_id_race: bool,
    revocation_delay: Duration,
    rate_limits: RateLimits,
    seed: Seed,
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            port: 0,
            key: DEFAULT_KEY.to_owned(),
            resource_id: DEFAULT_RESOURCE_ID.to_owned(),
            clock: Arc::new(SystemClock),
            clock_skew: DEFAULT_SKEW,
            bearer: false,
            custom_id_race: false,
            revocation_delay: Duration::ZERO,
            rate_limits: RateLimits::documented(),
            seed: Seed::default(),
        }
    }

    /// The port on 127.0.0.1; 0, the default, takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The primary access key in base64, with or without padding, with which requests may be signed; [`DEFAULT_KEY`] if it is
    /// not set. The secondary one is made at the start. [`Emulator::key`] tells it with padding, which Python's client needs.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The immutable ID of the resource, which is in the ID of each of its users; [`DEFAULT_RESOURCE_ID`] if it is not
    /// set. It may hold letters, digits and hyphens. Users of one emulator are foreign to another one with another ID.
    pub fn resource_id(mut self, id: impl Into<String>) -> Self {
        self.resource_id = id.into();
        self
    }

    /// The clock by which signatures are dated, tokens expire and rates are limited; the system's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How far the date of a signature may be from the clock, in both directions; 15 minutes by default. What the
    /// service allows is not documented.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// Whether any bearer token is taken in place of a signature, so that clients with a credential of Entra ID can be
    /// tested; off by default. Signatures are checked all the same.
    pub fn bearer(mut self, any: bool) -> Self {
        self.bearer = any;
        self
    }

    /// Whether `customId` has the race that was observed in the service
    /// ([azure-sdk-for-js#38531](https://github.com/Azure/azure-sdk-for-js/issues/38531)); off by default.
    ///
    /// With it, requests for a new `customId` that come within 100 ms each create a user of their own, and from then
    /// on requests for this `customId` fail with `MultipleIdentitiesForCustomId`. Without it there is one user,
    /// however many ask at once.
    pub fn custom_id_race(mut self, race: bool) -> Self {
        self.custom_id_race = race;
        self
    }

    /// How long revoked tokens stay valid; zero by default. In the service it takes up to 15 minutes until a revocation
    /// is known everywhere.
    pub fn revocation_delay(mut self, delay: Duration) -> Self {
        self.revocation_delay = delay;
        self
    }

    /// The rate limits; the [documented](RateLimits::documented) ones by default.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = limits;
        self
    }

    /// The users that are there from the beginning; none by default.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Starts it in the present tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` if the key is empty or no base64, the resource ID is not of letters, digits and hyphens, or a
    /// user of the seed is not one of the resource or is there twice; `Unavailable` if the port cannot be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without I/O and time.
    pub async fn start(self) -> Result<Emulator> {
        let ids = Ids::default();
        let keys = Keys::new(&self.key, &ids.key())?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let resource_id = self.resource_id.as_bytes();
        if !(1..=64).contains(&resource_id.len()) || !resource_id.iter().copied().all(is_plain) {
            let message =
                format!("the resource ID must be 1 to 64 letters, digits and hyphens, not {}", Excerpt(resource_id));
            return Err(Error::invalid_input(message));
        }
        let mut world = World::new();
        self.seed.plant(&mut world, &ids, &self.resource_id, self.clock.now())?;
        let service = Arc::new(Service {
            clock: self.clock,
            keys,
            resource_id: self.resource_id,
            bearer: self.bearer,
            custom_id_race: self.custom_id_race,
            clock_skew: self.clock_skew,
            revocation_delay: self.revocation_delay,
            faults: Faults::new(),
            limits: Windows::new(self.rate_limits),
            calls: Calls::default(),
            ids,
            world: Mutex::new(world),
        });
        let unavailable = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("port {} of 127.0.0.1 cannot be had", self.port))
                .in_operation("start")
                .in_backend("emulator")
                .with_source(error)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.map_err(unavailable)?;
        let port = listener.local_addr().map_err(unavailable)?.port();
        let stop = CancellationToken::new();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&service), stop.clone()));
        Ok(Emulator::new(service, port, stop, server))
    }
}

impl fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorBuilder")
            .field("port", &self.port)
            .field("resource_id", &self.resource_id)
            .field("clock", &self.clock)
            .field("clock_skew", &self.clock_skew)
            .field("bearer", &self.bearer)
            .field("custom_id_race", &self.custom_id_race)
            .field("revocation_delay", &self.revocation_delay)
            .field("rate_limits", &self.rate_limits)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
