//! In place of private servers, where there is no Unix shell to watch over them.
#![allow(clippy::missing_errors_doc, reason = "as in server.rs")]

use std::path::{Path, PathBuf};

use crate::Kind;
use crate::kind::Recipe;

/// A private server; there is none on this system.
#[derive(Debug)]
pub enum Server {}

#[allow(missing_docs, reason = "as in server.rs")]
impl Server {
    pub fn start(kind: Kind) -> Result<Self, String> {
        Self::start_with(kind, &[])
    }

    pub fn start_with(kind: Kind, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_as(kind.recipe(), settings)
    }

    pub(crate) fn start_as(recipe: &'static Recipe, _settings: &[(&str, &str)]) -> Result<Self, String> {
        Err(format!(
            "private servers are started on Unix only: set {} to the URL of {}",
            recipe.variable, recipe.elsewhere
        ))
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

    pub(crate) fn is_running(&self) -> bool {
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

    pub fn pause(&mut self) {
        match *self {}
    }

    pub fn resume(&mut self) {
        match *self {}
    }

    pub fn restart(&mut self) -> Result<(), String> {
        match *self {}
    }

    pub fn restart_empty(&mut self) -> Result<(), String> {
        match *self {}
    }
}
