//! The commands, one a file.

pub mod apply;
pub mod broker;
pub mod cert;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod deadletters;
pub mod delete;
mod delivery;
pub mod demo;
pub mod describe;
pub mod display;
pub mod edit;
pub mod events;
pub mod get;
pub mod group;
pub mod kubeconfig;
pub mod label;
pub mod log;
pub mod logs;
pub mod node;
mod objects;
mod once;
mod output;
pub mod ready;
pub mod recover;
pub mod revision;
pub mod route;
pub mod send;
pub mod server;
pub mod service;
pub mod status;
mod target;
pub mod top;
pub mod trace;
pub mod trigger;
pub mod up;
mod verbs;
pub mod version;
pub mod wait;
mod written;

use std::io::Write as _;

use crate::exit::Failure;

/// Prints to standard output. A reader that has gone, as with `| head`, is no failure.
///
/// # Errors
/// Any other error of standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    print_while_read(text).map(drop)
}

/// As [`print()`], and says whether there still is a reader: what would go on without end has none to go on for.
///
/// # Errors
/// As [`print()`].
pub fn print_while_read(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed("cannot write to standard output", &error)),
    }
}

/// Prints one line.
///
/// # Errors
/// As [`print()`].
pub fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints one line to standard error. Where nobody can hear it, that is no reason to fail or to panic.
pub fn print_error(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
