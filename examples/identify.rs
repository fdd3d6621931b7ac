//! What do these ACS IDs say? One line of JSON for each: the form in which ACS writes it, and its identity type.
//!
//! ```sh
//! cargo run --example identify -- 4:+14255550123 28:orgid:echo
//! cargo run --example identify < ids.txt
//! ```

use std::env;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use acs_identity::{AcsId, CommunicationIdentifierModel, Error, Excerpt, IdentityType, MAX_ID_BYTES, Result};
use acs_identity_examples::{Failure, complain, end};
use serde::Serialize;

fn main() -> ExitCode {
    end(run())
}

fn run() -> Result<ExitCode, Failure> {
    let mut output = Output { out: io::stdout().lock(), code: ExitCode::SUCCESS };
    let args: Vec<_> = env::args_os().skip(1).collect();
    for arg in &args {
        output.line(Input::whole(arg.as_encoded_bytes()))?;
    }
    if args.is_empty() {
        if io::stdin().is_terminal() {
            complain("");
        }
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while read_line(&mut input, &mut line)? {}
    }
    Ok(output.code)
}
