//! What a run has to say: the time, what happened, and the first thing that was wrong.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::invariants::{Verdict, Violation};
use crate::trace::Trace;

pub struct Journal {
    now_millis: AtomicU64,
    trace: Mutex<Trace>,
    found: Mutex<Option<Violation>>,
}

impl Journal {
    pub fn new(loud: bool) -> Self {
        Self { now_millis: AtomicU64::new(0), trace: Mutex::new(Trace::new(loud)), found: Mutex::default() }
    }

    pub fn set_now(&self, millis: u64) {
        self.now_millis.store(millis, Ordering::Relaxed);
    }

    pub fn now_millis(&self) -> u64 {
        self.now_millis.load(Ordering::Relaxed)
    }

    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.trace.lock().note(self.now_millis(), what);
    }

    pub fn trace(&self) -> Trace {
        self.trace.lock().clone()
    }

    pub fn found(&self) -> Option<Violation> {
        self.found.lock().clone()
    }

    pub fn judge(&self, verdict: Verdict) {
        if let Err(violation) = verdict {
            self.found.lock().get_or_insert(violation);
        }
    }
}
