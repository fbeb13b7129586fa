//! How many bytes of requests are held at once.
//!
//! Half of each bound is closed to requests that are still on their way. So producers that announce much and send it
//! drop by drop can keep each other out, but not those whose events are there.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on bytes and how much of it is taken.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Gauge,
    /// Of those, what belongs to requests that are not complete.
    waiting: Gauge,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { all: Gauge::new(limit), waiting: Gauge::new(limit / 2) }
    }

    pub(crate) fn used(&self) -> usize {
        self.all.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for something that is not complete, or nothing when they do not fit.
    pub(crate) fn take_waiting(&self, bytes: usize) -> bool {
        let fits = self.waiting.take(bytes);
        if fits && !self.all.take(bytes) {
            self.waiting.release(bytes);
            return false;
        }
        fits
    }

    /// Gives back what [`Budget::take_waiting`] took.
    pub(crate) fn release_waiting(&self, bytes: usize) {
        self.waiting.release(bytes);
        self.all.release(bytes);
    }
}

#[derive(Debug)]
struct Gauge {
    limit: usize,
    used: AtomicUsize,
}

impl Gauge {
    fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    fn take(&self, bytes: usize) -> bool {
        // The counter guards no memory, so no ordering is needed. Two that do not fit beside each other may both be
        // refused; the bound is never passed by what was admitted.
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.checked_add(bytes).is_some_and(|after| after <= self.limit);
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Which bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// That of the Broker: a quota.
    Broker,
    /// That of the node: us.
    Node,
}

/// The bytes that one request holds of both bounds; given back on drop, whatever way the request ends.
#[derive(Debug)]
pub(crate) struct Charge<'a> {
    node: &'a Budget,
    broker: &'a Budget,
    bytes: usize,
    waiting: bool,
}

impl<'a> Charge<'a> {
    /// Takes `bytes` of both bounds.
    pub(crate) fn take(node: &'a Budget, broker: &'a Budget, bytes: usize) -> Result<Self, Busy> {
        let mut charge = Self { node, broker, bytes: 0, waiting: false };
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Takes `bytes` more of both.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        take_both(&self.broker.all, &self.node.all, bytes)?;
        if self.waiting
            && let Err(busy) = take_both(&self.broker.waiting, &self.node.waiting, bytes)
        {
            self.broker.all.release(bytes);
            self.node.all.release(bytes);
            return Err(busy);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// The request has to be waited for: what it holds counts against the half for those.
    pub(crate) fn wait(&mut self) -> Result<(), Busy> {
        if !self.waiting {
            take_both(&self.broker.waiting, &self.node.waiting, self.bytes)?;
            self.waiting = true;
        }
        Ok(())
    }

    /// The request is complete.
    pub(crate) fn arrived(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.broker.waiting.release(self.bytes);
            self.node.waiting.release(self.bytes);
        }
    }
}

fn take_both(broker: &Gauge, node: &Gauge, bytes: usize) -> Result<(), Busy> {
    if !broker.take(bytes) {
        return Err(Busy::Broker);
    }
    if !node.take(bytes) {
        broker.release(bytes);
        return Err(Busy::Node);
    }
    Ok(())
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.arrived();
        self.node.all.release(self.bytes);
        self.broker.all.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_holds_to_the_byte() {
        let (node, broker) = (Budget::new(100), Budget::new(60));
        let first = Charge::take(&node, &broker, 60).unwrap();
        assert_eq!(Charge::take(&node, &broker, 1).unwrap_err(), Busy::Broker);
        let other = Budget::new(60);
        assert_eq!(Charge::take(&node, &other, 41).unwrap_err(), Busy::Node);
        assert_eq!(other.used(), 0, "what did not fit into the node is given back to the broker");
        drop(Charge::take(&node, &other, 40).unwrap());
        drop(first);
        assert_eq!((node.used(), broker.used()), (0, 0));
        assert_eq!(Charge::take(&node, &broker, usize::MAX).unwrap_err(), Busy::Broker);
    }

    #[test]
    fn half_of_a_bound_is_closed_to_what_is_still_on_its_way() {
        let (node, broker) = (Budget::new(100), Budget::new(80));
        let mut slow = Charge::take(&node, &broker, 40).unwrap();
        slow.wait().unwrap();
        assert_eq!(slow.grow(1), Err(Busy::Broker));
        let mut other = Charge::take(&node, &broker, 40).unwrap();
        assert_eq!(other.wait(), Err(Busy::Broker), "the other half is for those that are there");
        drop(other);
        assert!(node.take_waiting(10), "the node's half is 50");
        assert!(!node.take_waiting(1));
        node.release_waiting(10);
        slow.arrived();
        slow.grow(40).unwrap();
        drop(slow);
        let left = |budget: &Budget| (budget.used(), budget.waiting.used.load(Ordering::Relaxed));
        assert_eq!((left(&node), left(&broker)), ((0, 0), (0, 0)));
    }

    proptest! {
        /// What is used is the sum of what is held, before, during and after, and never above the bound.
        #[test]
        fn used_is_what_is_held(sizes in prop::collection::vec((0_usize..50, 0_usize..50), 0..20)) {
            let (node, broker) = (Budget::new(200), Budget::new(150));
            let mut held = Vec::new();
            for (first, more) in sizes {
                if let Ok(mut charge) = Charge::take(&node, &broker, first) {
                    if more % 3 == 0 {
                        let _ = charge.wait();
                    }
                    let _ = charge.grow(more);
                    if more % 2 == 0 {
                        charge.arrived();
                    }
                    held.push(charge);
                }
                let sum: usize = held.iter().map(|charge| charge.bytes).sum();
                prop_assert_eq!((node.used(), broker.used()), (sum, sum));
                prop_assert!(sum <= 150);
                let waiting: usize = held.iter().filter(|charge| charge.waiting).map(|charge| charge.bytes).sum();
                prop_assert_eq!(broker.waiting.used.load(Ordering::Relaxed), waiting);
                prop_assert!(waiting <= 75);
                if held.len() > 6 {
                    held.remove(0);
                }
            }
            held.clear();
            prop_assert_eq!((node.used(), broker.used()), (0, 0));
        }
    }
}
