//! A log that is driven step by step, for tests that wait for completions: somebody has to take the turns meanwhile.

use std::sync::Arc;
use std::sync::mpsc;

use pelton_env::{Chance, Clock};
use pelton_log::{Disk, Log, OpenError, Options, Report, Turn};

/// Whether the tests of this file are run once more over logs that are driven (see `tests/stepped.rs`).
pub const ARE_WE: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"stepped");

/// Opens a log, and takes its turns as they come due until it ends.
pub fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    options: Options,
) -> Result<(Log, Report), OpenError> {
    let (due, dues) = mpsc::channel();
    let hook = Arc::new(move || {
        // Nobody is there any more once the log has ended.
        let _ = due.send(());
    });
    let (log, stepper, report) = Log::open_stepped(disk, clock, chance, options, hook)?;
    std::thread::spawn(move || {
        while dues.recv().is_ok() {
            loop {
                match stepper.turn() {
                    Turn::Worked => {}
                    Turn::Idle | Turn::Full => break,
                    Turn::Ended => return,
                }
            }
        }
    });
    Ok((log, report))
}
