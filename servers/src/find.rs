//! Finds the executables of servers.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kind::Recipe;

/// The executables of one server.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    /// `None` if none is needed.
    pub(crate) init: Option<PathBuf>,
}

/// The folders where a server may be: those of `PATH`, then the well-known ones.
pub(crate) fn folders(recipe: &Recipe) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(recipe.folders.iter().flat_map(|pattern| expand(pattern))).collect()
}

/// The first server in these folders that is new enough.
pub(crate) fn programs(recipe: &Recipe, folders: &[PathBuf]) -> Result<Programs, String> {
    let mut too_old = String::new();
    for folder in folders {
        let names = std::iter::once(recipe.server).chain(recipe.alias);
        let server = names.map(|name| folder.join(name)).find_map(|server| Some((version_of(&server)?, server)));
        // Where the server is, first: another folder's may be of another version.
        let init = recipe.init.as_ref().map(|init| {
            let places = std::iter::once(folder).chain(folders).map(|folder| folder.join(init.program));
            places.into_iter().find(|program| program.is_file())
        });
        let (Some((version, server)), None | Some(Some(_))) = (server, &init) else {
            continue;
        };
        if version >= recipe.at_least {
            return Ok(Programs { server, init: init.flatten() });
        }
        too_old = format!(" ({} is {}.{})", server.display(), version.0, version.1);
    }
    let Recipe { name, at_least: (major, minor), variable, elsewhere, .. } = recipe;
    Err(format!(
        "no {name} {major}.{minor} or newer was found{too_old}: install it (on Debian and Ubuntu, `cargo xtask servers` \
         does), or set {variable} to the URL of {elsewhere}"
    ))
}

/// The version that an executable prints, such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_of(program: &Path) -> Option<(u32, u32)> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

fn version_in(text: &str) -> Option<(u32, u32)> {
    let words = text.split_whitespace().map(|word| word.strip_prefix("v=").unwrap_or(word));
    let version = words.into_iter().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let mut numbers = numbers(version);
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.split(|one: char| !one.is_ascii_digit()).filter_map(|number| number.parse().ok())
}

/// The folders that a path with at most one `*` names, the highest number first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![pattern.into()];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_by_key(|name| std::cmp::Reverse(numbers(name).collect::<Vec<_>>()));
    names.into_iter().map(|name| format!("{parent}/{name}{after}").into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn versions_are_read_from_what_servers_print() {
        assert_eq!(version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some((15, 18)));
        assert_eq!(version_in("postgres (PostgreSQL) 18beta1"), Some((18, 1)));
        assert_eq!(
            version_in("/usr/sbin/mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu"),
            Some((10, 11))
        );
        assert_eq!(version_in("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"), Some((7, 0)));
        assert_eq!(version_in("redis-check-rdb 7.0.15"), Some((7, 0)));
        assert_eq!(version_in("no number"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_the_way_out() {
        let empty = tempfile::tempdir().expect("a folder");
        for kind in Kind::ALL {
            let error = programs(kind.recipe(), &[empty.path().to_owned()]).expect_err("nothing is there");
            assert!(error.starts_with(&format!("no {kind} ")), "{error}");
            assert!(error.contains("cargo xtask servers") && error.contains(kind.variable()), "{error}");
        }
    }

    #[test]
    fn the_highest_number_is_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["9", "17", "15"] {
            fs::create_dir_all(folder.path().join(version).join("bin")).expect("a folder");
        }
        let found = expand(&format!("{}/*/bin", folder.path().display()));
        assert_eq!(found, ["17", "15", "9"].map(|version| folder.path().join(version).join("bin")));
    }

    #[cfg(unix)]
    #[test]
    fn a_server_that_is_too_old_is_passed_over() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a folder");
        let mut folders = Vec::new();
        for version in ["13.9", "16.2"] {
            let folder = root.path().join(version);
            fs::create_dir(&folder).expect("a folder");
            for name in ["postgres", "initdb"] {
                let program = folder.join(name);
                fs::write(&program, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).expect("a file");
                fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
            }
            folders.push(folder);
        }
        let recipe = Kind::Postgres.recipe();
        let found = programs(recipe, &folders).expect("one is new enough");
        assert_eq!((found.server, found.init), (folders[1].join("postgres"), Some(folders[1].join("initdb"))));
        let error = programs(recipe, &folders[..1]).expect_err("too old");
        assert!(error.contains("13.9/postgres is 13.9)"), "{error}");
    }
}
