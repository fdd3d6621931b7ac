//! In place of private servers, where there is no Unix shell to watch over them.
#![allow(clippy::missing_errors_doc, reason = "as in server.rs")]

use std::path::{Path, PathBuf};

use crate::Kind;

/// A private server; there is none on this system.
#[derive(Debug)]
pub enum Server {}

#[allow(missing_docs, reason = "as in server.rs")]
impl Server {
    pub fn start(kind: Kind) -> Result<Self, String> {
        Err(format!(
            "private servers are started on Unix only: set {} to the URL of a {kind} server whose user may create databases",
            kind.variable()
        ))
    }

    pub fn start_with(kind: Kind, _settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start(kind)
    }

    pub fn url(&self) -> String {
        match *self {}
    }

    pub fn port(&self) -> u16 {
        match *self {}
    }

    pub fn folder(&self) -> &Path {
        match *self {}
    }

    pub fn write(&self, _name: &str, _content: impl AsRef<[u8]>) -> Result<PathBuf, String> {
        match *self {}
    }

    pub fn set(&mut self, _name: &str, _value: &str) {
        match *self {}
    }

    pub fn kill(&mut self) {
        match *self {}
    }

    pub fn restart(&mut self) -> Result<(), String> {
        match *self {}
    }
}
