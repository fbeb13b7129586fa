//! A bound on the bytes of requests that are held at once.
//!
//! Half of a bound is closed to requests that are still on their way. So peers that announce much and send it drop by
//! drop can keep each other out, but not those whose requests are there.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on bytes and how much of it is taken.
#[derive(Debug)]
pub struct Budget {
    /// All that is held.
    pub all: Gauge,
    /// Of that, what belongs to requests that are not complete: at most half of the bound.
    pub waiting: Gauge,
}

impl Budget {
    /// A bound of `limit_bytes`, of which nothing is taken.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { all: Gauge::new(limit_bytes), waiting: Gauge::new(limit_bytes / 2) }
    }

    /// How many bytes are held in all.
    #[must_use]
    pub fn used(&self) -> usize {
        self.all.used()
    }

    /// Takes `bytes` for something that is not complete, or nothing when they do not fit. Whether they fit.
    #[must_use]
    pub fn take_waiting(&self, bytes: usize) -> bool {
        let fits = self.waiting.take(bytes);
        if fits && !self.all.take(bytes) {
            self.waiting.release(bytes);
            return false;
        }
        fits
    }

    /// Gives back what [`Budget::take_waiting`] took.
    pub fn release_waiting(&self, bytes: usize) {
        self.waiting.release(bytes);
        self.all.release(bytes);
    }
}

/// One count of bytes and its limit.
#[derive(Debug)]
pub struct Gauge {
    limit: usize,
    used: AtomicUsize,
}

impl Gauge {
    fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// How many bytes are taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or nothing when they do not fit. Whether they fit.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        // The counter guards no memory, so no ordering is needed. Two that do not fit beside each other may both be
        // refused; the bound is never passed by what was admitted.
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.checked_add(bytes).is_some_and(|after| after <= self.limit);
        if !fits {
            self.release(bytes);
        }
        fits
    }

    /// Gives back `bytes` that were taken.
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_to_the_byte() {
        let budget = Budget::new(100);
        assert!(budget.take_waiting(50), "half of it");
        assert!(!budget.take_waiting(1));
        assert!(budget.all.take(50), "the other half");
        assert!(!budget.all.take(1));
        budget.release_waiting(50);
        assert!(budget.all.take(1));
        assert!(!budget.take_waiting(50), "what is there may have all of it");
        assert_eq!((budget.used(), budget.waiting.used()), (51, 0), "what did not fit took nothing");
        assert!(!budget.all.take(usize::MAX));
        assert_eq!(budget.used(), 51);
    }
}
