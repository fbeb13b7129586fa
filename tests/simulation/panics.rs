//! Panics of what is simulated, each an outcome of its seed like any other.
//!
//! A panic ends at most the task it happened in, so it is noted where it begins, and looked for after every step. What was
//! simulated is then left as it is: hosts that are torn down in the middle of their work panic again.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use turmoil::Sim;

use crate::invariants::Violation;

const NAME: &str = "nothing panics";

thread_local! {
    /// A run is simulated on this thread.
    static SIMULATES: Cell<bool> = const { Cell::new(false) };
    /// The first panic of the run.
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics on this thread are noted and not printed.
pub fn are_outcomes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            if !SIMULATES.get() {
                return usual(what);
            }
            let what = format!("{what}\n{}", Backtrace::capture());
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert(what);
            });
        }));
    });
    SIMULATES.set(true);
}

/// One step.
///
/// # Errors
/// Something has panicked, or a host has ended.
pub fn step(sim: &mut Sim<'_>) -> Result<(), Violation> {
    let stepped = panic::catch_unwind(AssertUnwindSafe(|| sim.step()));
    let what = match (FIRST.take(), stepped) {
        (None, Ok(Ok(_))) => return Ok(()),
        (Some(what), _) => what,
        (None, Ok(Err(error))) => error.to_string(),
        (None, Err(_)) => "a panic that said nothing".to_owned(),
    };
    Err(Violation { invariant: NAME, what })
}

/// Whether the violation leaves a simulation that must not be torn down.
pub fn is_panic(violation: &Violation) -> bool {
    violation.invariant == NAME
}
