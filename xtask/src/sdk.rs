//! `cargo xtask test --sdk`: the tests with the official clients for Python and JavaScript.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::cargo::{cargo, root, run as run_command, stdout};

/// Where the clients are installed; the tests are told in `VARIABLE`.
const FOLDER: &str = "target/sdk";
const VARIABLE: &str = "ACS_IDENTITY_TEST_SDK";
/// Where it is said what to install.
const SOURCE: &str = "tests/sdk";

/// What the clients need: a program with its least version, and the packages of Debian and Ubuntu that have it.
const NEEDS: [(&str, [u32; 2], &str); 3] =
    [("python3", [3, 11], "python3-venv"), ("node", [20, 0], "nodejs"), ("npm", [9, 0], "npm")];

/// Installs the clients of the pinned versions, and runs the tests that need them. All `args` go to the test executable.
pub(crate) fn run(args: &[String]) -> Result {
    for (program, least, package) in NEEDS {
        require(program, least, package)?;
    }
    let (source, folder) = (root().join(SOURCE), root().join(FOLDER));
    install_python(&source, &folder.join("python"))
        .map_err(|error| format!("the official Python client cannot be installed: {error}"))?;
    install_javascript(&source, &folder.join("javascript"))
        .map_err(|error| format!("the official JavaScript client cannot be installed: {error}"))?;
    // Without `-p`, so that nothing is compiled with other features than in `cargo xtask test`.
    run_command(cargo(["build", "--all-features", "--bin", "acs-identity-emulator"]))?;
    let test = ["test", "--all-features", "--test", "sdk", "--", "--include-ignored"];
    let mut test = cargo(test.into_iter().chain(args.iter().map(String::as_str)));
    test.env(VARIABLE, folder);
    run_command(test)
}

/// Makes a virtual environment, unless there is one that works, and brings its packages up to date.
fn install_python(source: &Path, folder: &Path) -> Result {
    let python = folder.join("bin/python");
    if !Command::new(&python).args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success()) {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(folder);
        run_command(venv)?;
    }
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(source.join("requirements.txt"));
    run_command(pip)
}

/// Installs what the lock file says.
fn install_javascript(source: &Path, folder: &Path) -> Result {
    fs::create_dir_all(folder)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), folder.join(file))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"])
        .current_dir(folder);
    run_command(npm)
}

/// Fails, with what to do, if a program is not there or too old.
fn require(program: &str, least: [u32; 2], package: &str) -> Result {
    let mut asked = Command::new(program);
    asked.arg("--version");
    let found = stdout(asked).ok();
    if found.as_deref().and_then(version).is_some_and(|version| version >= least) {
        return Ok(());
    }
    let [major, minor] = least;
    let found = found.map_or_else(|| "is missing".to_owned(), |text| format!("is too old ({})", text.trim()));
    Err(format!(
        "the tests with the official clients need {program} {major}.{minor} or newer, which {found}; on Debian and Ubuntu \
         it is in the package {package}"
    )
    .into())
}

/// The first two numbers in what a program says of its version, such as `Python 3.11.7` or `v20.20.2`.
fn version(text: &str) -> Option<[u32; 2]> {
    let mut numbers = text.trim_start_matches(|char: char| !char.is_ascii_digit()).split('.').map(str::trim);
    Some([numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_tell_them() {
        assert_eq!(version("Python 3.11.7\n"), Some([3, 11]));
        assert_eq!(version("v20.20.2\n"), Some([20, 20]));
        assert_eq!(version("11.19\n"), Some([11, 19]));
        assert_eq!((version(""), version("none"), version("3")), (None, None, None));
    }

    #[test]
    fn a_program_that_is_missing_or_too_old_is_named() {
        let error = |program, least| require(program, least, "a-package").expect_err("must fail").to_string();
        let missing = error("no-such-program", [3, 10]);
        assert!(missing.contains("need no-such-program 3.10 or newer, which is missing"), "{missing}");
        assert!(missing.ends_with("in the package a-package"), "{missing}");
        let old = error("rustc", [1000, 0]);
        assert!(old.contains("which is too old (rustc 1."), "{old}");
        require("rustc", [1, 0], "a-package").expect("it is there");
    }

    #[test]
    fn the_product_names_no_registry() {
        let lock = fs::read_to_string(root().join(SOURCE).join("package-lock.json")).expect("the lock file");
        assert!(lock.contains("\"integrity\"") && !lock.contains("\"resolved\""));
    }
}
