//! The arguments of the program.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use acs_identity_core::{Error, ErrorKind, Excerpt, Result};
use acs_identity_emulator::{Emulator, EmulatorBuilder, Fault, Faults, Operation, RateLimits, Seed};

pub(crate) const HELP: &str = "\
The identity service of Azure Communication Services, for tests and local development.

It listens on 127.0.0.1, prints its connection string as the first line, keeps everything in memory, and runs until
Ctrl-C or SIGTERM.

Usage: acs-identity-emulator [OPTIONS]

Options:
  --port PORT              The port; a free one if it is not given, or 0
  --key BASE64             The access key that requests are signed with; a well-known one if it is not given
  --resource-id ID         The immutable ID of the resource, which is in its users' IDs; a well-known one if it is not
                           given
  --seed FILE              Users that are there from the beginning, as JSON:
                           {\"users\": [{\"id\": \"8:acs:<resource ID>_<user>\", \"customId\": \"bob\"}]}
                           of which `id` and `customId` may be left out
  --bearer                 Take any bearer token in place of a signature
  --custom-id-race         Let concurrent requests for a new customId create several users
  --revocation-delay SECS  How long revoked tokens stay valid; 0 if it is not given, up to 900 in the service
  --clock-skew SECS        How far a request's date may be from the clock; 900 if it is not given
  --no-rate-limits         Answer any number of requests; else the documented limits apply

Faults, each for a share of the requests from 0 to 1:
  --latency MILLISECONDS   Wait so long before each request is done
  --error-rate RATE        Do nothing, and answer with an error
  --error-status STATUS    The status of these errors; 503 if it is not given
  --retry-after SECS       A header Retry-After in these errors
  --cut-before-rate RATE   Do nothing, and close the connection without an answer
  --cut-after-rate RATE    Do what was asked for, and close the connection without an answer
  --fault-operation NAME   Only for requests of this operation, such as create-user, create-user-and-token, issue-token,
                           revoke-tokens, delete-user, get-user, exchange-teams-user-token

  --help                   This text
  --version                The version
";

/// The arguments of the program.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) help: bool,
    pub(crate) version: bool,
    port: u16,
    key: Option<String>,
    resource_id: Option<String>,
    seed: Option<PathBuf>,
    bearer: bool,
    custom_id_race: bool,
    revocation_delay: Option<u64>,
    clock_skew: Option<u64>,
    no_rate_limits: bool,
    latency: Option<u64>,
    error_rate: Option<Share>,
    error_status: Option<ErrorStatus>,
    retry_after: Option<u64>,
    cut_before_rate: Option<Share>,
    cut_after_rate: Option<Share>,
    fault_operation: Option<Operation>,
}

impl Args {
    /// Reads them, `--name value` or `--name=value`.
    pub(crate) fn read(args: impl Iterator<Item = OsString>) -> Result<Self> {
        let mut read = Self::default();
        let mut args = Words { rest: args, value: None };
        while let Some(name) = args.next_name()? {
            match name.as_str() {
                "--help" | "-h" => read.help = true,
                "--version" | "-V" => read.version = true,
                "--port" => read.port = args.value(&name)?,
                "--key" => read.key = Some(args.value(&name)?),
                "--resource-id" => read.resource_id = Some(args.value(&name)?),
                "--seed" => read.seed = Some(args.os_value(&name)?.into()),
                "--bearer" => read.bearer = true,
                "--custom-id-race" => read.custom_id_race = true,
                "--revocation-delay" => read.revocation_delay = Some(args.value(&name)?),
                "--clock-skew" => read.clock_skew = Some(args.value(&name)?),
                "--no-rate-limits" => read.no_rate_limits = true,
                "--latency" => read.latency = Some(args.value(&name)?),
                "--error-rate" => read.error_rate = Some(args.value(&name)?),
                "--error-status" => read.error_status = Some(args.value(&name)?),
                "--retry-after" => read.retry_after = Some(args.value(&name)?),
                "--cut-before-rate" => read.cut_before_rate = Some(args.value(&name)?),
                "--cut-after-rate" => read.cut_after_rate = Some(args.value(&name)?),
                "--fault-operation" => {
                    let operation: Result<_> = args.text(&name)?.parse();
                    read.fault_operation = Some(operation.map_err(|error| wrong(&name, &error.message()))?);
                }
                other => {
                    let shown = Excerpt(other.as_bytes());
                    return Err(Error::invalid_input(format!("there is no option {shown}")));
                }
            }
            args.end_of_option(&name)?;
        }
        read.check_faults()?;
        Ok(read)
    }

    /// Refuses what says more of a fault, but without the fault.
    fn check_faults(&self) -> Result<()> {
        let cuts = self.cut_before_rate.or(self.cut_after_rate);
        let is_any = self.latency.is_some() || self.error_rate.or(cuts).is_some();
        let is_error = self.error_rate.is_some();
        for (is_given, is_fine, told) in [
            (self.error_status.is_some(), is_error, "--error-status needs --error-rate"),
            (self.retry_after.is_some(), is_error, "--retry-after needs --error-rate"),
            (self.fault_operation.is_some(), is_any, "--fault-operation needs a fault, such as --error-rate"),
        ] {
            if is_given && !is_fine && !self.help && !self.version {
                return Err(Error::invalid_input(told));
            }
        }
        Ok(())
    }

    /// The emulator that they ask for.
    pub(crate) fn builder(&self) -> Result<EmulatorBuilder> {
        let mut builder = Emulator::builder().port(self.port).bearer(self.bearer).custom_id_race(self.custom_id_race);
        if let Some(key) = &self.key {
            builder = builder.key(key);
        }
        if let Some(id) = &self.resource_id {
            builder = builder.resource_id(id);
        }
        if let Some(path) = &self.seed {
            let text = fs::read_to_string(path).map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "the file of the seed cannot be read").with_source(error)
            })?;
            builder = builder.seed(Seed::from_json(&text)?);
        }
        if let Some(seconds) = self.revocation_delay {
            builder = builder.revocation_delay(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.clock_skew {
            builder = builder.clock_skew(Duration::from_secs(seconds));
        }
        if self.no_rate_limits {
            builder = builder.rate_limits(RateLimits::unlimited());
        }
        Ok(builder)
    }

    pub(crate) fn order_faults(&self, faults: &Faults) {
        let retry_after = self.retry_after.map(Duration::from_secs);
        let error = Fault::Status { status: self.error_status.unwrap_or_default().0, retry_after };
        let ordered = [
            (self.latency.map(|_| Share(1.0)), Fault::Latency(Duration::from_millis(self.latency.unwrap_or_default()))),
            (self.error_rate, error),
            (self.cut_before_rate, Fault::CutBefore),
            (self.cut_after_rate, Fault::CutAfter),
        ];
        for (rate, fault) in ordered {
            match (rate, self.fault_operation) {
                (Some(Share(rate)), Some(operation)) => faults.rate_of(operation, rate, fault),
                (Some(Share(rate)), None) => faults.rate(rate, fault),
                (None, _) => {}
            }
        }
    }
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share(f64);

impl FromStr for Share {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or("it must be a number from 0 to 1")
    }
}

/// A status of an error.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ErrorStatus(u16);

impl Default for ErrorStatus {
    fn default() -> Self {
        Self(503)
    }
}

impl FromStr for ErrorStatus {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let status = text.parse().ok().filter(|status| (400..600).contains(status));
        status.map(Self).ok_or("it must be a status from 400 to 599")
    }
}

/// The words of a command line.
struct Words<I> {
    rest: I,
    /// What stood after `=`, until it is taken.
    value: Option<String>,
}

impl<I: Iterator<Item = OsString>> Words<I> {
    fn next_name(&mut self) -> Result<Option<String>> {
        let Some(word) = self.rest.next() else {
            return Ok(None);
        };
        let word = word.into_string().map_err(|_| Error::invalid_input("an argument is not UTF-8"))?;
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        self.value = value;
        Ok(Some(name))
    }

    fn os_value(&mut self, name: &str) -> Result<OsString> {
        let value = self.value.take().map(OsString::from).or_else(|| self.rest.next());
        value.ok_or_else(|| Error::invalid_input(format!("{name} needs a value")))
    }

    fn text(&mut self, name: &str) -> Result<String> {
        let text = self.os_value(name)?.into_string();
        text.map_err(|_| Error::invalid_input(format!("the value of {name} is not UTF-8")))
    }

    /// The value of an option. What it was is not repeated: it may be a key.
    fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T> {
        self.text(name)?.parse().map_err(|error| wrong(name, &error))
    }

    /// Refuses the value of an option that takes none.
    fn end_of_option(&self, name: &str) -> Result<()> {
        match self.value {
            Some(_) => Err(Error::invalid_input(format!("{name} takes no value"))),
            None => Ok(()),
        }
    }
}

fn wrong(name: &str, why: &dyn Display) -> Error {
    Error::invalid_input(format!("the value of {name} is wrong: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Args> {
        Args::read(args.iter().map(OsString::from))
    }

    fn refusal(args: &[&str]) -> String {
        read(args).err().expect("a refusal").message().to_owned()
    }

    #[test]
    fn values_stand_after_a_space_or_an_equals_sign() {
        let args = read(&["--port", "80", "--key=cHc9PQ==", "--error-rate=0.5", "--seed", "a=b.json"]).unwrap();
        assert_eq!((args.port, args.key.as_deref()), (80, Some("cHc9PQ==")));
        assert_eq!((args.error_rate, args.seed), (Some(Share(0.5)), Some("a=b.json".into())));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_key_is_repeated() {
        assert_eq!(refusal(&["--prot", "80"]), r#"there is no option "--prot""#);
        assert_eq!(refusal(&["80"]), r#"there is no option "80""#);
        assert_eq!(refusal(&["--port"]), "--port needs a value");
        assert!(refusal(&["--port", "65536"]).starts_with("the value of --port is wrong"));
        assert!(refusal(&["--cut-after-rate", "1.5"]).contains("a number from 0 to 1"));
        assert!(refusal(&["--cut-after-rate", "NaN"]).contains("a number from 0 to 1"));
        assert!(refusal(&["--error-status", "200"]).contains("400 to 599"));
        assert!(refusal(&["--fault-operation", "create"]).contains("create-user"));
        assert_eq!(
            refusal(&["--error-rate", "2"]),
            "the value of --error-rate is wrong: it must be a number from 0 to 1"
        );
        assert!(!refusal(&["--fault-operation", "create"]).contains("invalid input"));
        assert_eq!(refusal(&["--bearer=yes"]), "--bearer takes no value");
        assert_eq!(refusal(&["--error-status", "429", "--latency", "1"]), "--error-status needs --error-rate");
        assert_eq!(refusal(&["--retry-after=1", "--cut-after-rate=1"]), "--retry-after needs --error-rate");
        assert!(refusal(&["--fault-operation", "create-user"]).starts_with("--fault-operation needs a fault"));
        for fault in ["--latency=0", "--error-rate=0", "--cut-before-rate=0", "--cut-after-rate=0"] {
            assert!(read(&["--fault-operation", "create-user", fault]).is_ok(), "{fault}");
        }
    }

    #[test]
    fn help_names_every_option_and_every_one_it_names_is_known() {
        let named: Vec<&str> = HELP
            .lines()
            .filter_map(|line| line.trim_start().split(' ').next())
            .filter(|word| word.starts_with("--"))
            .collect();
        assert_eq!(named.len(), 18);
        for name in named {
            let answer = read(&[name, "1"]).map(|_| ()).map_err(|error| error.message().to_owned());
            assert!(!answer.is_err_and(|message| message == format!("there is no option \"{name}\"")), "{name}");
        }
    }
}
