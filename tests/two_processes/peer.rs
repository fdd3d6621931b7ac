//! The other process of the tests of two processes, whose cache has the other table. Its argument is the store's place. It does what it is told, a line each, and
//! answers with a line: `ok`, a customer, `-` for none, or `error` and its kind.

mod cache;

use std::fmt::Display;
use std::io::{BufRead, Write};

use acs_identity::cache::TableKind;
use acs_identity::{AcsId, CustomerId, Error, Expect, Link, MappingStore, Resolver, Result};
use cache::{Cache, open};

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).expect("the place of the store");
    let cache = open(&place, TableKind::QuickCache).await.expect("a store");
    answer("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        match obey(&cache, &line.split(' ').collect::<Vec<_>>()).await {
            Ok(done) => answer(done),
            Err(error) => answer(format!("error {:?}", error.kind())),
        }
    }
}

fn answer(text: impl Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).expect("somebody listens");
}

async fn obey(cache: &Cache, words: &[&str]) -> Result<String> {
    match words {
        ["link", id, customer] => _ = cache.link(Link::replace(id.parse()?, customer.parse()?)).await?,
        ["unlink", id] => _ = cache.unlink(&id.parse()?, Expect::Any).await?,
        ["resolve", id] => {
            let found = cache.resolve(&id.parse()?).await?;
            return Ok(found.map_or_else(|| "-".to_owned(), |found| found.customer_id().as_str().to_owned()));
        }
        // So many other IDs, in batches.
        ["flood", count] => {
            let count: u64 = count.parse().map_err(|_| Error::invalid_input("no number"))?;
            let links: Vec<Link> = (0..count)
                .map(|n| Ok(Link::replace(AcsId::new(format!("flood{n}"))?, CustomerId::from(n % 100))))
                .collect::<Result<_>>()?;
            for links in links.chunks(2000) {
                cache.link_many(links).await.into_iter().collect::<Result<Vec<_>>>()?;
                // So that who looks often keeps up.
                tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            }
        }
        _ => return Err(Error::invalid_input("no such command")),
    }
    Ok("ok".to_owned())
}
