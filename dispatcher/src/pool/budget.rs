//! How many bytes a dispatcher holds of events on their way, and of replies that come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Share;
use crate::Options;

/// The bounds on bytes of one dispatcher, all its groups and targets together.
#[derive(Debug)]
pub struct Budgets {
    /// Events of attempts that wait for a connection or are on their way.
    pub(super) events: Budget,
    /// Replies that are being read, or were read and are not stored.
    pub(super) replies: Budget,
}

impl Budgets {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self { events: Budget::new(options.sending_bytes), replies: Budget::new(options.reply_bytes) }
    }
}

/// A bound on bytes and how much of it is taken, by the rule of [`Share`]: a trigger may hold what it leaves free, and
/// its first is never refused.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// Takes `bytes` more for something that has `own` of the `held` bytes of its trigger. `false` when they do not
    /// fit; then nothing is taken.
    pub(super) fn take(&self, held: &AtomicUsize, own: usize, bytes: usize) -> bool {
        // The counters guard no memory, so no ordering is needed. Two that do not fit beside each other may both be
        // refused; what is admitted never passes the bound.
        let before = held.fetch_add(bytes, Ordering::Relaxed);
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let fits = before == own || before.saturating_add(bytes) <= self.limit.saturating_sub(used);
        if !fits {
            self.release(held, bytes);
        }
        fits
    }

    /// Whether [`take`](Self::take) has a chance.
    pub(super) fn has_room(&self, held: &AtomicUsize, bytes: usize) -> bool {
        let held = held.load(Ordering::Relaxed);
        let used = self.used.load(Ordering::Relaxed).saturating_add(bytes);
        held == 0 || held.saturating_add(bytes) <= self.limit.saturating_sub(used)
    }

    /// Gives back what was taken.
    pub(super) fn release(&self, held: &AtomicUsize, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The bytes of one reply. Dropped, it gives them back.
#[derive(Debug)]
pub struct ReplyCharge {
    budgets: Arc<Budgets>,
    share: Arc<Share>,
    bytes: usize,
}

impl ReplyCharge {
    /// Nothing yet.
    #[must_use]
    pub fn new(budgets: Arc<Budgets>, share: Arc<Share>) -> Self {
        Self { budgets, share, bytes: 0 }
    }

    /// Takes `bytes` more. `false` when there is no room for them.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.budgets.replies.take(&self.share.reply_bytes, self.bytes, bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for ReplyCharge {
    fn drop(&mut self) {
        self.budgets.replies.release(&self.share.reply_bytes, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(limit: usize) -> Arc<Budgets> {
        Arc::new(Budgets::new(&Options { sending_bytes: limit, reply_bytes: limit, ..Options::default() }))
    }

    #[test]
    fn the_bound_holds_to_the_byte() {
        let budget = Budget::new(100);
        let (one, other, third) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        assert!(budget.take(&one, 0, 10) && budget.take(&one, 0, 40));
        assert!(!budget.has_room(&one, 1) && !budget.take(&one, 0, 1), "half is left to the others");
        assert!(budget.take(&other, 0, 10) && budget.take(&other, 0, 15));
        assert!(!budget.has_room(&other, 1) && !budget.take(&other, 0, 1));
        assert!(budget.has_room(&third, 1_000) && budget.take(&third, 0, 1_000), "the first is never refused");
        budget.release(&third, 1_000);
        budget.release(&one, 40);
        assert!(budget.take(&other, 0, 10) && !budget.take(&other, 0, usize::MAX));
        budget.release(&one, 10);
        budget.release(&other, 35);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reply_alone_in_its_trigger_may_always_grow() {
        let budgets = budgets(100);
        let charge = |share: &Arc<Share>| ReplyCharge::new(budgets.clone(), share.clone());
        let (share, neighbour) = (Arc::<Share>::default(), Arc::<Share>::default());
        let (mut one, mut two) = (charge(&share), charge(&share));
        assert!(one.grow(30) && two.grow(20));
        assert!(!one.grow(1) && !two.grow(1));
        let mut other = charge(&neighbour);
        assert!((0..50).all(|_| other.grow(10)), "a neighbour's reply comes to its end");
        drop(two);
        assert!(one.grow(500));
        drop((one, other));
        assert_eq!(budgets.replies.used.load(Ordering::Relaxed), 0);
    }
}
