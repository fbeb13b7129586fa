//! The system's clock, as a simulated thread sees it.
//!
//! The product takes its time from tokio and from a `Clock`. A library below it does not: h2 asks the system how long ago a
//! stream was reset, and answers a late frame accordingly. On a busy machine that made two runs of one seed differ. So this
//! binary has a `clock_gettime` of its own, which the standard library finds before libc's: a thread that simulates sees the
//! simulation's time, every other one the system's.

#![allow(unsafe_code, reason = "a function of libc is replaced")]

use std::cell::Cell;
use std::ffi::c_int;
use std::time::Duration;

use rustix::time::ClockId;

/// The simulation begins then, so that nothing is before the beginning of time.
const BEGIN: Duration = Duration::from_secs(1_800_000_000);

thread_local! {
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// From now on this thread sees that time after the beginning.
pub fn set(now: Duration) {
    NOW.set(Some(now));
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

// SAFETY: it has the name, the arguments and the meaning of POSIX's clock_gettime; nothing else is called so.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: c_int, out: *mut Timespec) -> c_int {
    // A thread that ends has none any more.
    let simulated = NOW.try_with(Cell::get).ok().flatten();
    let now = match simulated {
        Some(now) => {
            let now = BEGIN + now;
            Timespec { seconds: now.as_secs() as i64, nanoseconds: i64::from(now.subsec_nanos()) }
        }
        None => {
            // By a system call: through libc it would come back here.
            let now = rustix::time::clock_gettime(match clock {
                0 => ClockId::Realtime,
                2 => ClockId::ProcessCPUTime,
                3 => ClockId::ThreadCPUTime,
                7 => ClockId::Boottime,
                _ => ClockId::Monotonic,
            });
            Timespec { seconds: now.tv_sec, nanoseconds: now.tv_nsec }
        }
    };
    // SAFETY: whoever calls clock_gettime gives a place to write to.
    unsafe { out.write(now) };
    0
}

#[test]
fn a_thread_that_simulates_sees_the_simulated_time() {
    let simulated = std::thread::spawn(|| {
        set(Duration::ZERO);
        let before = std::time::Instant::now();
        set(Duration::from_secs(1));
        before.elapsed()
    });
    assert_eq!(simulated.join().unwrap(), Duration::from_secs(1));
    assert!(std::time::Instant::now().elapsed() < Duration::from_secs(1), "others see the system's");
}
