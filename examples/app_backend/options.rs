//! The command line.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use acs_identity::Excerpt;
use acs_identity_examples::{Failure, from_environment, option_name};

pub(crate) const HELP: &str = "\
A backend for an application of Azure Communication Services (ACS): users sign in and get access tokens, ACS IDs are
resolved, events of Event Grid come in, and accounts are deleted.

Usage: cargo run --example app_backend -- [OPTIONS]

Options:
  --connection-string TEXT Use this ACS resource. Other programs can see arguments: better put the connection string
                           into the environment variable ACS_CONNECTION_STRING
                           [default: that variable, or else an emulator within this program]
  --database FILE          Keep the mappings in this SQLite file. With a resource it is required: nothing else knows
                           whose the users are [default with the emulator: one in a temporary folder]
  --port N                 Listen on this port of 127.0.0.1; 0 is a free one [default: 8080]
  --help                   This text

Environment:
  WEBHOOK_SECRET           What Event Grid has to send to POST /events, in the header x-webhook-secret or as ?secret=…,
                           at least 16 characters of ASCII [default: a random one, which is printed]

Ctrl-C or SIGTERM ends it, after the requests under way.
";

/// The shortest secret of the webhook.
const MIN_SECRET: usize = 16;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) connection_string: Option<OsString>,
    pub(crate) database: Option<PathBuf>,
    pub(crate) port: u16,
    pub(crate) webhook_secret: Option<String>,
}

impl Options {
    /// Reads the arguments and the environment; `None` if they ask for help.
    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, Failure> {
        let mut options = Self { connection_string: None, database: None, port: 8080, webhook_secret: None };
        while let Some(arg) = args.next() {
            let mut value = |what: &str| args.next().ok_or_else(|| format!("{what} is missing; see --help"));
            match arg.to_str() {
                Some("--connection-string") => {
                    options.connection_string = Some(value("the text after --connection-string")?);
                }
                Some("--database") => options.database = Some(value("the file after --database")?.into()),
                Some("--port") => options.port = port(&value("the number after --port")?)?,
                Some("--help" | "-h") => return Ok(None),
                _ => return Err(format!("there is no option {}; see --help", option_name(&arg)).into()),
            }
        }
        options.connection_string = options.connection_string.or_else(from_environment);
        if options.connection_string.is_some() && options.database.is_none() {
            let why = "the users of a resource outlast this program, and so must their mappings";
            return Err(format!("--database is missing: {why}; see --help").into());
        }
        if let Some(secret) = env::var_os("WEBHOOK_SECRET") {
            let secret = secret.into_string().ok().filter(|text| text.len() >= MIN_SECRET && is_sendable(text));
            options.webhook_secret = Some(secret.ok_or_else(|| {
                format!("WEBHOOK_SECRET needs at least {MIN_SECRET} characters, of ASCII, and no blank or new line at its ends")
            })?);
        }
        Ok(Some(options))
    }
}

/// Whether a header can hold it as it is, without losing blanks at its ends.
fn is_sendable(text: &str) -> bool {
    text.trim() == text && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn port(text: &OsStr) -> Result<u16, Failure> {
    let port = text.to_str().and_then(|text| text.parse().ok());
    Ok(port.ok_or_else(|| format!("a port is a number up to 65535, not {}", Excerpt(text.as_encoded_bytes())))?)
}
