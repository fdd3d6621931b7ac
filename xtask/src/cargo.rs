//! Runs cargo and other programs at the root of the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The root of the workspace: the folder above this package's.
///
/// Cargo tells where the package is when it runs the tool; the place of compilation is the answer
/// when the executable is started by hand.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// The cargo that runs this tool, at the root of the workspace.
///
/// What the outer cargo says about *this* package is taken out of the environment: build scripts
/// watch such variables, and would run again each time a build changes between the two.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end with this process's output, and fails if it fails.
pub(crate) fn run(mut command: Command) -> Result {
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", shown(&command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", shown(&command)).into()) }
}

/// Runs a command to its end and returns what it printed on standard output, which must be UTF-8.
pub(crate) fn stdout(mut command: Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", shown(&command)))?;
    if !output.status.success() {
        return Err(format!("{} failed: {}", shown(&command), output.status).into());
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed invalid UTF-8", shown(&command)).into())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        assert!(root().join("crates/acs-identity-core/Cargo.toml").is_file());
    }

    #[test]
    fn a_failing_command_is_named_as_one_would_type_it() {
        let mut command = Command::new("/some/folder/cargo");
        command.args(["test", "--all-features"]);
        assert_eq!(shown(&command), "`cargo test --all-features`");
    }

    #[test]
    fn a_nested_cargo_is_not_told_about_this_package() {
        let removed: Vec<_> =
            cargo([]).get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name.to_owned()).collect();
        assert!(removed.iter().any(|name| name == "CARGO_PKG_NAME"));
        assert!(removed.iter().any(|name| name == "CARGO_MANIFEST_DIR"));
    }
}
