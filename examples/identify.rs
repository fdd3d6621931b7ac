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
use acs_identity_examples::{Failure, end};
use serde::Serialize;

fn main() -> ExitCode {
    end(run())
}

fn run() -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    let mut answer = |input: &[u8]| -> Result<(), Failure> {
        let json = match identify(input) {
            Ok(known) => serde_json::to_string(&known)?,
            Err(error) => {
                code = ExitCode::FAILURE;
                serde_json::to_string(&Refused { input: beginning(input), error: error.message() })?
            }
        };
        Ok(writeln!(out, "{json}")?)
    };

    let args: Vec<_> = env::args_os().skip(1).collect();
    if args.is_empty() {
        if io::stdin().is_terminal() {
            eprintln!("Reading ACS IDs from standard input, one a line.");
        }
        let mut lines = io::stdin().lock();
        let mut line = Vec::new();
        while read_line(&mut lines, &mut line)? {
            answer(&line)?;
        }
    }
    for arg in &args {
        answer(arg.as_encoded_bytes())?;
    }
    Ok(code)
}

/// The line of a legal ID.
#[derive(Serialize)]
struct Known {
    #[serde(flatten)]
    identifier: CommunicationIdentifierModel,
    #[serde(rename = "identityType")]
    identity_type: IdentityType,
}

/// The line of an illegal one.
#[derive(Serialize)]
struct Refused<'a> {
    input: String,
    error: &'a str,
}

fn identify(input: &[u8]) -> Result<Known> {
    if input.len() > MAX_ID_BYTES {
        return Err(Error::invalid_input(format!("ACS ID has more than {MAX_ID_BYTES} bytes")));
    }
    let id = AcsId::from_utf8(input)?;
    let identifier = CommunicationIdentifierModel::from(&id).with_kind();
    Ok(Known { identifier, identity_type: id.identity_type() })
}

/// At most 32 bytes of the input.
fn beginning(input: &[u8]) -> String {
    // The character that begins in the last of them may have three bytes more.
    let mut text = String::from_utf8_lossy(&input[..input.len().min(Excerpt::MAX + 3)]).into_owned();
    text.truncate(text.floor_char_boundary(Excerpt::MAX));
    text
}

/// Reads one line, without its end; false if there is none. Of one that is too long for an ID, only the beginning is kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    const KEPT: usize = MAX_ID_BYTES + "\r\n".len();
    line.clear();
    input.take(KEPT as u64).read_until(b'\n', line)?;
    if line.is_empty() {
        return Ok(false);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    } else if line.len() == KEPT {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}
