//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use acs_identity::{Excerpt, Namespace};
use acs_identity_examples::Failure;

use crate::place::Place;

pub(crate) const HELP: &str = "\
Copies every mapping of one store into another one, and verifies the copy. What is newer at the target is kept.

Usage: cargo run --example move_house -- [OPTIONS] [FROM TO]

Without stores, it moves some made-up mappings from memory into an SQLite file in a temporary folder.

Stores:
  sqlite:PATH              An SQLite file
  postgres://…             A PostgreSQL database; passwords are never shown
  mysql://…                A MySQL or MariaDB database
  redis://…                A Redis server; rediss://… and rediss-cluster://… are with TLS
  redis-cluster://…        A Redis cluster, by some nodes: redis-cluster://user:password@host:port,host:port
  memory:                  FROM alone: some made-up mappings

Options:
  --checkpoint FILE        Write down after each page how far it is, and go on from there if the file exists;
                           it is removed at the end
  --namespace NAME         The namespace in both stores [default: default]
  --page-size N            So many mappings at a time, at most 1000 [default: 1000]
  --list                   Print the ACS ID of each mapping that differs or could not be copied
  --help                   This text

The exit status is 0 if nothing differs in the end.
";

pub(crate) struct Options {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) namespace: Namespace,
    pub(crate) page_size: u32,
    pub(crate) list: bool,
}

impl Options {
    /// Reads the arguments; `None` if they ask for help. Without stores, the target is in the folder.
    pub(crate) fn parse(args: impl Iterator<Item = OsString>, folder: &Path) -> Result<Option<Self>, Failure> {
        let mut stores = Vec::new();
        let mut options = Self {
            from: Place::Memory,
            to: Place::Sqlite(folder.join("mappings.db")),
            checkpoint: None,
            namespace: Namespace::default(),
            page_size: 1000,
            list: false,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = |what: &str| args.next().ok_or_else(|| format!("{what} is missing; see --help"));
            match arg.to_str() {
                Some("--checkpoint") => options.checkpoint = Some(value("the file after --checkpoint")?.into()),
                Some("--namespace") => {
                    let name = value("the name after --namespace")?;
                    options.namespace =
                        Namespace::new(&name.to_string_lossy()).map_err(|error| error.message().to_owned())?;
                }
                Some("--page-size") => options.page_size = number(&value("the number after --page-size")?)?,
                Some("--list") => options.list = true,
                Some("--help" | "-h") => return Ok(None),
                Some(store) if !store.starts_with('-') => stores.push(Place::parse(store)?),
                _ => return Err(format!("there is no option {}; see --help", option(&arg)).into()),
            }
        }
        match <[Place; 2]>::try_from(stores) {
            Ok(both) => [options.from, options.to] = both,
            Err(none) if none.is_empty() => {}
            Err(others) => return Err(format!("FROM and TO are two stores, not {}; see --help", others.len()).into()),
        }
        options.check()?;
        Ok(Some(options))
    }

    fn check(&self) -> Result<(), Failure> {
        if self.to == Place::Memory {
            return Err("what is moved to memory: is gone at once; it can only be FROM".into());
        }
        if self.from == self.to {
            return Err("FROM and TO are the same store".into());
        }
        if self.from == Place::Memory && self.checkpoint.is_some() {
            return Err("the mappings of memory: are made up anew each time, so no checkpoint is of use".into());
        }
        Ok(())
    }
}

fn number(text: &OsString) -> Result<u32, Failure> {
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| (1..=1000).contains(number));
    Ok(number.ok_or_else(|| format!("a page has 1 to 1000 mappings, not {}", Excerpt(text.as_encoded_bytes())))?)
}

/// The name of an option, without a value that may be private.
fn option(arg: &OsString) -> String {
    let name = arg.as_encoded_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    Excerpt(name).to_string()
}
