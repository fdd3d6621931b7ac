//! Installs servers, where the system's package manager is known.

use std::env;
use std::io;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::find;
use crate::kind::Recipe;

/// Makes sure that a server is installed.
///
/// # Errors
/// If there is none and it cannot be installed: what to do instead.
pub(crate) fn ensure(recipe: &Recipe) -> Result<(), String> {
    let Err(missing) = find::programs(recipe, &find::folders(recipe)) else {
        return Ok(());
    };
    let by_itself = apt_get().is_some_and(|apt_get| {
        eprintln!(
            "installing {} by apt-get, without a server or cluster of the system (packages may say so)",
            recipe.name
        );
        static UPDATED: OnceLock<bool> = OnceLock::new();
        UPDATED.get_or_init(|| run(apt_get, &["update", "--quiet"]));
        recipe.packages.iter().any(|packages| {
            let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
            run(apt_get, &[&install, *packages].concat())
        })
    });
    if !by_itself {
        return Err(missing);
    }
    find::programs(recipe, &find::folders(recipe)).map(|_| ())
}

/// How to run `apt-get` with all rights and without questions; `None` if there is no way.
fn apt_get() -> Option<&'static [&'static str]> {
    // The packages of PostgreSQL make a cluster and start it, unless its configuration has no place; they say
    // so and go on.
    const AS_ROOT: &[&str] = &["env", "DEBIAN_FRONTEND=noninteractive", "PG_CLUSTER_CONF_ROOT=/dev/null", "apt-get"];
    const BY_SUDO: &[&str] =
        &["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive", "PG_CLUSTER_CONF_ROOT=/dev/null", "apt-get"];
    let path = env::var_os("PATH")?;
    env::split_paths(&path).find(|folder| folder.join("apt-get").is_file())?;
    let user = Command::new("id").arg("-u").output().ok()?;
    if user.stdout.trim_ascii() == b"0" {
        return Some(AS_ROOT);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stdin(Stdio::null()).output();
    sudo.is_ok_and(|output| output.status.success()).then_some(BY_SUDO)
}

/// Runs a command whose output is for people only.
fn run(command: &[&str], args: &[&str]) -> bool {
    let Some((program, first)) = command.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(first).args(args).stdin(Stdio::null()).stdout(io::stderr());
    command.status().is_ok_and(|status| status.success())
}
