//! A glance at a running group from outside.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pelton_client::Offset;

/// Figures of one group, for tests and the console. Each is right by itself; together they may be of two moments.
#[derive(Debug, Default)]
pub struct GroupSnapshot {
    cache_bytes: AtomicUsize,
    triggers: AtomicUsize,
    scanned: AtomicU64,
    in_flight: AtomicUsize,
}

impl GroupSnapshot {
    /// Bytes of batches that are held for what waits.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.cache_bytes.load(Ordering::Relaxed)
    }

    /// Started triggers.
    #[must_use]
    pub fn triggers(&self) -> usize {
        self.triggers.load(Ordering::Relaxed)
    }

    /// Everything below this has been matched for the triggers that follow the tail.
    #[must_use]
    pub fn scanned(&self) -> Offset {
        Offset(self.scanned.load(Ordering::Relaxed))
    }

    /// Attempts that were started and whose outcome has not been taken in.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, cache_bytes: usize, triggers: usize, scanned: Offset) {
        self.cache_bytes.store(cache_bytes, Ordering::Relaxed);
        self.triggers.store(triggers, Ordering::Relaxed);
        self.scanned.store(scanned.0, Ordering::Relaxed);
    }

    pub(crate) fn started(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
