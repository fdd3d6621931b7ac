//! The program `acs-identity-emulator`: an [`acs_identity_emulator::Emulator`] that runs until it is told to stop.

mod args;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use acs_identity_emulator::{Emulator, stop_signal};

use crate::args::{Args, HELP};

fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("error: {error}\n\nTry `acs-identity-emulator --help`.");
            return ExitCode::from(2);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("error: {error}{source}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    if args.help {
        return Ok(io::stdout().write_all(HELP.as_bytes())?);
    }
    if args.version {
        return Ok(writeln!(io::stdout(), "acs-identity-emulator {}", env!("CARGO_PKG_VERSION"))?);
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        // Listening for signals begins before anybody is told that the emulator runs.
        let stop = stop_signal()?;
        let emulator = args.builder()?.start().await?;
        args.order_faults(emulator.faults());
        announce(&emulator)?;
        stop.await;
        emulator.stop().await;
        Ok(())
    })
}

/// The connection string comes first, so that a script can read one line and go on.
fn announce(emulator: &Emulator) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", emulator.connection_string())?;
    writeln!(out, "Keys of the tokens: {}", emulator.keys_url())?;
    out.flush()
}
