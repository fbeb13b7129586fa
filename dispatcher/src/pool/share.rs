//! What one trigger holds of what all share.
//!
//! One rule for each of these (the attempts at a target, the bytes of events, the bytes of replies): a trigger may
//! hold as much as it leaves free, and its first is never refused. So one trigger alone gets half. Each that hangs
//! beside it gets half of what the others left, and the next that comes is served however many hang. What is held in
//! all passes a bound by at most one attempt for each trigger.
//!
//! It also says who wakes a trigger that was refused: it has an attempt on its way, and the end of that one does.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What one trigger has on its way to its subscriber, or to its dead-letter sink, in one log group.
#[derive(Debug, Default)]
pub struct Share {
    attempts: AtomicUsize,
    /// Bytes of events, of [`Budgets::events`](super::Budgets).
    pub(super) event_bytes: AtomicUsize,
    /// Bytes of replies, of [`Budgets::replies`](super::Budgets).
    pub(super) reply_bytes: AtomicUsize,
    /// The size of the event for which there was no room, or 0: it is not read from the log again before there is.
    pub(super) refused_bytes: AtomicUsize,
}

impl Share {
    /// Takes one attempt more, where all triggers together have `taken` of `limit`. `false` when it may not.
    pub(super) fn begin(&self, taken: usize, limit: usize) -> bool {
        // The target's lock is held, so nobody else counts for this trigger now.
        let held = self.attempts.load(Ordering::Relaxed);
        let may = held == 0 || held < limit.saturating_sub(taken);
        if may {
            self.attempts.store(held + 1, Ordering::Relaxed);
        }
        may
    }

    /// One attempt ended, or was not made. Called with the target's lock held.
    pub(super) fn end(&self) {
        self.attempts.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts each of `triggers` gets, one after the other, when none ever ends.
    fn greedy(limit: usize, triggers: usize, wanted: usize) -> Vec<usize> {
        let mut taken = 0;
        (0..triggers)
            .map(|_| {
                let share = Share::default();
                let got = (0..wanted).take_while(|_| share.begin(taken, limit).then(|| taken += 1).is_some()).count();
                assert_eq!(got, share.attempts.load(Ordering::Relaxed));
                got
            })
            .collect()
    }

    #[test]
    fn each_trigger_that_hangs_leaves_half_and_the_next_is_served() {
        assert_eq!(greedy(512, 12, 10_000), [256, 128, 64, 32, 16, 8, 4, 2, 1, 1, 1, 1]);
        assert_eq!(greedy(512, 6, 100), [100, 100, 100, 100, 56, 28], "the default of max-in-flight");
        assert_eq!(greedy(7, 5, 100), [4, 2, 1, 1, 1]);
        assert_eq!(greedy(0, 3, 100), [1, 1, 1], "one can always go out");
    }

    #[test]
    fn what_ended_may_be_taken_again() {
        let share = Share::default();
        assert!(share.begin(0, 2) && !share.begin(1, 2));
        share.end();
        assert!(share.begin(0, 2));
    }
}
