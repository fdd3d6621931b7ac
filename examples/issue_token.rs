//! A user of Azure Communication Services and an access token: on an emulator, or on a real resource.
//!
//! ```sh
//! cargo run --example issue_token
//! ```

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitCode;

use acs_identity::client::azure_core::credentials::AccessToken;
use acs_identity::client::azure_core::time::to_rfc3339;
use acs_identity::client::{
    IdentityClient, IdentityClientCreateUserAndTokenOptions, IdentityClientIssueTokenOptions, TokenScope, UserAndToken,
};
use acs_identity::{AcsId, Error, Excerpt};
use acs_identity_examples::{Failure, Resource, end, option_name, told};

const HELP: &str = "\
Creates a user in Azure Communication Services (ACS) and issues an access token.

Usage: cargo run --example issue_token -- [OPTIONS]

Options:
  --connection-string TEXT Use this ACS resource. Other programs can see arguments: better put the connection string
                           into the environment variable ACS_CONNECTION_STRING
                           [default: that variable, or else an emulator within this program]
  --user ACS_ID            Issue the token to this user, and create none
  --scope SCOPE            What the token is for; may be given several times [default: chat voip]
  --minutes N              The token lasts so long, 60 to 1440 minutes [default: 1440]
  --show-token             Print the token: whoever has it can act as the user
  --help                   This text

On a real resource a new user stays. It costs nothing, but ACS has no list of users: note its ACS ID.
";

#[tokio::main]
async fn main() -> ExitCode {
    end(run().await)
}

#[derive(Default)]
struct Options {
    connection_string: Option<OsString>,
    user: Option<AcsId>,
    scopes: Vec<TokenScope>,
    minutes: Option<u16>,
    show_token: bool,
}

impl Options {
    /// Reads the arguments; `None` if they ask for help.
    fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, Failure> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            let mut value = |what: &str| args.next().ok_or_else(|| format!("{what} is missing; see --help"));
            match arg.to_str() {
                Some("--connection-string") => {
                    options.connection_string = Some(value("the text after --connection-string")?);
                }
                Some("--user") => {
                    let user = AcsId::from_utf8(value("the ACS ID after --user")?.as_encoded_bytes());
                    options.user = Some(user.map_err(|error| error.message().to_owned())?);
                }
                Some("--scope") => {
                    let scope = value("the scope after --scope")?.to_string_lossy().parse::<TokenScope>();
                    options.scopes.push(scope.map_err(|error| error.message().to_owned())?);
                }
                Some("--minutes") => {
                    let text = value("the number after --minutes")?;
                    let minutes = text.to_str().and_then(|text| text.parse().ok());
                    options.minutes =
                        Some(minutes.ok_or_else(|| format!("{} is no number of minutes", quoted(&text)))?);
                }
                Some("--show-token") => options.show_token = true,
                Some("--help" | "-h") => return Ok(None),
                _ => return Err(format!("there is no option {}; see --help", option_name(&arg)).into()),
            }
        }
        if options.scopes.is_empty() {
            options.scopes = vec![TokenScope::CHAT, TokenScope::VOIP];
        }
        Ok(Some(options))
    }
}

async fn run() -> Result<ExitCode, Failure> {
    let Some(mut options) = Options::parse(env::args_os().skip(1))? else {
        io::stdout().write_all(HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let resource = Resource::open(options.connection_string.take()).await?;
    let issued = issue(resource.client(), &options).await;
    let outcome =
        issued.map_err(|error| told(&error).into()).and_then(|(user, token)| show(&resource, &options, &user, &token));
    resource.close().await;
    outcome
}

/// What this example is about.
async fn issue(client: &IdentityClient, options: &Options) -> Result<(AcsId, AccessToken), Error> {
    if let Some(user) = &options.user {
        let how = IdentityClientIssueTokenOptions { expires_in_minutes: options.minutes, ..Default::default() };
        return Ok((user.clone(), client.issue_token(user, &options.scopes, Some(how)).await?));
    }
    // One call for both: a token that cannot be had, for 59 minutes for instance, does not leave a user behind.
    let how = IdentityClientCreateUserAndTokenOptions { expires_in_minutes: options.minutes, ..Default::default() };
    let UserAndToken { user, token, .. } = client.create_user_and_token(&options.scopes, Some(how)).await?;
    Ok((user.id, token))
}

fn show(resource: &Resource, options: &Options, user: &AcsId, token: &AccessToken) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "resource:     {}", resource.kind())?;
    writeln!(out, "ACS ID:       {}", user.as_str())?;
    writeln!(out, "token until:  {}", to_rfc3339(&token.expires_on))?;
    writeln!(out, "token length: {} bytes", token.token.secret().len())?;
    if options.show_token {
        writeln!(out, "token:        {}", token.token.secret())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn quoted(text: &OsStr) -> String {
    Excerpt(text.as_encoded_bytes()).to_string()
}
