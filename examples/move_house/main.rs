//! Moving house: every mapping of one store is copied into another one, and the copy is verified.
//!
//! ```sh
//! cargo run --example move_house -- --help
//! ```

mod options;
mod place;
mod saved;
mod screen;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use acs_identity::MappingStore;
use acs_identity::moving::{Checkpoint, Move};
use acs_identity_examples::{Failure, complain, end};
use futures::TryStreamExt;

use options::Options;
use saved::Saved;
use screen::Screen;

#[tokio::main]
async fn main() -> ExitCode {
    end(run().await)
}

async fn run() -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir()?;
    let Some(options) = Options::parse(env::args_os().skip(1), folder.path())? else {
        io::stdout().write_all(options::HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let saved = options.checkpoint.as_ref().map(|path| Saved::open(path, &options)).transpose()?;

    let from = options.from.open_source(&options.namespace).await?;
    let outcome = match options.to.open_target(&options.namespace).await {
        Ok(to) => {
            let outcome = move_all(&*from, &*to, &options, saved).await;
            to.close().await;
            outcome
        }
        Err(failure) => Err(failure),
    };
    from.close().await;
    folder.close()?;
    outcome
}

/// The main job: page after page, with the checkpoint written down after each.
async fn move_all(
    from: &dyn MappingStore,
    to: &dyn MappingStore,
    options: &Options,
    mut saved: Option<Saved>,
) -> Result<ExitCode, Failure> {
    let mut screen = Screen::new(options.list);
    let mut checkpoint = match &saved {
        Some(saved) => saved.checkpoint.clone(),
        None => Checkpoint::default(),
    };
    screen.begin(options, &checkpoint)?;
    let mut pages = Move::new(from, to).page_size(options.page_size)?.run(checkpoint.clone());
    loop {
        let page = match pages.try_next().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(error) => return Err(interrupted(&error, saved.as_ref()).into()),
        };
        screen.show(&page)?;
        checkpoint = page.checkpoint;
        if let Some(saved) = &mut saved {
            saved.write(&checkpoint)?;
        }
    }
    if let Some(saved) = saved {
        saved.remove()?;
    }
    screen.end(checkpoint.counts())?;
    match checkpoint.counts().differences() {
        0 => Ok(ExitCode::SUCCESS),
        differences => {
            let advice = "running this again brings over what was written meanwhile, and --list names the others";
            complain(&format!("mappings that differ: {differences}; {advice}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn interrupted(error: &acs_identity::Error, saved: Option<&Saved>) -> String {
    let advice = match saved {
        // Redis ends a listing for good when it restarts.
        Some(_) => "the same command goes on from here, or begins again if the file of --checkpoint is removed",
        None => "the same command begins again, and with --checkpoint could go on",
    };
    format!("{error}; {advice}")
}
