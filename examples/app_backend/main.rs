//! The backend of an application: users sign in and get tokens, ACS IDs are resolved, events come in, accounts are deleted.
//!
//! ```sh
//! cargo run --example app_backend -- --help
//! ```

mod access;
mod accounts;
mod app;
mod inbox;
mod locks;
mod options;
mod refusal;
mod routes;
mod secret;
mod serve;
mod sessions;
mod users;
mod webhook;

use std::env;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use acs_identity::cache::ReadThrough;
use acs_identity::emulator::stop_signal;
use acs_identity::sql::SqliteStore;
use acs_identity_examples::{Failure, Resource, end, shown};
use tokio::net::TcpListener;

use accounts::Accounts;
use app::App;
use options::Options;
use secret::Secret;
use users::Users;

#[tokio::main]
async fn main() -> ExitCode {
    end(run().await)
}

async fn run() -> Result<ExitCode, Failure> {
    let Some(options) = Options::parse(env::args_os().skip(1))? else {
        io::stdout().write_all(options::HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    // Listening for signals begins before anybody is told that the server runs.
    let stop = stop_signal()?;
    let port = options.port;
    // This machine alone: passwords and tokens need TLS, which a proxy in front of a real server has.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| format!("port {port}: {error}"))?;
    let resource = Resource::open(options.connection_string).await?;
    // The users of an emulator are gone at its end, so their mappings need not stay.
    let folder = tempfile::tempdir()?;
    let database = options.database.unwrap_or_else(|| folder.path().join("mappings.db"));
    let generated = if options.webhook_secret.is_none() { Some(secret::random()?) } else { None };
    let webhook = options.webhook_secret.as_deref().or(generated.as_deref()).unwrap_or_default();
    let app = Arc::new(App {
        users: Users::demo()?,
        webhook: Secret::new(webhook)?,
        accounts: open_accounts(&resource, &database).await?,
        sessions: Default::default(),
        inbox: Default::default(),
        locks: Default::default(),
        tasks: Default::default(),
    });

    let address = listener.local_addr()?;
    let announced = announce(address, resource.kind(), generated.as_deref());
    if announced.is_ok() {
        serve::serve(listener, routes::router(app.clone()), stop).await;
    }
    app.close().await;
    resource.close().await;
    folder.close()?;
    announced?;
    Ok(ExitCode::SUCCESS)
}

async fn open_accounts(resource: &Resource, database: &Path) -> Result<Accounts, Failure> {
    let store = SqliteStore::open(database).await.map_err(|error| format!("{}: {error}", shown(database)))?;
    // By the feed, what another process writes into the same file is seen at once, and not when an answer's lifetime is over.
    let mappings = ReadThrough::builder(store.clone()).feed(store).build();
    Ok(Accounts { client: resource.client().clone(), mappings })
}

/// Says where the server is, and how to try it. Only a secret that was made for this run is printed.
fn announce(address: SocketAddr, resource: &str, webhook_secret: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Listening on http://{address}")?;
    writeln!(out, "The ACS resource is {resource}.\n\nIn another terminal:\n  url=http://{address}")?;
    if let Some(secret) = webhook_secret {
        writeln!(out, "  WEBHOOK_SECRET={secret}")?;
    }
    let [(customer, password), _] = users::DEMO;
    let login = format!(r#"{{"customerId": "{customer}", "password": "{password}"}}"#);
    let field = |name: &str| format!(r#"sed 's/.*"{name}":"\([^"]*\)".*/\1/'"#);
    let event =
        r#"{\"eventType\": \"Microsoft.Communication.ChatMessageReceived\", \"data\": {\"senderId\": \"$id\"}}"#;
    write!(
        out,
        "  session=$(curl -s $url/login -H 'Content-Type: application/json' \\
    -d '{login}' | {session})
  id=$(curl -s -X POST $url/token -H \"Authorization: Bearer $session\" | {acs_id})
  curl -sw '\\n' $url/users/$id -H \"Authorization: Bearer $session\"
  curl -sw '\\n' $url/events -H \"x-webhook-secret: $WEBHOOK_SECRET\" -d \"[{event}]\"
  curl -sw '\\n' $url/events -H \"Authorization: Bearer $session\"
  curl -sX DELETE $url/account -H \"Authorization: Bearer $session\"
",
        session = field("session"),
        acs_id = field("acsId"),
    )?;
    out.flush()
}
