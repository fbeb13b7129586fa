//! `pelton version`

use super::print_line;
use crate::exit::Failure;
use crate::telemetry::REVISION;

/// Prints version, source revision and target.
pub fn run() -> Result<(), Failure> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    print_line(&format!("pelton {} (revision {REVISION}, {os} {arch})", env!("CARGO_PKG_VERSION")))
}
