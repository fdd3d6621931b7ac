//! Scripts that run where the official clients are installed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Where the official clients are; `cargo xtask test --sdk` says so.
const FOLDER: &str = "ACS_IDENTITY_TEST_SDK";

/// A script takes five seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a script is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    JavaScript,
}

impl Language {
    /// Runs the tests in a script with an environment variable, and returns what they printed.
    ///
    /// # Panics
    /// If one of them fails.
    pub(crate) async fn test(self, script: &str, variable: &str, value: impl AsRef<OsStr>) -> String {
        let folder = env::var_os(FOLDER).unwrap_or_else(|| panic!("{FOLDER} is not set: run `cargo xtask test --sdk`"));
        let (name, program, arguments): (_, _, &[_]) = match self {
            Self::Python => ("python", PathBuf::from(&folder).join("python/bin/python"), &["-m", "pytest"]),
            Self::JavaScript => ("javascript", PathBuf::from("node"), &["--test"]),
        };
        // Beside the packages: Node looks for them from where a script is.
        let within = PathBuf::from(folder).join(name);
        let file = tempfile::Builder::new()
            .prefix("test_")
            .suffix(if self == Self::Python { ".py" } else { ".mjs" })
            .tempfile_in(&within)
            .expect("the clients are installed");
        fs::write(file.path(), script).unwrap();
        let mut command = Command::new(&program);
        command.args(arguments).arg(file.path()).current_dir(within).env(variable, value).kill_on_drop(true);
        // Both clients would send their requests to a proxy, where the environment names one.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        let output = timeout(PATIENCE, command.output()).await.expect("the script ends in time");
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{self:?}:\n{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}
