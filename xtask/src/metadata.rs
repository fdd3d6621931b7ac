//! What `cargo metadata` says about the workspace and everything it depends on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::Result;
use crate::cargo::{cargo, stdout};

/// The packages of the workspace and, unless asked not to, all their dependencies on all platforms.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

/// One package.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    pub(crate) publish: Option<Vec<String>>,
}

/// An arrow from one package to another.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

/// A library, executable, test or example of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    kind: Vec<String>,
}

impl Metadata {
    /// Asks cargo for the packages with all features on.
    pub(crate) fn load() -> Result<Self> {
        let json = stdout(cargo(["metadata", "--format-version", "1", "--all-features"]))?;
        Ok(serde_json::from_str(&json).map_err(|error| format!("`cargo metadata` is not as expected: {error}"))?)
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The members that are meant for a registry.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.members().filter(|package| package.is_published())
    }
}

impl Package {
    /// `publish = false` reaches us as an empty list of registries.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// The names of the package's executables.
    pub(crate) fn executables(&self) -> Vec<&str> {
        let of_kind = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
        self.targets.iter().filter(of_kind).map(|target| target.name.as_str()).collect()
    }
}

impl Dependency {
    /// Whether only tests, examples and benchmarks see it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}
