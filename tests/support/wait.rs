//! The one way to wait.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before the test fails. Nothing passes because of it.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How often a condition is looked at. It only decides how soon a test goes on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `look` gives a value. What it says while it does not is what a failure says.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(so_far) if started.elapsed() > DEADLINE => panic!("waited {DEADLINE:?} for {what}: {so_far}"),
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}

/// Waits until `look` is true.
#[track_caller]
pub fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, || if look() { Ok(()) } else { Err("not yet".to_owned()) });
}
