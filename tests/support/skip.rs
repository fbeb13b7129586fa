//! Parts of a test that cannot be run everywhere.

use std::io::{ErrorKind, Write as _};
use std::process::Command;

/// Under this variable a tool that is missing is a failure. `.ci/run` sets it, so that nothing is left out in silence.
const REQUIRE_ALL: &str = "PELTON_REQUIRE_ALL";

/// Why a part of a test cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unable {
    /// A program is not installed. It could be.
    Missing(String),
    /// The system does not allow it to us: a sandbox without name spaces or tracing. Nothing to be done about it.
    Refused(String),
}

impl Unable {
    /// What it means that a program could not be started.
    pub fn start(program: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing(program.to_owned()),
            _ => Self::Refused(format!("{program}: {error}")),
        }
    }
}

/// Whether a program can be started at all.
pub fn has(program: &str) -> Result<(), Unable> {
    let run = Command::new(program).arg("--version").output();
    run.map(drop).map_err(|error| Unable::start(program, &error))
}

/// Says on standard error, past the test harness's capture, that a part of a test was not run, and why.
///
/// # Panics
/// When a program is missing and all parts are required.
#[track_caller]
pub fn skipped(what: &str, why: &Unable) {
    let why = match why {
        Unable::Missing(program) => {
            let required = std::env::var_os(REQUIRE_ALL).is_some_and(|value| !value.is_empty() && value != "0");
            assert!(!required, "{what}: {program} is not installed, and {REQUIRE_ALL} is set");
            format!("{program} is not installed")
        }
        Unable::Refused(why) => format!("the system does not allow it: {why}"),
    };
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
