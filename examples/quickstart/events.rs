//! Reading events from files.

use std::fs;
use std::path::{Path, PathBuf};

use acs_identity::Event;
use acs_identity_examples::{Failure, shown};

/// The events of one file.
pub(crate) struct EventFile {
    pub(crate) name: String,
    pub(crate) events: Vec<Event>,
}

/// Reads one file, or all `*.json` of a folder in the order of their names.
pub(crate) fn read(path: &Path) -> Result<Vec<EventFile>, Failure> {
    let files = if path.is_dir() { json_files(path)? } else { vec![path.to_owned()] };
    files.iter().map(|file| read_file(file)).collect()
}

fn read_file(path: &Path) -> Result<EventFile, Failure> {
    let name = shown(path);
    let json = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    let events = Event::parse_all(&json).map_err(|error| format!("{name}: {}", error.message()))?;
    Ok(EventFile { name, events })
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| format!("{}: {error}", shown(folder));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("{}: there is no *.json in this folder", shown(folder)).into());
    }
    files.sort();
    Ok(files)
}
