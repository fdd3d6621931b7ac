//! Who may do what on a server, with what passwords and certificates, and which servers are refused.
#![allow(clippy::unwrap_used)]

mod acl;
mod login;
mod refused;
mod tls;

use std::error::Error as _;
use std::time::{Duration, Instant};

use acs_identity_core::{AcsId, CustomerId, Error, ErrorKind, Link, MappingStore, Resolver};
use acs_identity_redis::{RedisOptions, RedisStore};

/// Long enough that an error which comes well before it was not waited for.
const DEADLINE: Duration = Duration::from_secs(20);

/// What no error may say.
const PASSWORD: &str = "Tr0ub4dor-and-3";

fn id(text: &str) -> AcsId {
    text.parse().unwrap()
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

/// Opening is refused at once, for a reason that trying again does not change, in these words, and without secrets.
async fn refused(options: RedisOptions, kind: ErrorKind, what: &str) {
    let options = options.call_deadline(DEADLINE);
    let shown = format!("{options:?}");
    let start = Instant::now();
    let error = options.open().await.expect_err("not refused");
    assert!(start.elapsed() < DEADLINE / 2, "tried again and again: {error}");
    assert_eq!(error.kind(), kind, "{what}: {error}, {:?}", error.source());
    assert!(!error.is_transient());
    assert!(error.to_string().contains(what), "{error}, {:?}", error.source());
    for said in [said(&error), shown] {
        for secret in [PASSWORD, "127.0.0.1", "localhost", "app-user", ".pem", ".key"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// Everything that an error says, and the errors behind it.
fn said(error: &Error) -> String {
    let mut said = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        said += &format!(" {error} {error:?}");
        source = error.source();
    }
    said
}

async fn links_and_resolves(store: &RedisStore, text: &str) {
    assert!(store.link(Link::create(id(text), customer("bob@contoso.com"))).await.unwrap().changed);
    assert_eq!(store.resolve(&id(text)).await.unwrap().unwrap().customer_id(), &customer("bob@contoso.com"));
}

/// What a server answers to a command, as whoever the URL names.
async fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
}
