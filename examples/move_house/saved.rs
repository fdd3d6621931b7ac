//! The file in which is written how far a move is.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use acs_identity::moving::Checkpoint;
use acs_identity_examples::{Failure, shown};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::options::Options;

/// The file, and what is in it.
pub(crate) struct Saved {
    path: PathBuf,
    key: Key,
    pub(crate) checkpoint: Checkpoint,
}

/// The move to which it belongs. A store takes any cursor of a store of its sort, so it is not left to the store to
/// find out.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    from: String,
    to: String,
    namespace: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(flatten)]
    key: Key,
    checkpoint: Checkpoint,
}

impl Saved {
    /// Reads the file, if there is one.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, Failure> {
        let (from, to) = (options.from.key(), options.to.key());
        let key = Key { from, to, namespace: options.namespace.as_str().to_owned() };
        let name = shown(path);
        let checkpoint = match fs::read(path) {
            Ok(text) => {
                let content: Content =
                    serde_json::from_slice(&text).map_err(|_| format!("{name}: this is no checkpoint"))?;
                if content.key != key {
                    return Err(format!("{name}: this checkpoint is of another move").into());
                }
                content.checkpoint
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Checkpoint::default(),
            Err(error) => return Err(format!("{name}: {error}").into()),
        };
        Ok(Self { path: path.to_owned(), key, checkpoint })
    }

    /// Writes it in place of what is there, in one step: whenever the program is ended, one of the two is there and
    /// whole. Only the user may read it, since a checkpoint may hold an ID.
    pub(crate) fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        self.checkpoint = checkpoint.clone();
        let content = Content { key: self.key.clone(), checkpoint: checkpoint.clone() };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec(&content)?)?;
            file.persist(&self.path)?;
            io::Result::Ok(())
        };
        Ok(write().map_err(|error| format!("{}: {error}", shown(&self.path)))?)
    }

    /// Removes the file: the move is at its end, and the next one begins anew.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", shown(&self.path)).into())
            }
            _ => Ok(()),
        }
    }
}
