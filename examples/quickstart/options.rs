//! The command line of the quickstart.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use acs_identity::Excerpt;
use acs_identity_examples::Failure;

pub(crate) const HELP: &str = "\
Shows who is in events of Azure Communication Services.

Usage: cargo run --example quickstart -- [OPTIONS]

Options:
  --events PATH            An event file, or a folder of *.json [default: the bundled events]
  --mappings FILE.csv      Mappings to store first, with the header acs_id,customer_id
                           [default: the bundled mappings, if the store is empty]
  --store memory           Keep the mappings in memory
  --store sqlite:PATH      Keep the mappings in an SQLite file [default: one in a temporary folder]
  --json                   One line of JSON an event, and nothing else on standard output
  --help                   This text
";

/// Where the mappings are kept.
pub(crate) enum Store {
    Memory,
    Sqlite(PathBuf),
    Temporary,
}

pub(crate) struct Options {
    pub(crate) events: PathBuf,
    pub(crate) mappings: Option<PathBuf>,
    pub(crate) store: Store,
    pub(crate) json: bool,
}

impl Options {
    /// Reads the arguments; `None` if they ask for help.
    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, Failure> {
        let mut options = Self { events: bundled("events"), mappings: None, store: Store::Temporary, json: false };
        while let Some(arg) = args.next() {
            let mut value = |what: &str| args.next().ok_or_else(|| format!("{what} is missing; see --help"));
            match arg.to_str() {
                Some("--events") => options.events = value("the path after --events")?.into(),
                Some("--mappings") => options.mappings = Some(value("the path after --mappings")?.into()),
                Some("--store") => options.store = store(value("the store after --store")?)?,
                Some("--json") => options.json = true,
                Some("--help" | "-h") => return Ok(None),
                _ => return Err(format!("there is no option {}; see --help", excerpt(&arg)).into()),
            }
        }
        Ok(Some(options))
    }
}

fn store(value: OsString) -> Result<Store, Failure> {
    match value.to_str().map(|text| (text, text.strip_prefix("sqlite:"))) {
        Some(("memory", _)) => Ok(Store::Memory),
        Some((_, Some(path))) if !path.is_empty() => Ok(Store::Sqlite(path.into())),
        _ => Err(format!("a store is memory or sqlite:PATH, not {}", excerpt(&value)).into()),
    }
}

fn excerpt(text: &OsString) -> String {
    Excerpt(text.as_encoded_bytes()).to_string()
}

/// Something that comes with the example.
pub(crate) fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}
