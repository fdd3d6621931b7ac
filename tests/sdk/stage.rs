//! What the clients meet: emulators in several moods, and the suites of scripts that call them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acs_identity::emulator::{Emulator, Operation, RateLimits, Seed};
use acs_identity_testkit::ManualClock;
use serde_json::json;

use crate::script::Language;

/// Users of every emulator; Alice gets deleted.
pub(crate) const BOB: &str = "8:acs:ac5e0000-0000-4000-8000-00000000e3a1_00000001-0000-0000-0000-000000000001";
pub(crate) const ALICE: &str = "8:acs:ac5e0000-0000-4000-8000-00000000e3a1_00000001-0000-0000-0000-000000000002";

/// What a Teams user's token is exchanged with, beside the token.
pub(crate) const APP: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const TEAMS_USER: &str = "22222222-2222-4222-8222-222222222222";

/// An official client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    /// The blocking client of the Python package.
    Python,
    /// Its client for asyncio.
    PythonAsync,
    /// The client of the npm package.
    JavaScript,
}

/// One run of one client.
pub(crate) struct Stage {
    /// For every operation with a key.
    pub(crate) signed: Emulator,
    /// For every operation with a token of Entra ID.
    pub(crate) bearer: Emulator,
    /// For what is refused.
    pub(crate) refusing: Emulator,
    /// With a clock an hour ahead.
    pub(crate) stale: Emulator,
    /// Where one user can be created in three seconds, and no token be revoked.
    pub(crate) throttled: Emulator,
    /// A token of the Teams user, for an hour.
    pub(crate) teams_token: String,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let plain =
            || Emulator::builder().seed(Seed::default().user(BOB.parse().unwrap()).user(ALICE.parse().unwrap()));
        let ahead = ManualClock::new();
        ahead.set((SystemTime::now() + Duration::from_secs(3600)).into());
        let limits = RateLimits::unlimited()
            .with(Operation::CreateUser, 1)
            .with(Operation::RevokeTokens, 0)
            .window(Duration::from_secs(3));
        let signed = plain().start().await.unwrap();
        Self {
            teams_token: signed.entra_token("tenant", TEAMS_USER, APP, Duration::from_secs(3600)),
            signed,
            bearer: plain().bearer(true).start().await.unwrap(),
            refusing: plain().start().await.unwrap(),
            stale: plain().clock(Arc::new(ahead)).start().await.unwrap(),
            throttled: plain().rate_limits(limits).start().await.unwrap(),
        }
    }

    /// Runs the suite of an official client on these emulators.
    pub(crate) async fn run(&self, sdk: Sdk) {
        let (name, language, suite) = match sdk {
            Sdk::Python => ("python", Language::Python, include_str!("suite.py")),
            Sdk::PythonAsync => ("python-async", Language::Python, include_str!("suite.py")),
            Sdk::JavaScript => ("javascript", Language::JavaScript, include_str!("suite.mjs")),
        };
        let stage = json!({
            "client": name,
            "key": self.signed.key(),
            "bob": BOB,
            "alice": ALICE,
            "teams": { "token": self.teams_token, "appId": APP, "userId": TEAMS_USER },
            "signed": self.signed.endpoint(),
            "bearer": self.bearer.endpoint(),
            "refusing": self.refusing.endpoint(),
            "stale": self.stale.endpoint(),
            "throttled": self.throttled.endpoint(),
        });
        language.test(suite, "ACS_IDENTITY_TEST_STAGE", stage.to_string()).await;
    }
}
