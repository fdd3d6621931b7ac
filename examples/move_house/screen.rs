//! What is shown of a move.

use std::io::{self, Stdout, Write};
use std::time::{Duration, Instant};

use acs_identity::moving::{Checkpoint, Counts, Finding, FindingKind, Progress, Stage};

use crate::options::Options;

/// How often a line is printed while a stage goes on.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Screen {
    out: Stdout,
    list: bool,
    last: Option<Instant>,
}

impl Screen {
    pub(crate) fn new(list: bool) -> Self {
        Self { out: io::stdout(), list, last: None }
    }

    pub(crate) fn begin(&mut self, options: &Options, checkpoint: &Checkpoint) -> io::Result<()> {
        let from_the_start = *checkpoint == Checkpoint::default();
        let what = if from_the_start { "moving" } else { "going on to move" };
        writeln!(self.out, "{what} from {} to {}", options.from, options.to)
    }

    /// One line now and then, and at the end of each stage.
    pub(crate) fn show(&mut self, page: &Progress) -> io::Result<()> {
        if self.list {
            for Finding { acs_id, kind, .. } in &page.findings {
                writeln!(self.out, "  {}: {}", acs_id.as_str(), described(kind))?;
            }
        }
        let is_over = page.checkpoint.stage() != Some(page.stage);
        if is_over || self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.last = Some(Instant::now());
            writeln!(self.out, "{}", line(page.stage, page.checkpoint.counts()))?;
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, counts: &Counts) -> io::Result<()> {
        if counts.differences() == 0 {
            writeln!(self.out, "nothing differs")?;
        }
        Ok(())
    }
}

/// The counts of a stage: the first one, and those that are not 0.
fn line(stage: Stage, counts: &Counts) -> String {
    let (copy, verify, reverse) = (&counts.copy, &counts.verify, &counts.reverse);
    let (heading, numbers) = match stage {
        Stage::Copy => (
            "copied",
            vec![
                ("written", copy.written),
                ("there already", copy.kept),
                ("expired", copy.expired),
                ("failed", copy.failed),
            ],
        ),
        Stage::Verify => (
            "verified",
            vec![
                ("same", verify.same),
                ("newer at the target", verify.newer),
                ("expired", verify.expired),
                ("missing", verify.missing),
                ("older", verify.older),
                ("with another customer", verify.customer),
                ("with other properties", verify.properties),
                ("with another expiry", verify.expiry),
                ("failed", verify.failed),
            ],
        ),
        Stage::Reverse => (
            "verified in reverse",
            vec![
                ("at the source", reverse.present),
                ("expired", reverse.expired),
                ("not at the source", reverse.extra),
                ("failed", reverse.failed),
            ],
        ),
        other => return format!("{other:?}"),
    };
    let told = numbers.iter().enumerate().filter(|(place, (_, number))| *place == 0 || *number > 0);
    let told: Vec<String> = told.map(|(_, (what, number))| format!("{what} {number}")).collect();
    format!("{heading}: {}", told.join(", "))
}

fn described(kind: &FindingKind) -> String {
    let text = match kind {
        FindingKind::Failed(error) => return error.to_string(),
        FindingKind::Missing => "missing at the target",
        FindingKind::Older => "older at the target",
        FindingKind::Newer => "newer at the target, and kept",
        FindingKind::OtherCustomer => "with another customer at the target",
        FindingKind::OtherProperties => "with other properties at the target",
        FindingKind::OtherExpiry => "expires at another time at the target",
        FindingKind::Extra => "not at the source",
        _ => "different",
    };
    text.to_owned()
}
