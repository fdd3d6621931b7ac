//! The resource of Azure Communication Services (ACS) that an example uses.

use std::env;
use std::ffi::OsString;
use std::time::Duration;

use acs_identity::Error;
use acs_identity::client::{IdentityClient, IdentityClientOptions, ServiceError};
use acs_identity::emulator::Emulator;

use crate::Failure;

/// The environment variable that holds the connection string, where no option does. Other programs can see the arguments of this one.
const CONNECTION_STRING: &str = "ACS_CONNECTION_STRING";

/// A call ends within this time, so that an answer comes before whoever waits for it has given up.
const DEADLINE: Duration = Duration::from_secs(10);

/// A resource: an emulator within this process, or a real one.
#[derive(Debug)]
pub struct Resource {
    client: IdentityClient,
    emulator: Option<Emulator>,
}

impl Resource {
    /// The resource of this connection string, or of that in the environment, or an emulator.
    ///
    /// # Errors
    /// If the connection string is not one. No error quotes it.
    pub async fn open(connection_string: Option<OsString>) -> Result<Self, Failure> {
        let options = IdentityClientOptions { deadline: DEADLINE, ..Default::default() };
        let connect = |text: &str| {
            let client = IdentityClient::from_connection_string(text, Some(options));
            client.map_err(|error| Failure::from(error.message()))
        };
        match connection_string.or_else(from_environment) {
            Some(text) => {
                let text = text.into_string().map_err(|_| "the connection string is not UTF-8")?;
                Ok(Self { client: connect(&text)?, emulator: None })
            }
            None => {
                let emulator = Emulator::start().await?;
                Ok(Self { client: connect(&emulator.connection_string())?, emulator: Some(emulator) })
            }
        }
    }

    /// Its client.
    pub fn client(&self) -> &IdentityClient {
        &self.client
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        if self.emulator.is_some() {
            "an emulator, which ends with this program"
        } else {
            "that of the connection string"
        }
    }

    /// Ends the emulator, if it is one.
    pub async fn close(self) {
        if let Some(emulator) = self.emulator {
            emulator.stop().await;
        }
    }
}

/// The connection string in the environment. One that is empty is none: it is how some shells and services leave a variable unset.
pub fn from_environment() -> Option<OsString> {
    env::var_os(CONNECTION_STRING).filter(|text| !text.is_empty())
}

/// An error with what ACS said, in one line. Neither has an ID, a token or a key in it.
pub fn told(error: &Error) -> String {
    let said = ServiceError::of(error).map(|service| format!("; {service}")).unwrap_or_default();
    format!("{error}{said}").replace('\n', " ")
}
