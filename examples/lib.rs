//! What the examples share: how they end, how they name a file, and which resource of ACS they use.

mod resource;

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use acs_identity::Excerpt;

pub use resource::{Resource, from_environment, told};

/// Whatever can go wrong in an example; its text is one sentence.
pub type Failure = Box<dyn Error>;

/// Turns the outcome of an example into its exit status. A failure is told on standard error.
pub fn end(outcome: Result<ExitCode, Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    // Whoever reads the output, such as `head`, has seen enough.
    let cause = failure.downcast_ref::<io::Error>().map(io::Error::kind);
    if cause == Some(io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    complain(&failure.to_string());
    ExitCode::FAILURE
}

/// Says one sentence on standard error.
pub fn complain(sentence: &str) {
    // Not `eprintln!`, which panics where standard error is closed.
    let _ = writeln!(io::stderr(), "error: {sentence}");
}

/// The name of a file, fit for one line.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().replace(char::is_control, "\u{fffd}")
}

/// The name of an option that does not exist, without a value that may be private.
pub fn option_name(arg: &OsStr) -> String {
    let name = arg.as_encoded_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    Excerpt(name).to_string()
}
