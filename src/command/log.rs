//! `pelton log`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pelton_log::{RealDisk, VerifyReport, verify};

use super::print;
use crate::exit::{Failure, with_causes};
use crate::table::Table;
use crate::terminal::escape_block;

/// What `pelton log` takes.
#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check every record of a log that no process has open, and change nothing
    #[command(
        after_help = "Exits with 0 when the log is whole, or all of its damage was repaired since, and 1 when it is \
                            not, or cannot be looked at.\n\n\
                            Example:\n  pelton log verify ./pelton-data"
    )]
    Verify {
        /// The data folder, or the log folder inside it
        dir: PathBuf,
    },
}

/// Looks after a log.
pub fn run(args: &LogArgs) -> Result<(), Failure> {
    let Verb::Verify { dir } = &args.verb;
    let inside = dir.join("log");
    let dir = if inside.is_dir() { &inside } else { dir };
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::failed(&dir.display().to_string(), error);
    // Looked at before the disk is opened, which makes a lock file: a mistyped path is no empty log.
    if !holds_segments(dir) {
        return Err(Failure::Failed(format!("{}: there is no log here", dir.display())));
    }
    let disk = RealDisk::existing(dir).map_err(|error| failed(&error))?;
    let spinner = spinner(dir);
    let report = verify(&disk);
    spinner.finish_and_clear();
    let report = report.map_err(|error| failed(&error))?;
    print(&escape_block(&describe(&report)))?;
    if report.is_whole() {
        return Ok(());
    }
    let places = report.damaged.len() + usize::from(report.refusal.is_some());
    Err(Failure::Failed(format!("{}: the log is damaged ({places} finding{})", dir.display(), plural(places))))
}

fn holds_segments(dir: &Path) -> bool {
    let is_segment = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "seg");
    std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(is_segment))
}

fn spinner(dir: &Path) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(format!("reading {}", dir.display()));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn describe(report: &VerifyReport) -> String {
    let mut out = String::new();
    if let Some(identity) = &report.identity {
        let _ = writeln!(out, "cluster {:032x}, node {}", identity.cluster, identity.node);
    }
    let mut segments = Table::new(&["SEGMENT", "STATE", "RECORDS", "BYTES", "FILE SIZE"]);
    for segment in &report.segments {
        segments.row([
            segment.file.clone(),
            if segment.sealed { "sealed" } else { "open" }.to_owned(),
            segment.records.to_string(),
            segment.record_bytes.to_string(),
            segment.file_bytes.to_string(),
        ]);
    }
    let mut groups = Table::new(&["GROUP", "FIRST EVENT", "NEXT EVENT", "LAST ENTRY"]);
    for group in &report.groups {
        groups.row([
            group.group.0.to_string(),
            group.view.first_offset.0.to_string(),
            group.view.next_offset.0.to_string(),
            group
                .view
                .last
                .as_ref()
                .map_or_else(|| "-".to_owned(), |(term, _, index)| format!("{} (term {})", index.0, term.0)),
        ]);
    }
    let _ = write!(out, "{segments}{groups}");
    if let Some(cut) = &report.report.cut {
        let _ =
            writeln!(out, "an unfinished write ends the log at byte {} of {}; opening cuts it", cut.position, cut.file);
    }
    for file in &report.report.unknown_files {
        let _ = writeln!(out, "not a file of the log, left alone: {file}");
    }
    for damage in &report.damaged {
        let _ = writeln!(out, "DAMAGED: byte {} of {}", damage.position, damage.file);
    }
    if let Some(refusal) = &report.refusal {
        let _ = writeln!(out, "WOULD NOT OPEN: {}", with_causes(refusal));
    }
    for damage in &report.repaired {
        let _ = writeln!(out, "repaired since: byte {} of {}", damage.position, damage.file);
    }
    if report.is_whole() {
        out.push_str("whole");
        let repaired = report.repaired.len();
        if repaired > 0 {
            let _ = write!(out, ": {repaired} damaged place{} repaired since", plural(repaired));
        }
        out.push('\n');
    }
    out
}
