//! Runs the examples as users do, for the tests beside this file.

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use serde_json::Value;

/// What a run of an example gave.
#[derive(Debug)]
pub struct Run {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
}

impl Run {
    /// The lines of its standard output, each read as JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Checks that it was refused with one sentence, exit status 1 and no output, and returns the sentence.
    ///
    /// # Panics
    /// If it was not.
    pub fn refusal(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.stdout, "");
        assert!(self.stderr.starts_with("error: ") && self.stderr.lines().count() == 1, "{}", self.stderr);
        self.stderr.trim_end()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
    }
}

/// Runs an example with these arguments.
pub fn run(example: &str, args: &[impl AsRef<OsStr>]) -> Run {
    run_with_input(example, args, b"")
}

/// Runs an example with these arguments and this standard input.
///
/// # Panics
/// If it cannot be started.
pub fn run_with_input(example: &str, args: &[impl AsRef<OsStr>], input: &[u8]) -> Run {
    let mut child = command(example, args).stdin(Stdio::piped()).spawn().expect("the example starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    thread::scope(|scope| {
        // It may end before it has read all.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("the example ends").into()
    })
}

/// An example, ready to run with its output caught.
pub fn command(example: &str, args: &[impl AsRef<OsStr>]) -> Command {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let executable = &BUILT.get_or_init(build)[example];
    let mut command = Command::new(executable);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Builds all examples, and returns where each is. All features, as in `cargo xtask test`, so that nothing is built twice.
fn build() -> HashMap<String, PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--examples", "--all-features", "--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stderr(Stdio::inherit());
    // What cargo says about this package: build scripts watch such variables, and would run again.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "the examples do not build");
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let executables = messages.filter_map(|message| {
        let message = message.expect("a message of cargo");
        let is_example = message["target"]["kind"] == "example" || message["target"]["kind"][0] == "example";
        let executable = message["executable"].as_str().filter(|_| is_example)?;
        Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
    });
    executables.collect()
}

/// The folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A temporary folder with files in it.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty one.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// The path of a file in it, which need not exist.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(&path, content)).expect("a file");
        path
    }

    /// The argument that names an SQLite store in it.
    pub fn sqlite(&self, name: &str) -> OsString {
        let mut store = OsString::from("sqlite:");
        store.push(self.path(name));
        store
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}
